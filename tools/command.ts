import { Command, InvalidArgumentError, Option } from "commander";
import type { Gpu } from "../index.ts";

/** What runProgram() gives to every command. */
export interface Context {
  /** Aborts on Ctrl-C, or when nobody reads stdout any more. */
  readonly signal: AbortSignal;
  readonly openGpu: () => Promise<Gpu>;
}

/** The options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
}

const JSON_OPTION = new Option("--json", "print JSON for programs");

/** A command with the options that all have, and an example in its help. */
export function command(name: string, description: string, example: string, json = JSON_OPTION): Command {
  return new Command(name)
    .description(description)
    .addOption(json)
    .option("--debug", "show where in the code an error came from")
    .addHelpText("after", `\nExample:\n  $ ${example}`);
}

/** Parser of an option's value. */
export function positiveInteger(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a positive integer.");
}

export function positiveNumber(text: string): number {
  if (Number(text) > 0 && Number.isFinite(Number(text))) return Number(text);
  throw new InvalidArgumentError("It must be a positive number.");
}

export function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number.");
}

/** Parser of a number that may be 0. */
export const factor = (text: string): number => (Number(text) === 0 && text.trim() ? 0 : positiveNumber(text));

/** Parser of names separated by commas. */
export const nameList = (text: string): string[] => text.split(",").map((name) => name.trim());

/** How the net's tensors are stored on the device. */
export const dtypeOption = (): Option =>
  new Option("--dtype <type>", "how to store weights and activations; f16 where the adapter can")
    .choices(["f32", "f16"])
    .default("f32");

/** Which of a file's mappings they are. */
export const weightsKeyOption = (): Option =>
  new Option("--weights-key <key>", "which weights of a checkpoint to take, where several fit, such as model_ema");

/** Where a net's weights come from, and where from if it is left out. */
export const weightsOption = (otherwise = "lenet5 brings its own"): Option =>
  new Option("--weights <file>", `a .safetensors or .pth file, its URL, or a name such as IMAGENET1K_V1; ${otherwise}`);
