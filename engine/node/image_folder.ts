import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { type AnyNet, checkDefinition, type Given, inputShape, publishedOf } from "../definition.ts";
import { check, checkFields, checkObject, checkText, FileError, ImageError, ShapeError } from "../ground/errors.ts";
import { formatShape, sizeOf } from "../ground/tensor.ts";
import type { Image } from "../image/image.ts";
import { choosePreparation } from "../image/pictures.ts";
import { fitTransforms } from "../image/transforms.ts";
import { augmented, drawsOf } from "../training/augmentation.ts";
import type { Dataset } from "../training/data.ts";
import { clip, listNames, quote } from "../weights/checkpoint.ts";
import { readImage } from "./decode.ts";
import { fileError } from "./files.ts";

export interface FolderOptions {
  /** Whether pictures for training are cut and turned at random; they are by default. */
  readonly augment?: boolean;
  /**
   * Whether files that are no pictures are left out, and classes without any: all are read for that. If not, a batch with
   * such a file fails.
   */
  readonly skipUnreadable?: boolean;
}

/** Pictures in a folder for each class. */
export interface ImageFolder extends Dataset {
  readonly classes: readonly string[];
  /** The path of each. */
  readonly files: readonly string[];
  /** What was left out, and why. */
  readonly warnings: readonly string[];
}

/** What torchvision takes for a picture; of these, PNG, JPEG and WebP can be read. */
const PICTURE = /\.(jpe?g|png|ppm|bmp|pgm|tiff?|webp)$/i;

/**
 * The pictures in a folder that has a folder for each class, named after it, with pictures at any depth: in the order of
 * torchvision.datasets.ImageFolder, ready for a net. Takes what the net is loaded with, too. They are prepared as classify()
 * does it; for training a random part of each is resized to the net's size and every other one turned left to right
 * (RandomResizedCrop and RandomHorizontalFlip), but for a net that has no transforms: LeNet-5, where none are given.
 * Throws a FileError for a folder that has no such folders or one without pictures in it; a batch throws the ImageError of a
 * file that cannot be read.
 */
export async function imageFolder(
  path: string,
  definition: AnyNet,
  options: FolderOptions & Given = {},
): Promise<ImageFolder> {
  checkText("the folder", path);
  checkDefinition(definition);
  checkObject("imageFolder(): options", options);
  const { augment = true, skipUnreadable = false, ...given } = options;
  check(typeof augment === "boolean", "augment", augment, "a boolean");
  check(typeof skipUnreadable === "boolean", "skipUnreadable", skipUnreadable, "a boolean");
  const shape = inputShape(definition, given);
  const [, channels, height, width] = shape;
  const image = shape.slice(1);
  const published = publishedOf(definition, given)?.transforms;
  const { transforms, orientation } = choosePreparation(definition, published, given, shape);
  const usual = transforms ?? definition.transforms;
  if (usual)
    checkFields("the net's transforms", usual, { resize: "number", crop: "number", mean: "object", std: "object" });
  const isFitting = !usual || (Array.isArray(usual.mean) && Array.isArray(usual.std));
  check(isFitting, "the net's transforms", usual, "with a mean and a std for each channel");
  // What is cut out has the net's size already.
  const ofParts = augment && usual && { ...fitTransforms(usual, height, channels), resize: height };
  const read = (file: string) => readImage(file, { orientation });
  const { classes, files, labels, warnings } = await list(path, skipUnreadable ? read : undefined, given.signal);

  async function prepared(place: number, key?: number): Promise<Float32Array> {
    const picture = await read(files[place]).catch((error) => {
      throw isUnreadable(error) ? withAdvice(error) : error;
    });
    const elements =
      ofParts && key !== undefined
        ? await definition.preprocess(
            augmented(picture, width, height, drawsOf(key, place), ofParts.interpolation),
            image,
            ofParts,
          )
        : await definition.preprocess(picture, image, transforms);
    if (elements.length === sizeOf(image)) return elements;
    throw new ShapeError(`${definition.name} prepares no pictures for ${formatShape(image)}: give a square imageSize`);
  }

  return {
    size: files.length,
    classes,
    files,
    warnings,
    async examples(places, key) {
      const images = new Float32Array(places.length * sizeOf(image));
      // One after the other, so that one picture is in memory at a time.
      for (const [i, place] of places.entries()) {
        const elements = await prepared(place, key);
        images.set(elements, i * elements.length);
      }
      return { images, labels: places.map((place) => labels[place]) };
    },
  };
}

