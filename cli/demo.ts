import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Command } from "commander";
import { median } from "../engine/ground/statistics.ts";
import { digitInput } from "../engine/image/image.ts";
import { type AdapterSummary, type Image, type Net, nets, type Prediction, readImage } from "../index.ts";
import { type CommonOptions, type Context, command } from "../tools/command.ts";
import { bar, clip, duration, percent } from "../tools/format.ts";
import { packageFile } from "../tools/package.ts";
import { openNet } from "../tools/session.ts";
import { colourDepth, lineWidth, paint, print, printJson } from "../tools/terminal.ts";
import { drawDigit, greyLevels, SIDE } from "./digit.ts";

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

async function demo({ json }: CommonOptions, context: Context): Promise<void> {
  const folder = packageFile("examples/digits");
  const files = (await readdir(folder)).filter((name) => name.endsWith(".png")).sort();
  const { gpu, net, close } = await openNet(nets.lenet5, {}, context);
  try {
    if (!json) introduce(gpu.adapter);
    const { perRow, width } = grid(lineWidth());
    const readings: Reading[] = [];
    let firstAnswer = 0;
    for (const file of files) {
      context.signal.throwIfAborted();
      readings.push(await read(net, join(folder, file)));
      // The clock's zero is when the process was started.
      firstAnswer ||= performance.now();
      const begun = readings.slice(Math.floor((readings.length - 1) / perRow) * perRow);
      if (!json && (begun.length === perRow || readings.length === files.length)) {
        for (const line of sideBySide(begun.map((reading) => picture(reading, width)))) print(line);
        print();
      }
    }
    const perImage = median(readings.slice(1).map(({ ms }) => ms));
    if (json) {
      const images = readings.map(({ file, top, ms }) => ({ file, top, milliseconds: ms }));
      printJson({ adapter: gpu.adapter, firstAnswerMs: firstAnswer, perImageMs: perImage, images });
    } else {
      conclude(readings, firstAnswer, perImage);
    }
  } finally {
    close();
  }
}

async function read(net: Net, path: string): Promise<Reading> {
  const image = await readImage(path);
  const start = performance.now();
  const top = await net.classify(image, { top: 10 });
  return { file: basename(path), image, top, ms: performance.now() - start };
}

function introduce({ name, software, fallback }: AdapterSummary): void {
  print(`\n${paint("bold", "LeNet-5")} reads handwritten digits.`);
  print(clip(`Adapter: ${name}`, lineWidth()));
  if (fallback) print(paint("yellow", `A ${software ? "software " : ""}fallback: ${fallback}.`));
  else if (software) print(paint("yellow", "A software adapter, on the CPU: the system offers no GPU."));
  print();
}

function conclude(readings: readonly Reading[], firstAnswer: number, perImage: number): void {
  const bold = (text: string) => paint("bold", text);
  const right = readings.filter(isRight).length;
  const first = `First answer ${bold(duration(firstAnswer))} after the start of the process;`;
  print(`${bold(`${right} of ${readings.length} right.`)} ${first}`);
  print(`then ${bold(duration(perImage))} per image, from its pixels to the ten probabilities (median).`);
}

/** The digit is in the file's name. */
const isRight = ({ file, top }: Reading): boolean => top[0].label === /\d/.exec(file)?.[0];

const GAP = 4;

/** How many pictures stand side by side, and how wide each is with its bars. */
function grid(columns: number): { perRow: number; width: number } {
  const perRow = Math.max(1, Math.floor((columns + GAP) / (56 + GAP)));
  return { perRow, width: Math.min(80, Math.floor((columns + GAP) / perRow) - GAP) };
}

/** Blocks of lines next to each other; each line of a block has the same width. */
const sideBySide = (blocks: readonly (readonly string[])[]): string[] =>
  blocks[0].map((_, i) =>
    blocks
      .map((block) => block[i])
      .join(" ".repeat(GAP))
      .trimEnd(),
  );

/** The digit as the net sees it, and a bar for each class: 14 lines of `width` characters. */
function picture(reading: Reading, width: number): string[] {
  const { file, image, top } = reading;
  const digit = drawDigit(greyLevels(digitInput(image)), colourDepth());
  const textWidth = Math.max(width - SIDE - 3, 20);
  const [mark, colour] = isRight(reading) ? (["✓", "green"] as const) : (["✗", "red"] as const);
  const verdict = `${file.padEnd(textWidth - 2)} ${mark}`;
  const blank = " ".repeat(textWidth);
  const text = [blank, paint("bold", verdict), blank];
  for (const { index, label, probability } of [...top].sort((a, b) => a.index - b.index)) {
    const barWidth = textWidth - 13;
    const line = `${label}  ${bar(probability, barWidth).padEnd(barWidth)} ${percent(probability)}`;
    const best = index === top[0].index;
    text.push(paint(best ? [colour, "bold"] : "dim", `${best ? "▸" : " "} ${line}`));
  }
  return digit.map((row, i) => `${row}   ${text[i] ?? blank}`);
}
