// Shared by the tests of the command line: a folder for a process of tests, in which it runs commands.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Writable } from "node:stream";
import type { Command } from "commander";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { shadenet as commands } from "../../cli/main.ts";
import { Gpu } from "../../engine/gpu.ts";
import { unpackSwiftShader } from "../../engine/node/embedded.ts";
import { openGpu } from "../../index.ts";
import type { Context } from "../../tools/command.ts";
import { packageFile } from "../../tools/package.ts";
import { runProgram } from "../../tools/program.ts";
import { beginnings, idle } from "../harness.ts";

export const MAIN = packageFile("dist/cli/main.js");

/** Removed when the tests have ended. */
export const folder = await mkdtemp(join(tmpdir(), "shadenet-cli-"));
process.once("exit", () => rmSync(folder, { recursive: true }));

export const inFolder = (name: string): string => join(folder, name);

/** What this user keeps stays out of the tests, but for the embedded adapter, which takes half a second to unpack. */
const OWN = { SHADENET_CACHE: inFolder("cache") };
const adapter = await unpackSwiftShader();
if (adapter) {
  await mkdir(OWN.SHADENET_CACHE);
  await symlink(adapter, join(OWN.SHADENET_CACHE, basename(adapter)), "junction");
}

function empty(path: string, kept: string): void {
  for (const name of existsSync(path) ? readdirSync(path) : []) {
    if (name !== kept) rmSync(join(path, name), { recursive: true });
  }
}

// The next file of this process finds it as the first did.
beginnings.push(() => {
  empty(folder, "cache");
  empty(OWN.SHADENET_CACHE, basename(adapter ?? ""));
});

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  /** The lines on stderr, without those that the driver prints when it is opened. */
  readonly errors: readonly string[];
}

type Env = Readonly<Record<string, string>>;

export interface Options {
  /** With one of its own, a command opens a GPU of its own. */
  readonly env?: Env;
  readonly program?: (context: Context) => Command;
}

/** What commands share where the environment is none of their own, so that each kernel is compiled once; and who has it open. */
let shared: Gpu | undefined;
let users = 0;

async function openShared(): Promise<Gpu> {
  shared ??= await openGpu();
  shared.close = () => {
    users--;
  };
  users++;
  return shared;
}

/** Commands close what they open, and leave nothing on it. */
async function assertClosed(): Promise<void> {
  assert.is(users, 0, "a command has not closed its GPU");
  if (shared && shared.alive.buffers > 0) await idle();
  assert.is(shared?.alive.buffers ?? 0, 0, "a command has left buffers on its GPU");
}

// In a process of tests/run.ts the files that follow use it, too.
const closeShared = () => shared && Gpu.prototype.close.call(shared);
if (process.connected) process.once("disconnect", closeShared);
else test.after(closeShared);

/**
 * Runs the command `shadenet`, or another program, in this process: most tests are about what a command says and leaves
 * behind, and a process takes a quarter of a second to begin. One at a time.
 */
export async function shadenet(args: readonly string[], { env, program = commands }: Options = {}): Promise<Outcome> {
  const changed = { ...OWN, ...env };
  const before = Object.keys(changed).map((name) => [name, process.env[name]] as const);
  const [cwd, exitCode] = [process.cwd(), process.exitCode];
  const streams = { stdout: process.stdout, stderr: process.stderr };
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    const write = (chunk: Buffer, _encoding: string, done: () => void) => {
      texts[name] += chunk;
      done();
    };
    Object.defineProperty(process, name, { value: new Writable({ write }), configurable: true });
  }
  Object.assign(process.env, changed);
  process.chdir(folder);
  process.exitCode = undefined;
  try {
    await runProgram(program, args, env ? openGpu : openShared);
    await assertClosed();
    return { code: Number(process.exitCode ?? 0), stdout: texts.stdout, errors: linesOf(texts.stderr) };
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"]) process.removeAllListeners(signal);
    process.exitCode = exitCode;
    process.chdir(cwd);
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    for (const [name, value] of Object.entries(streams)) {
      Object.defineProperty(process, name, { value, configurable: true });
    }
  }
}

const linesOf = (stderr: string): string[] =>
  stderr.split("\n").filter((line) => line !== "" && !line.startsWith("Warning:"));

export interface ProcessOptions {
  readonly env?: Env;
  readonly main?: string;
  /** Called on the first output. */
  readonly onOutput?: (child: ReturnType<typeof spawn>) => void;
}

/** Runs the command `shadenet`, or another program, in a process of its own. */
export async function inProcess(
  args: readonly string[],
  { env, main = MAIN, onOutput }: ProcessOptions = {},
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
  return { code, stdout, errors: linesOf(stderr) };
}

/** Nothing on stdout, one line on stderr. */
export function assertFails({ code, stdout, errors }: Outcome, wantedCode: number, message: RegExp): void {
  assert.is(errors.length, 1, `wanted one line, got:\n${errors.join("\n")}`);
  assert.match(errors[0], /^shadenet: /);
  assert.match(errors[0], message);
  assert.is(stdout, "");
  assert.is(code, wantedCode);
}

type Failure = readonly [args: string[], code: number, message: RegExp];

/** Runs command lines one by one, the first in a process of its own, whose exit code is the one that users see. */
export async function eachFails([[args, code, message], ...others]: readonly Failure[]): Promise<void> {
  assertFails(await inProcess(args), code, message);
  for (const [args, code, message] of others) assertFails(await shadenet(args), code, message);
}
