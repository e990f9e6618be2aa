#!/usr/bin/env node
import { inspect } from "node:util";
import { Command, type CommanderError } from "commander";
import { UsageError } from "../index.ts";
import { classifyCommand } from "./classify.ts";
import type { Context } from "./command.ts";
import { convertCommand } from "./convert.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { isMain, ownVersion } from "./package.ts";
import { runCommand } from "./run.ts";
import { summaryCommand } from "./summary.ts";
import { complain } from "./terminal.ts";

/** A wrong command line, and the command that it was for. */
class WrongUsage extends Error {
  readonly error: CommanderError;
  readonly command: Command;
  constructor(error: CommanderError, command: Command) {
    super(error.message, { cause: error });
    this.error = error;
    this.command = command;
  }
}

const COMMANDS = [classifyCommand, runCommand, summaryCommand, convertCommand, doctorCommand, demoCommand];

function program(context: Context): Command {
  const root = new Command("shadenet")
    .description("Classical vision CNNs on WebGPU.")
    .version(ownVersion())
    .addHelpText("after", "\nExample:\n  $ shadenet demo");
  for (const make of COMMANDS) root.addCommand(make(context));
  for (const command of [root, ...root.commands]) {
    command
      .helpOption("-h, --help", "show this help")
      .showSuggestionAfterError(false)
      .configureOutput({ outputError() {} })
      .exitOverride((error) => {
        throw new WrongUsage(error, command);
      });
  }
  return root;
}

/** What was wrong with a command line, and what would have been right. */
function correction({ error: { code, message }, command }: WrongUsage): string {
  const wrong = message.replace(/^error: /, "");
  const help = command.createHelp();
  if (code === "commander.unknownCommand") {
    return `${wrong}; the commands are ${command.commands.map((each) => each.name()).join(", ")}`;
  }
  if (code === "commander.unknownOption") {
    const legal = help.visibleOptions(command).map(({ long }) => long);
    return `${wrong}; the options of ${command.name()} are ${legal.join(", ")}`;
  }
  return `${wrong}; see shadenet ${command.parent ? `${command.name()} ` : ""}--help`;
}

/** Tells an error in one line and returns the exit code. */
function fail(error: unknown, debug: boolean): number {
  if (error instanceof WrongUsage) {
    // Help that was asked for, or the version.
    if (error.error.exitCode === 0) return 0;
    // Without any command the help has been shown.
    if (error.error.code !== "commander.help") complain(correction(error));
    return 2;
  }
  if (debug) process.stderr.write(`shadenet: ${inspect(error)}\n`);
  else complain(error instanceof Error ? error.message : String(error));
  return error instanceof UsageError ? 2 : 1;
}

/** Runs a command line; everything about its outcome is in process.exitCode. */
export async function main(args: readonly string[]): Promise<void> {
  const stop = new AbortController();
  const end = (exitCode: number) => {
    process.exitCode = exitCode;
    stop.abort();
  };
  // Once: a second Ctrl-C ends the process at once.
  process.once("SIGINT", () => end(130));
  process.once("SIGTERM", () => end(143));
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (stop.signal.aborted) return;
    // Whoever read the output has what he wanted, as in `shadenet ... | head`.
    if (error.code === "EPIPE") return end(0);
    complain(`cannot write to stdout: ${error.message}`);
    end(1);
  });
  process.stderr.on("error", () => {});
  try {
    await program({ signal: stop.signal }).parseAsync(args, { from: "user" });
  } catch (error) {
    if (!stop.signal.aborted) process.exitCode = fail(error, args.includes("--debug"));
  }
}

if (isMain(import.meta.url)) await main(process.argv.slice(2));
