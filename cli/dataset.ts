import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type AnyNet, type Given, inputShape } from "../engine/definition.ts";
import { formatShape, sameShape } from "../engine/ground/tensor.ts";
import { cacheFolder } from "../engine/node/cache.ts";
import { fileError } from "../engine/node/files.ts";
import { type Dataset, FileError, type FolderOptions, imageFolder, mnist, UsageError } from "../index.ts";
import { complain } from "../tools/terminal.ts";

const MNIST = /^mnist(?::(.+))?$/s;

/** Whether a place is MNIST, which has images for training and others for validation. */
export const isMnist = (place: string): boolean => MNIST.test(place);

/**
 * The dataset at a place, as a net takes it: "mnist", "mnist:FOLDER", or a folder with a folder of pictures for each class.
 * What was left out of it is told on stderr.
 */
export async function openDataset(
  place: string,
  split: "train" | "t10k",
  definition: AnyNet,
  given: Given,
  options: FolderOptions,
): Promise<Dataset & { readonly classes: readonly string[] }> {
  const [isDigits, folder] = MNIST.exec(place) ?? [];
  if (isDigits) {
    const shape = inputShape(definition, given).with(0, 1);
    if (!sameShape(shape, [1, 1, 32, 32])) {
      const advice = "train lenet5 on them, or a net with --in-channels 1 --image-size 32";
      throw new UsageError(
        `MNIST's digits are [1, 1, 32, 32], and ${definition.name} takes ${formatShape(shape)}: ${advice}`,
      );
    }
    const [images, labels] = await mnistFiles(split, folder);
    const dataset = await mnist(images, labels);
    return { ...dataset, classes: dataset.classes ?? [] };
  }
  const dataset = await imageFolder(place, definition, { ...given, ...options });
  for (const warning of dataset.warnings) complain(`warning: ${warning}`);
  return dataset;
}

/** MNIST's file of images and that of labels, wherever they are. */
async function mnistFiles(split: string, given?: string): Promise<File[]> {
  const folders = given === undefined ? ["mnist", join(cacheFolder(), "mnist")] : [given];
  const wanted = [`${split}-images-idx3-ubyte`, `${split}-labels-idx1-ubyte`];
  for (const folder of folders) {
    const there = await readdir(folder).catch(() => []);
    // Some have a dot in place of the second dash, and none or .gz at the end.
    const found = wanted.map((name) =>
      there.find((file) => file.replace(".idx", "-idx").replace(/\.gz$/, "") === name),
    );
    if (found.every((name) => name !== undefined))
      return Promise.all(found.map((name) => readWhole(join(folder, name))));
  }
  const names = wanted.map((name) => `${name}.gz`).join(" and ");
  throw new FileError(
    `MNIST is not in ${folders.join(" or ")}: put ${names} there, from https://ossci-datasets.s3.amazonaws.com/mnist/ say, or name their folder: --data mnist:FOLDER`,
  );
}

async function readWhole(path: string): Promise<File> {
  try {
    return new File([await readFile(path)], path);
  } catch (cause) {
    throw fileError("read", path, cause);
  }
}
