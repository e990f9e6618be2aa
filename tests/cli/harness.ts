// Shared by the tests of the command line: a folder for a file of tests, in which it runs commands.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { packageFile } from "../../tools/package.ts";

export const MAIN = packageFile("dist/cli/main.js");

/** Removed when the tests have ended. */
export const folder = await mkdtemp(join(tmpdir(), "shadenet-cli-"));
test.after(() => rm(folder, { recursive: true }));

export const inFolder = (name: string): string => join(folder, name);

/** What this user keeps stays out of the tests. */
const OWN = { SHADENET_CACHE: inFolder("cache") };

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  /** The lines on stderr, without those that the driver prints when it is opened. */
  readonly errors: readonly string[];
}

export interface Options {
  readonly env?: Readonly<Record<string, string>>;
  readonly main?: string;
  /** Called on the first output. */
  readonly onOutput?: (child: ReturnType<typeof spawn>) => void;
}

/** Runs the command `shadenet`, or another program. */
export async function shadenet(
  args: readonly string[],
  { env, main = MAIN, onOutput }: Options = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...OWN, ...env }, cwd: folder });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (stdout === "") onOutput?.(child);
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, "close")) as [number | null];
  const errors = stderr.split("\n").filter((line) => line !== "" && !line.startsWith("Warning:"));
  return { code, stdout, errors };
}

/** Nothing on stdout, one line on stderr. */
export function assertFails({ code, stdout, errors }: Outcome, wantedCode: number, message: RegExp): void {
  assert.is(errors.length, 1, `wanted one line, got:\n${errors.join("\n")}`);
  assert.match(errors[0], /^shadenet: /);
  assert.match(errors[0], message);
  assert.is(stdout, "");
  assert.is(code, wantedCode);
}

/** Runs command lines two at a time; a slow machine is not made slower by more. */
export async function eachFails(
  cases: readonly (readonly [args: string[], code: number, message: RegExp])[],
): Promise<void> {
  const rest = cases.values();
  const work = async () => {
    for (const [args, code, message] of rest) assertFails(await shadenet(args), code, message);
  };
  await Promise.all([work(), work()]);
}
