import { type Command, InvalidArgumentError, Option } from "commander";
import { type AnyNet, findNet } from "../engine/definition.ts";
import { nets, UsageError } from "../index.ts";
import { nameList, positiveInteger, positiveNumber } from "./command.ts";
import { flagOf } from "./format.ts";

// What nets can be built with, as options of commands: from the definitions, so that every command has them alike.

const HELP: Readonly<Record<string, string>> = {
  numClasses: "how many classes the last layer tells apart",
  inChannels: "channels of the images: 3 for colour, 1 for grey",
  widthMult: "multiplies the channels of all layers",
  weightsSize: "height and width of the images that the weights of a ViT are for, where those of the net are others",
  transformInput: "for files of torchvision's GoogLeNet and Inception v3",
  convBias: "gives every convolution a bias before its batch normalization",
  lrn: "options of the local response normalization: size=5,alpha=0.0001",
  imageSize: "height and width of the images; the net's own if left out",
};

/** Every option that one of the nets has, and a value of it. */
const optionsOf = (definitions: readonly AnyNet[]): Readonly<Record<string, unknown>> => ({
  ...Object.assign({}, ...definitions.map(({ options }) => options)),
  imageSize: 0,
});

/** Adds the options of these nets to a command. */
export function addNetOptions(command: Command, definitions: readonly AnyNet[] = Object.values(nets)): Command {
  for (const [name, value] of Object.entries(optionsOf(definitions))) command.addOption(optionFor(name, typeof value));
  return command;
}

function optionFor(name: string, kind: string): Option {
  const flag = flagOf(name);
  if (kind === "boolean") return new Option(flag, HELP[name]);
  if (/Mult$/.test(name)) return new Option(`${flag} <x>`, HELP[name]).argParser(positiveNumber);
  if (kind === "number") return new Option(`${flag} <n>`, HELP[name]).argParser(positiveInteger);
  return new Option(`${flag} <name=number,...>`, HELP[name]).argParser(namedNumbers);
}

function namedNumbers(text: string): Readonly<Record<string, number>> {
  const pairs = text.split(",").map((pair) => /^\s*(\w+)=(\S+)\s*$/.exec(pair) ?? []);
  if (pairs.every(([, name, number]) => name && Number.isFinite(Number(number)))) {
    return Object.fromEntries(pairs.map(([, name, number]) => [name, Number(number)]));
  }
  throw new InvalidArgumentError("It must be names and numbers, such as size=5,alpha=0.0001.");
}

/** What of a command's options the net is built with. Throws a UsageError for one that this net does not have. */
export function netOptionsOf({ name, options: own }: AnyNet, parsed: object): Readonly<Record<string, unknown>> {
  const known = optionsOf(Object.values(nets));
  const given = Object.entries(parsed).filter(([key, value]) => key in known && value !== undefined);
  const legal = [...Object.keys(own), "imageSize"];
  const unknown = given.find(([key]) => !legal.includes(key))?.[0];
  if (unknown === undefined) return Object.fromEntries(given);
  throw new UsageError(`${name} has no option ${flagOf(unknown)}; it has ${legal.map(flagOf).join(", ")}`);
}

/** Parser of nets' names, separated by commas. Throws a UsageError for one that there is not. */
export function netNames(text: string): string[] {
  const names = [...new Set(nameList(text))];
  for (const name of names) findNet(nets, name);
  return names;
}