const isUnreadable = (error: unknown): error is ImageError | FileError =>
  error instanceof ImageError || error instanceof FileError;

function withAdvice(error: ImageError | FileError): ImageError | FileError {
  const message = `${error.message}; the option skipUnreadable: true leaves such files out`;
  return error instanceof ImageError
    ? new ImageError(message, { cause: error })
    : new FileError(message, { cause: error });
}

/** All pictures of all classes; with `read`, those that it can read. */
async function list(path: string, read: ((file: string) => Promise<Image>) | undefined, signal?: AbortSignal) {
  const names = (await entriesOf(path)).filter(({ isFolder }) => isFolder).map(({ name }) => name);
  if (names.length === 0) throw new FileError(`${clip(path)} has no folders in it; ${WANTED}`);
  const [classes, files, labels, warnings]: [string[], string[], number[], string[]] = [[], [], [], []];
  for (const name of names) {
    const before = files.length;
    const folders = (await foldersIn(join(path, name))).sort((a, b) => (a.folder < b.folder ? -1 : 1));
    for (const file of folders.flatMap(({ pictures }) => pictures)) {
      signal?.throwIfAborted();
      const problem = await read?.(file).then(
        () => undefined,
        (error: Error) => error,
      );
      if (problem && !isUnreadable(problem)) throw problem;
      if (problem) {
        warnings.push(`left out: ${problem.message}`);
        continue;
      }
      files.push(file);
      labels.push(classes.length);
    }
    if (files.length > before) classes.push(name);
    else if (read) warnings.push(`left out: the class ${quote(name)}, which has no picture that can be read`);
  }
  const empty = names.filter((name) => !classes.includes(name));
  if (classes.length > 0 && (read || empty.length === 0)) return { classes, files, labels, warnings };
  const which = `${read ? "pictures that can be read" : "pictures"}: ${listNames(empty)}`;
  const advice = "fill or remove them, since each is a class; the option skipUnreadable: true leaves such classes out";
  throw new FileError(`${clip(path)} has folders without ${which}; ${read ? WANTED : advice}`);
}

const WANTED = "wanted a folder with a folder of pictures for each class";

/** What is in a folder, by name; links are what they lead to. */
async function entriesOf(folder: string) {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause) => {
    throw new FileError(`${fileError("read", folder, cause).message}; ${WANTED}`, { cause });
  });
  const found = entries.map(async (entry) => {
    const { name } = entry;
    const target = entry.isSymbolicLink() ? await stat(join(folder, name)).catch(() => entry) : entry;
    return { name, isFolder: target.isDirectory() };
  });
  return (await Promise.all(found)).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A folder and those at any depth in it, with the paths of their pictures. */
async function foldersIn(
  folder: string,
  above: readonly string[] = [],
): Promise<{ folder: string; pictures: string[] }[]> {
  const entries = await entriesOf(folder);
  const real = await realpath(folder);
  // A link that leads back would never end.
  if (above.includes(real)) return [];
  const pictures = entries.filter(({ name, isFolder }) => !isFolder && PICTURE.test(name));
  const found = [{ folder, pictures: pictures.map(({ name }) => join(folder, name)) }];
  for (const { name, isFolder } of entries)
    if (isFolder) found.push(...(await foldersIn(join(folder, name), [...above, real])));
  return found;
}
