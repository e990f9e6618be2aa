import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Command } from "commander";
import { type AdapterSummary, type Image, type Prediction, readImage } from "../index.ts";
import { lenet5 } from "../nets/lenet.ts";
import { type CommonOptions, type Context, command } from "./command.ts";
import { bar, duration, median, percent } from "./format.ts";
import { packageFile } from "./package.ts";
import { openNet } from "./session.ts";
import { colourDepth, lineWidth, paint, print, printJson } from "./terminal.ts";

export function demoCommand(context: Context): Command {
  return command("demo", "classify the ten digits that come with the package", "npx shadenet demo").action(
    (options: CommonOptions) => demo(options, context),
  );
}

interface Reading {
  readonly file: string;
  readonly image: Image;
  readonly top: readonly Prediction[];
  /** From the picture to the answer. */
  readonly ms: number;
}

async function demo({ json }: CommonOptions, { signal }: Context): Promise<void> {
  const folder = packageFile("examples/digits");
  const files = (await readdir(folder)).filter((name) => name.endsWith(".png")).sort();
  const { gpu, net, close } = await openNet("lenet5", { signal });
  try {
    if (!json) introduce(gpu.adapter);
    const readings: Reading[] = [];
    let firstAnswer = 0;
    let row: Reading[] = [];
    const { cells, width } = grid(lineWidth());
    for (const file of files) {
      signal.throwIfAborted();
      const image = await readImage(join(folder, file));
      const start = performance.now();
      const top = await net.classify(image, { top: 10 });
      // Its zero is when the process was started.
      const now = performance.now();
      firstAnswer ||= now;
      const reading = { file, image, top, ms: now - start };
      readings.push(reading);
      row.push(reading);
      if (json || (row.length < cells && readings.length < files.length)) continue;
      for (const line of sideBySide(row.map((each) => picture(each, width)))) print(line);
      print();
      row = [];
    }
    const perImage = median(readings.slice(1).map(({ ms }) => ms));
    if (json) {
      const images = readings.map(({ file, top, ms }) => ({ file, top, milliseconds: ms }));
      printJson({ adapter: gpu.adapter, firstAnswerMs: firstAnswer, perImageMs: perImage, images });
    } else {
      const right = readings.filter(({ file, top }) => top[0].label === digitIn(file)).length;
      print(
        `${paint("bold", `${right} of ${readings.length} right.`)} First answer ${paint("bold", duration(firstAnswer))} after the start of the process;`,
      );
      print(`then ${paint("bold", duration(perImage))} per image, from its pixels to the ten probabilities (median).`);
    }
  } finally {
    close();
  }
}

function introduce(adapter: AdapterSummary): void {
  print();
  print(`${paint("bold", "LeNet-5")} reads handwritten digits, on ${paint("bold", adapter.name)}`);
  if (adapter.software) {
    const why = adapter.fallback ?? "it is the adapter that the system offers";
    print(paint("yellow", `This is a software adapter, on the CPU: ${why}.`));
  }
  print();
}

/** The digit that a file's name tells. */
const digitIn = (file: string): string | undefined => /\d/.exec(basename(file))?.[0];

const GAP = 4;

/** How many pictures stand side by side, and how wide each is with its bars. */
function grid(columns: number): { cells: number; width: number } {
  const cells = Math.max(1, Math.floor((columns + GAP) / (56 + GAP)));
  return { cells, width: Math.min(80, Math.floor((columns + GAP) / cells) - GAP) };
}

/** Blocks of lines next to each other; each line of a block has the same width. */
const sideBySide = (blocks: readonly (readonly string[])[]): string[] =>
  blocks[0].map((_, i) =>
    blocks
      .map((block) => block[i])
      .join(" ".repeat(GAP))
      .trimEnd(),
  );

const SIDE = 28;

/** The digit as the net sees it, and a bar for each class: 14 lines of `width` characters. */
function picture({ file, image, top }: Reading, width: number): string[] {
  const digit = drawDigit(greyLevels(lenet5.preprocess(image, [1, 32, 32])), colourDepth());
  const textWidth = Math.max(width - SIDE - 3, 20);
  const isRight = top[0].label === digitIn(file);
  const verdict = `${file.padEnd(textWidth - 2)} ${isRight ? "✓" : "✗"}`;
  const blank = " ".repeat(textWidth);
  const text = [blank, paint("bold", verdict), blank];
  for (const { index, label, probability } of [...top].sort((a, b) => a.index - b.index)) {
    const barWidth = textWidth - 13;
    const line = `${label}  ${bar(probability, barWidth).padEnd(barWidth)} ${percent(probability)}`;
    const best = index === top[0].index;
    text.push(paint(best ? [isRight ? "green" : "red", "bold"] : "dim", `${best ? "▸" : " "} ${line}`));
  }
  return digit.map((row, i) => `${row}   ${text[i] ?? blank}`);
}

/** The 28 x 28 pixels inside LeNet-5's padded and normalized input, back on the scale 0 to 1. */
function greyLevels(input: Float32Array): number[][] {
  const side = Math.sqrt(input.length);
  const border = (side - SIDE) / 2;
  let [least, most] = [Infinity, -Infinity];
  for (const value of input) [least, most] = [Math.min(least, value), Math.max(most, value)];
  const level = (value: number) => (value - least) / (most - least || 1);
  return Array.from({ length: SIDE }, (_, y) => {
    const start = (y + border) * side + border;
    return Array.from(input.subarray(start, start + SIDE), level);
  });
}

/** Two rows of pixels per line: in grey where there are 256 colours, else black and white. */
function drawDigit(pixels: readonly (readonly number[])[], depth: number): string[] {
  const lines: string[] = [];
  for (let y = 0; y < pixels.length; y += 2) {
    const [upper, lower] = [pixels[y], pixels[y + 1]];
    lines.push(depth >= 8 ? greyLine(upper, lower) : upper.map((v, x) => blackOrWhite(v, lower[x])).join(""));
  }
  return lines;
}

const blackOrWhite = (upper: number, lower: number): string => " ▀▄█"[Number(upper > 0.4) + 2 * Number(lower > 0.4)];

/**
 * xterm's colours 232 to 255 are greys. The lighter half of a cell is drawn and the darker one is its background, so that
 * the digit can be read in the bare characters, too.
 */
function greyLine(upper: readonly number[], lower: readonly number[]): string {
  const grey = (level: number) => 232 + Math.round(level * 23);
  let [line, last] = ["", ""];
  upper.forEach((level, x) => {
    const [top, bottom] = [grey(level), grey(lower[x])];
    const [light, dark] = [Math.max(top, bottom), Math.min(top, bottom)];
    const colours = `\x1b[38;5;${light};48;5;${dark}m`;
    const block = top > bottom ? "▀" : top < bottom ? "▄" : blackOrWhite(level, level);
    line += colours === last ? block : colours + block;
    last = colours;
  });
  return `${line}\x1b[0m`;
}
