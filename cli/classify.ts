import type { Command } from "commander";
import { findNet } from "../engine/definition.ts";
import type { Dtype } from "../engine/ground/options.ts";
import { type Image, nets, type Prediction, readImage, ShadenetError } from "../index.ts";
import {
  type CommonOptions,
  type Context,
  command,
  dtypeOption,
  positiveInteger,
  weightsOption,
} from "../tools/command.ts";
import { expandPatterns } from "../tools/files.ts";
import { bar, clip, percent } from "../tools/format.ts";
import { openNet, type Session } from "../tools/session.ts";
import { complain, lineWidth, openProgress, paint, print, printJson } from "../tools/terminal.ts";

interface Options extends CommonOptions {
  readonly net: string;
  readonly weights?: string;
  readonly top: number;
  readonly dtype: Dtype;
}

type Result =
  | { readonly file: string; readonly top: readonly Prediction[] }
  | { readonly file: string; readonly error: { readonly code: string; readonly message: string } };

export function classifyCommand(context: Context): Command {
  return command(
    "classify",
    "tell what pictures show",
    'npx shadenet classify "photos/*.jpg" --net resnet50 --weights resnet50.safetensors',
  )
    .argument(
      "<image...>",
      "PNG, JPEG or WebP files, addresses, - for standard input, or patterns such as photos/*.jpg",
    )
    .option("--net <name>", `one of ${Object.keys(nets).join(", ")}`, "lenet5")
    .addOption(weightsOption())
    .option("--top <n>", "how many classes to tell", positiveInteger, 5)
    .addOption(dtypeOption())
    .action((images: string[], options: Options) => classify(images, options, context));
}

async function classify(patterns: readonly string[], options: Options, { signal }: Context): Promise<void> {
  findNet(nets, options.net);
  const files = await expandPatterns(patterns);
  const streams = !options.json;
  // Results that scroll by on the terminal show the progress themselves.
  const progress = streams && process.stdout.isTTY ? undefined : await openProgress("Classifying");
  const results: Result[] = [];
  let session: Session | undefined;
  try {
    for (const file of files) {
      signal.throwIfAborted();
      const image = await readOrFail(file);
      if ("error" in image) {
        results.push({ file, ...image });
        process.exitCode = 1;
        continue;
      }
      // Only now, so that the GPU is not opened for nothing.
      session ??= await openNet(options.net, { weights: options.weights, dtype: options.dtype, signal });
      const top = await session.net.classify(image, { top: options.top });
      if (streams) print(describe(file, top, lineWidth()));
      results.push({ file, top });
      progress?.update(results.length, files.length);
    }
  } finally {
    progress?.stop();
    session?.close();
  }
  if (options.json) printJson(results);
}

async function readOrFail(file: string): Promise<Image | { error: { code: string; message: string } }> {
  try {
    return await readImage(file);
  } catch (error) {
    if (!(error instanceof ShadenetError)) throw error;
    complain(error.message);
    return { error: { code: error.code, message: error.message } };
  }
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
