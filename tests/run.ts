// npm test [name...]: runs every test file, or those whose name has one of the arguments in it, in two or three processes.
// Of a file that passes, only what it prints after "note: " is shown. The last line is "N passed, N failed"; a file that
// crashes, hangs or tests nothing counts as a failure, and so do files that keep their process from ending.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, openSync, readdirSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";

/**
 * Left to deep runs, and to who names them: views of the page in Chromium, whose software adapter takes half a minute of a
 * processor for each. That they open is seen in every run, by page/page.
 */
const DEEP = ["digits", "docs", "images", "kernels", "teach", "time", "train"].map((view) => `page/${view}.test.js`);
/**
 * What changes its process (environment, folder, output, globals) is kept from the others, which share one: those of the
 * command line have one of their own, for which they come first.
 */
const COMMANDS = ["bench/", "cli/", "device/profile", "onnx/export", "tuning/tune"];
const ALONE = [...DEEP, "browser/", "engine/worker/", "hostile", "page/page."];
const isIn = (names: readonly string[], file: string): boolean => names.some((name) => file.includes(name));
/** Files of one process. */
const groupOf = (file: string): string => (isIn(COMMANDS, file) ? "commands" : isIn(ALONE, file) ? file : "others");
/** Of deep runs: five minutes, in which at the end of a run nothing else would be left to do. */
const LONGEST = "page/train.test.js";
/**
 * First those that share nothing with most, and before them the longest: who begins behind is then the only one, for long, to
 * compile what these need.
 */
const turnOf = (file: string): number => (file === LONGEST ? -1 : ["commands", file, "others"].indexOf(groupOf(file)));
const isDeep = process.env.SHADENET_DEEP === "1";
/** Of a file. Deep runs train a net in a browser without a GPU, which takes a busy machine eight minutes. */
const LIMIT_MS = (isDeep ? 30 : 10) * 60_000;
const ENDING_MS = 60_000;

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** What is wrong with the file as a whole. */
  readonly problem?: string;
  readonly output: string;
  readonly seconds: number;
}

type Exit = [code: number | null, signal?: string | null];

/** A process of tests/worker.ts. */
interface Worker {
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  /** What it prints is in a file: it outlives a crash, and no process that was left behind holds it open. */
  readonly output: number;
  /** How much of it has been shown, in bytes. */
  shown: number;
  readonly files: string[];
}

let started = 0;

function startWorker(): Worker {
  const path = join(tmpdir(), `shadenet-tests-${process.pid}-${started++}`);
  const output = openSync(path, "w+");
  rmSync(path);
  const child = fork(new URL("worker.js", import.meta.url), { stdio: ["ignore", output, output, "ipc"] });
  return { child, exited: once(child, "exit") as Promise<Exit>, output, shown: 0, files: [] };
}

function nextOutput(worker: Worker): string {
  const bytes = Buffer.alloc(fstatSync(worker.output).size - worker.shown);
  worker.shown += readSync(worker.output, bytes, 0, bytes.length, worker.shown);
  return bytes.toString();
}

const endingOf = ([code, signal]: Exit): string => `ended with ${signal ?? `exit code ${code}`}`;

async function runFile(worker: Worker, file: string): Promise<Outcome> {
  const { child, exited, files } = worker;
  const start = performance.now();
  files.push(file);
  let hung = false;
  const limit = setTimeout(() => {
    hung = true;
    child.kill("SIGKILL");
  }, LIMIT_MS);
  // If it has ended since the last file, that is told by `exited`.
  child.send(file, () => {});
  const exit = await Promise.race([once(child, "message") as Promise<Exit>, exited]);
  clearTimeout(limit);
  const seconds = (performance.now() - start) / 1000;
  const ending = hung ? `was still running after ${LIMIT_MS / 60_000} minutes` : endingOf(exit);
  const output = nextOutput(worker);
  return { ...readTotals(output, ending, exit[0] === 0), output, seconds };
}

/** Lets a process end. How it does counts, unless one of its files has failed already. */
async function endWorker(worker: Worker, failed: boolean): Promise<void> {
  const { child, exited, output, files } = worker;
  if (child.connected) child.disconnect();
  const limit = setTimeout(() => child.kill("SIGKILL"), ENDING_MS);
  const exit = await exited;
  clearTimeout(limit);
  if (exit[0] !== 0 && !failed) {
    sum.failed++;
    console.log(`FAIL ${files.join(", ")}: the process that passed them ${endingOf(exit)}\n${nextOutput(worker)}`);
  }
  closeSync(output);
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

// The sources decide, since the compiler leaves the output of a deleted test behind.
const files = readdirSync(new URL("../../tests", import.meta.url), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.ts"))
  .map((file) => file.replace(/\.ts$/, ".js"))
  .sort((a, b) => turnOf(a) - turnOf(b) || (a < b ? -1 : 1));

const names = process.argv.slice(2);
const unknown = names.find((name) => !files.some((file) => file.includes(name)));
if (unknown !== undefined) {
  console.error(`no test file has "${unknown}" in its name; there are\n  ${files.join("\n  ")}`);
  process.exit(2);
}

const sum = { passed: 0, failed: 0, skipped: 0 };
const queue = files.filter((file) =>
  names.length > 0 ? names.some((name) => file.includes(name)) : isDeep || !DEEP.includes(file),
);

/** What is left of the files, from the front or from behind. */
function* left(take: "shift" | "pop"): Generator<string> {
  while (queue.length > 0) yield queue[take]() as string;
}

async function work(files: Iterable<string>): Promise<void> {
  const workers = new Map<string, Worker>();
  for (const file of files) {
    const group = groupOf(file);
    const worker = workers.get(group) ?? startWorker();
    workers.set(group, worker);
    const { passed, failed, skipped, problem, output, seconds } = await runFile(worker, file);
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
    const line = `${file}: ${told({ passed, failed, skipped })} in ${seconds.toFixed(1)} s`;
    const notes = output.match(/note: .*/g)?.map((note) => `\n     ${note}`) ?? [];
    console.log(
      failed > 0 ? `FAIL ${line}${problem ? `; it ${problem}` : ""}\n${output}` : `ok   ${line}${notes.join("")}`,
    );
    // A test that failed may have left anything behind.
    if (failed > 0 || group === file) {
      workers.delete(group);
      await endWorker(worker, failed > 0);
    }
  }
  for (const worker of workers.values()) await endWorker(worker, false);
}

const told = ({ passed, failed, skipped }: typeof sum): string =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;

// One begins in front, the other behind: files of a folder share what is compiled for them, and those of the command line and
// of browsers, which take longest, are not the last. A third would compile everything once more: it is for deep runs, in which
// browsers take minutes.
await Promise.all([work(left("shift")), work(left("pop")), ...(isDeep ? [work(left("pop"))] : [])]);
if (sum.failed > 0 || sum.passed + sum.skipped === 0) process.exitCode = 1;
if (sum.skipped > 0) console.log(`${sum.skipped} skipped`);
console.log(`${sum.passed} passed, ${sum.failed} failed`);
