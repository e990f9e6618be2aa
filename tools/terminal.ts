import * as util from "node:util";
import type { ShadenetError } from "../index.ts";
import { inFlags, oneLine } from "./format.ts";

/** Data go to stdout. */
export const print = (text = ""): void => void process.stdout.write(`${text}\n`);

/** Indented, but with lists of numbers such as shapes on one line. */
export function printJson(value: unknown): void {
  const text = JSON.stringify(value, null, 2);
  print(text.replace(/\[\n\s+[-\d.,\se]+\n\s*\]/g, (list) => list.replace(/\s+/g, "").replace(/,/g, ", ")));
}

/** Everything else goes to stderr, one line each. */
export const complain = (message: string): void =>
  void process.stderr.write(`shadenet: ${inFlags(oneLine(message))}\n`);

/** Tells of what failed and goes on: the command ends with 1. */
export function fail(error: ShadenetError): void {
  complain(error.message);
  process.exitCode = 1;
}

/** An error as JSON has it. */
export const errorFacts = ({ code, message }: ShadenetError) => ({ code, message });

/** How many colours stdout shows, as a count of bits: 1 is none, 8 are 256 colours. */
export const colourDepth = (): number =>
  process.stdout.isTTY && !process.env.NO_COLOR ? process.stdout.getColorDepth() : 1;

/** Styles a text where stdout shows colours (and Node is 20.12 or later, which brought styleText). */
export const paint = (style: Parameters<typeof util.styleText>[0], text: string): string =>
  colourDepth() > 1 && util.styleText ? util.styleText(style, text) : text;

/** Characters per line: the terminal's, or 80 where there is none. */
export const lineWidth = (): number => process.stdout.columns || 80;

export interface Progress {
  update(done: number, total: number): void;
  /** Takes the bar away. */
  stop(): void;
}

/** A progress bar on stderr; nothing where that is no terminal. */
export async function openProgress(task: string): Promise<Progress> {
  if (!process.stderr.isTTY) return { update() {}, stop() {} };
  const { default: cliProgress } = await import("cli-progress");
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: `${task} {bar} {percentage} %  {eta_formatted} left`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 30,
    clearOnComplete: true,
    hideCursor: true,
    // It would catch SIGINT by itself; program.ts does.
    gracefulExit: false,
  });
  let started = false;
  return {
    update(done, total) {
      if (!started) bar.start(total, done);
      started = true;
      bar.setTotal(total);
      bar.update(done);
    },
    stop() {
      if (started) bar.stop();
    },
  };
}
