import { inspect } from "node:util";
import { type Command, CommanderError } from "commander";
import { openGpu, UsageError } from "../index.ts";
import type { Context } from "./command.ts";
import { complain } from "./terminal.ts";

/**
 * Runs a command line, on a GPU that it opens as it is told. Whatever its outcome, it is told in one line on stderr and in process.exitCode: 1 for work that
 * failed, 2 for wrong usage, 130 for Ctrl-C.
 */
export async function runProgram(
  make: (context: Context) => Command,
  args: readonly string[],
  open: Context["openGpu"] = openGpu,
): Promise<void> {
  const stop = new AbortController();
  const end = (exitCode: number) => {
    process.exitCode = exitCode;
    stop.abort();
  };
  // Once: a second Ctrl-C ends the process as it stands.
  process.once("SIGINT", () => end(130));
  process.once("SIGTERM", () => end(143));
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (stop.signal.aborted) return;
    // A reader like `head` that has enough is no failure.
    if (error.code !== "EPIPE") complain(`cannot write to stdout: ${error.message}`);
    end(error.code === "EPIPE" ? 0 : 1);
  });
  process.stderr.on("error", () => {});

  const program = make({ signal: stop.signal, openGpu: open });
  for (const command of [program, ...program.commands]) makeStrict(command);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (stop.signal.aborted) return;
    process.exitCode = fail(error, args.includes("--debug"));
  }
}

/** Makes commander throw where it would print and exit. */
function makeStrict(command: Command): void {
  command
    .helpOption("-h, --help", "show this help")
    .showSuggestionAfterError(false)
    .configureOutput({ outputError() {} })
    .exitOverride((error) => {
      throw isShown(error) ? error : new UsageError(correction(error, command), { cause: error });
    });
}

/** Help and the version have been printed already. */
const isShown = ({ code, exitCode }: CommanderError): boolean => exitCode === 0 || code === "commander.help";

/** What is wrong with a command line, and what would be right. */
function correction({ code, message }: CommanderError, command: Command): string {
  const wrong = message.replace(/^error: /, "").replace(/\.$/, "");
  if (code === "commander.unknownCommand") {
    return `${wrong}; the commands are ${command.commands.map((each) => each.name()).join(", ")}`;
  }
  const path = command.parent ? `${command.parent.name()} ${command.name()}` : command.name();
  if (code === "commander.unknownOption") {
    const legal = command.createHelp().visibleOptions(command);
    return `${wrong}; the options of ${path} are ${legal.map(({ long }) => long).join(", ")}`;
  }
  return `${wrong}; see ${path} --help`;
}

function fail(error: unknown, debug: boolean): number {
  // Help that was not asked for means that there was no command.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (debug) process.stderr.write(`shadenet: ${inspect(error)}\n`);
  else complain(error instanceof Error ? error.message : String(error));
  return error instanceof UsageError ? 2 : 1;
}
