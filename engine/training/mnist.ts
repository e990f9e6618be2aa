import { check, FileError, isTexts, ShadenetError, show } from "../ground/errors.ts";
import { DIGIT, normalized } from "../image/image.ts";
import { clip } from "../weights/checkpoint.ts";
import type { Dataset } from "./data.ts";

/** The bytes of one of MNIST's idx files, gzipped or not. A File's name stands in messages. */
export type IdxFile = Uint8Array | ArrayBuffer | Blob;

/** Digits as MNIST's files have them. */
export interface Digits {
  /** [count, 28, 28]: 0 is the ground, 255 is ink. */
  readonly images: Uint8Array;
  /** [count]: the class of each. */
  readonly labels: Uint8Array;
  readonly count: number;
}

const { side, padding, mean, std } = DIGIT;

/** The side of LeNet-5's input, in pixels. */
const INPUT = side + 2 * padding;

/**
 * MNIST's handwritten digits, or what is stored alike (Fashion-MNIST, say), from the bytes of a file of images and that of
 * their labels: [1, 32, 32] each, padded and normalized as LeNet-5 wants them. Throws a FileError for files that are cut
 * short, are none of these or do not belong together.
 */
export async function mnist(
  images: IdxFile,
  labels: IdxFile,
  classes: readonly string[] = [..."0123456789"],
): Promise<Dataset> {
  check(isTexts(classes), "classes", classes, "an array of names");
  const digits = parseDigits(
    await unpacked(images, "the file of images"),
    await unpacked(labels, "the file of labels"),
    classes.length,
  );
  return {
    size: digits.count,
    classes,
    examples: (places) => ({
      images: digitInputs(digits.images, places),
      labels: places.map((place) => digits.labels[place]),
    }),
  };
}

/** The input of LeNet-5, [N, 1, 32, 32], from the digits at these places. */
export function digitInputs(images: Uint8Array, places: readonly number[]): Float32Array {
  const normal = normalized(mean, std);
  const input = new Float32Array(places.length * INPUT ** 2).fill(normal[0]);
  places.forEach((place, n) => {
    for (let y = 0; y < side; y++) {
      const from = (place * side + y) * side;
      const to = (n * INPUT + y + padding) * INPUT + padding;
      for (let x = 0; x < side; x++) input[to + x] = normal[images[from + x]];
    }
  });
  return input;
}

/** What the bytes of an idx file are called. */
interface Named {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Checks a file of images and that of their labels, which are below `classes`. */
export function parseDigits(imagesFile: Named, labelsFile: Named, classes = 10): Digits {
  const [images, labels] = [readIdx(imagesFile, "images", 3), readIdx(labelsFile, "labels", 1)];
  const [count, height, width] = images.sizes;
  const { name } = imagesFile;
  if (height !== side || width !== side)
    throw new FileError(`${name} has images of ${height} x ${width} pixels; wanted MNIST's ${side} x ${side}`);
  if (count === 0) throw new FileError(`${name} has no images in it`);
  if (labels.sizes[0] !== count) {
    const counts = `${name} has ${count} images and ${labelsFile.name} ${labels.sizes[0]} labels`;
    throw new FileError(`${counts}: take both of the same set, train or t10k`);
  }
  const odd = labels.data.findIndex((label) => label >= classes);
  if (odd >= 0) {
    const got = `the label of image ${odd} in ${labelsFile.name} is ${labels.data[odd]}`;
    throw new FileError(`${got}, and there are ${classes} classes: give a name for each as the third argument`);
  }
  return { images: images.data, labels: labels.data, count };
}

/** An idx file of unsigned bytes: the magic number 0x0800 + rank, a big-endian size per dimension, the data. */
function readIdx({ name, bytes }: Named, kind: "images" | "labels", rank: number) {
  const header = 4 + 4 * rank;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [magic, wanted] = [bytes.length < 4 ? undefined : view.getUint32(0), 0x0800 + rank];
  if (magic !== undefined && magic !== wanted) {
    const file = `MNIST's ${kind}, a file like train-${kind}-idx${rank}-ubyte, which begins with ${wanted}`;
    throw new FileError(`${name} begins with the number ${magic}; wanted ${file}`);
  }
  const sizes = bytes.length < header ? [] : Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const length = header + sizes.reduce((product, size) => product * size, 1);
  if (bytes.length < length) {
    const most = sizes.length > 0 ? length : "more";
    throw new FileError(`${name} is cut short: it has ${bytes.length} bytes of ${most}; download it again`);
  }
  if (bytes.length > length)
    throw new FileError(`${name} has ${bytes.length} bytes, and its header says ${length}: it is damaged`);
  return { sizes, data: bytes.subarray(header) };
}

/** The bytes of a file, out of their gzip where they are in one. */
export async function unpacked(given: IdxFile, what: string): Promise<Named> {
  const isBytes = given instanceof Uint8Array || given instanceof ArrayBuffer;
  if (!isBytes && !(given instanceof Blob)) throw new FileError(`${what} is ${show(given)}; wanted its bytes`);
  // One that was transferred has no bytes, and no view of it can be made.
  const blob = isBytes ? new Blob(given.byteLength > 0 ? [new Uint8Array(given)] : []) : given;
  const name = clip((given as Partial<File>).name ?? what);
  try {
    const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
    const isPacked = first === 0x1f && second === 0x8b;
    const stream = isPacked ? blob.stream().pipeThrough(new DecompressionStream("gzip")) : blob.stream();
    return { name, bytes: new Uint8Array(await new Response(stream).arrayBuffer()) };
  } catch (cause) {
    if (cause instanceof ShadenetError) throw cause;
    const reason = clip((cause as Error).message);
    throw new FileError(`${name} cannot be unpacked (${reason}): it is cut short or damaged; download it again`, {
      cause,
    });
  }
}
