import type { Command } from "commander";
import type { Dtype } from "../engine/ground/options.ts";
import { FileError, GpuError, type Image, ImageError, type Prediction, readImage, ShadenetError } from "../index.ts";
import {
  type CommonOptions,
  type Context,
  command,
  dtypeOption,
  positiveInteger,
  weightsKeyOption,
  weightsOption,
} from "../tools/command.ts";
import { expandPatterns } from "../tools/files.ts";
import { bar, clip, percent } from "../tools/format.ts";
import { readLabels } from "../tools/labels.ts";
import { addNetOptions, netOptionsOf } from "../tools/net_options.ts";
import { NET_HELP, netNamed, openNet, type Session } from "../tools/session.ts";
import { complain, errorFacts, fail, lineWidth, openProgress, paint, print, printJson } from "../tools/terminal.ts";

interface Options extends CommonOptions {
  readonly net: string;
  readonly weights?: string;
  readonly labels?: string;
  readonly weightsKey?: string;
  readonly top: number;
  readonly dtype: Dtype;
}

type Result =
  | { readonly file: string; readonly top: readonly Prediction[] }
  | { readonly file: string; readonly error: { readonly code: string; readonly message: string } };

export function classifyCommand(context: Context): Command {
  const classifying = command(
    "classify",
    "tell what pictures show",
    'npx shadenet classify "photos/*.jpg" --net resnet50 --weights resnet50.safetensors',
  )
    .argument(
      "<image...>",
      "PNG, JPEG or WebP files, addresses, - for standard input, or patterns such as photos/*.jpg",
    )
    .option("--net <name>", NET_HELP, "lenet5")
    .addOption(weightsOption())
    .addOption(weightsKeyOption())
    .option(
      "--labels <file>",
      "names of the classes: one a line, or JSON; those in the file of the weights, or the net's own, if left out",
    )
    .option("--top <n>", "how many classes to tell", positiveInteger, 5)
    .addOption(dtypeOption());
  return addNetOptions(classifying).action((images: string[], options: Options, command: Command) =>
    classify(images, options, command.getOptionValueSource("net") === "default", context),
  );
}

async function classify(
  patterns: readonly string[],
  options: Options,
  isDefaultNet: boolean,
  context: Context,
): Promise<void> {
  const { weights, weightsKey, dtype, top: most } = options;
  const definition = await netNamed(options.net);
  const built = netOptionsOf(definition, options);
  const labels = options.labels === undefined ? undefined : await readLabels(options.labels);
  const files = await expandPatterns(patterns);
  const streams = !options.json;
  // Results that scroll by on the terminal show the progress themselves.
  const progress = streams && process.stdout.isTTY ? undefined : await openProgress("Classifying");
  const results: Result[] = [];
  let session: Session | undefined;
  let isTold = !isDefaultNet;
  try {
    for (const file of files) {
      context.signal.throwIfAborted();
      const image = await outcomeOf(readImage(file));
      let top: Prediction[] | ShadenetError;
      if (image instanceof ShadenetError) top = image;
      else {
        if (!isTold && isPhoto(image)) {
          isTold = true;
          complain(`${options.net}, the net if none is asked for, reads handwritten digits; ${FOR_PHOTOS}`);
        }
        if (!session && "transforms" in definition && "notes" in definition) complain(String(definition.notes));
        // Only now, so that the GPU is not opened for nothing.
        session ??= await openNet(definition, { ...built, weights, weightsKey, labels, dtype }, context);
        top = await outcomeOf(session.net.classify(image, { top: most }));
      }
      if (top instanceof ShadenetError) {
        fail(top);
        results.push({ file, error: errorFacts(top) });
      } else {
        if (streams) print(describe(file, top, lineWidth()));
        results.push({ file, top });
      }
      progress?.update(results.length, files.length);
    }
  } finally {
    progress?.stop();
    session?.close();
  }
  if (options.json) printJson(results);
}

/** An error that is of this picture alone is a result, too. */
async function outcomeOf<T>(work: Promise<T>): Promise<T | ShadenetError> {
  try {
    return await work;
  } catch (error) {
    const isOfOne = error instanceof ImageError || error instanceof FileError || isOverflow(error);
    if (isOfOne) return error;
    throw error;
  }
}

const isOverflow = (error: unknown): error is GpuError => error instanceof GpuError && error.code === "OVERFLOW";

const FOR_PHOTOS = "for photos ask for another, such as --net resnet50 --weights IMAGENET1K_V1";

/** A digit has few colours and fewer pixels than a camera. */
function isPhoto({ width, height, data }: Image): boolean {
  if (Math.max(width, height) > 1000) return true;
  let coloured = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [red, green, blue, alpha] = data.subarray(i, i + 4);
    if (alpha > 0 && Math.max(red, green, blue) - Math.min(red, green, blue) > 32) coloured++;
  }
  return coloured > 0.05 * width * height;
}

/** The file's name and a bar for each class. */
function describe(file: string, top: readonly Prediction[], width: number): string {
  const labels = top.map(({ label }) => clip(label, 36));
  const labelWidth = Math.max(...labels.map((label) => label.length));
  const barWidth = Math.max(5, Math.min(40, width - labelWidth - 14));
  const lines = top.map(({ probability }, i) => {
    const line = `${labels[i].padEnd(labelWidth)}  ${bar(probability, barWidth).padEnd(barWidth)} ${percent(probability)}`;
    return `  ${i === 0 ? paint("green", line) : line}`;
  });
  return [paint("bold", file), ...lines, ""].join("\n");
}
