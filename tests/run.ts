// npm test [name...]: runs every test file, or those whose name has one of the arguments in it, each in a process of its
// own. Of a file that passes, only what it prints after "note: " is shown. The last line is "N passed, N failed"; a file
// that crashes, hangs or tests nothing counts as a failure.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

const PROCESSES = 2;
/** What takes longest begins first, so that all processes end together. */
const SLOWEST = ["page/page", "tune", "browser", "conv2d/conv2d", "cli/", "nets", "bench", "profile", "peers", "lower"];
const LIMIT_MS = 10 * 60_000;

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** What is wrong with the file as a whole. */
  readonly problem?: string;
  readonly output: string;
  readonly seconds: number;
}

function runFile(file: string): Promise<Outcome> {
  const start = performance.now();
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "pipe"] });
  const streams = [child.stdout, child.stderr];
  let output = "";
  for (const stream of streams) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  let hung = false;
  const limit = setTimeout(() => {
    hung = true;
    child.kill("SIGKILL");
    // Processes that the file started may hold these open.
    for (const stream of streams) stream.destroy();
  }, LIMIT_MS);
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      clearTimeout(limit);
      const seconds = (performance.now() - start) / 1000;
      const ending = hung
        ? `was still running after ${LIMIT_MS / 60_000} minutes`
        : `ended with ${signal ?? `exit code ${code}`}`;
      resolve({ ...readTotals(output, ending, code === 0 && !hung), output, seconds });
    });
  });
}

/** Reads the summary that uvu prints last. */
function readTotals(output: string, ending: string, clean: boolean) {
  const plain = stripVTControlCharacters(output);
  const summary = [...plain.matchAll(/^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/gm)].at(-1);
  if (!summary) return { passed: 0, failed: 1, skipped: 0, problem: `${ending} and told no totals` };
  const [total, passed, skipped] = summary.slice(1).map(Number);
  if (total + skipped === 0) return { passed, failed: 1, skipped, problem: "has no tests" };
  if (total > passed) return { passed, failed: total - passed, skipped };
  return clean ? { passed, failed: 0, skipped } : { passed, failed: 1, skipped, problem: ending };
}

function placeOf(file: string): number {
  const place = SLOWEST.findIndex((name) => file.includes(name));
  return place < 0 ? SLOWEST.length : place;
}

// The sources decide, since the compiler leaves the output of a deleted test behind.
const files = readdirSync(new URL("../../tests", import.meta.url), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.ts"))
  .map((file) => file.replace(/\.ts$/, ".js"))
  .sort((a, b) => placeOf(a) - placeOf(b) || (a < b ? -1 : 1));

const names = process.argv.slice(2);
const unknown = names.find((name) => !files.some((file) => file.includes(name)));
if (unknown !== undefined) {
  console.error(`no test file has "${unknown}" in its name; there are\n  ${files.join("\n  ")}`);
  process.exit(2);
}

const sum = { passed: 0, failed: 0, skipped: 0 };
const queue = files.filter((file) => names.length === 0 || names.some((name) => file.includes(name))).values();

async function work(): Promise<void> {
  for (const file of queue) {
    const { passed, failed, skipped, problem, output, seconds } = await runFile(file);
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
    const line = `${file}: ${told({ passed, failed, skipped })} in ${seconds.toFixed(1)} s`;
    const notes = output.match(/note: .*/g)?.map((note) => `\n     ${note}`) ?? [];
    console.log(
      failed > 0 ? `FAIL ${line}${problem ? `; it ${problem}` : ""}\n${output}` : `ok   ${line}${notes.join("")}`,
    );
  }
}

const told = ({ passed, failed, skipped }: typeof sum): string =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;

await Promise.all(Array.from({ length: PROCESSES }, work));
if (sum.failed > 0 || sum.passed + sum.skipped === 0) process.exitCode = 1;
if (sum.skipped > 0) console.log(`${sum.skipped} skipped`);
console.log(`${sum.passed} passed, ${sum.failed} failed`);
