import type { Device } from "../device/device.ts";
import { checkOptions, ImageError, ShapeError, UsageError } from "../ground/errors.ts";
import type { Dtype } from "../ground/options.ts";
import { formatShape, type Shape, sizeOf } from "../ground/tensor.ts";
import { type Batch, batchOf } from "./batch.ts";
import { checkImage, checkTransforms, type Image } from "./image.ts";
import { checkOrientation, type Orientation } from "./orientation.ts";
import { isInMemory, isPicture, isTexture, type Picture, type PictureInput, told } from "./picture.ts";
import { readPicture, uploadPicture } from "./shown.ts";
import { fitTransforms, IMAGENET, type Transforms } from "./transforms.ts";

/** How pictures become a net's input. */
export interface Preparation {
  /** What is told of in messages: the net's name. */
  readonly name: string;
  /** What its pictures go through, where a checkpoint says nothing else; without any, only preprocess() knows. */
  readonly transforms?: Transforms;
  /** One picture as the net's input of shape [C, H, W]. */
  preprocess(image: Image, shape: Shape, transforms?: Transforms): Float32Array | Promise<Float32Array>;
  /** The same on the GPU, for a picture in a texture; undefined if there is no such input. */
  preprocessTexture?(
    device: Device,
    texture: GPUTexture,
    shape: Shape,
    dtype: Dtype,
    transforms?: Transforms,
  ): Promise<PictureInput | undefined>;
}

/** What a caller can say of pictures. */
export interface PictureOptions {
  /** In place of some or all of the net's own transforms. */
  readonly transforms?: Partial<Transforms>;
  /** Whether a File or Blob is turned as its EXIF says; "none" by default, as Pillow and torchvision have it. */
  readonly orientation?: Orientation;
}

// What a run or a classification needs besides: it comes with this module, when a net is loaded.
export { labelsOf, mostProbable } from "../ground/predictions.ts";
export { joinBatches, takeElements } from "./batch.ts";

/** The pictures that an input is; undefined if it is none. */
export function takenAsPictures(input: unknown): readonly Picture[] | undefined {
  const pictures: unknown = isPicture(input) ? [input] : input;
  return Array.isArray(pictures) && pictures.every(isPicture) ? pictures : undefined;
}

const NEEDED = Object.keys(IMAGENET);

/**
 * What a net's pictures go through: the caller's own transforms, completed by those of its checkpoint or its own. Throws
 * a UsageError for options that make no sense, or where something is missing.
 */
export function choosePreparation(
  definition: Preparation,
  published: Transforms | undefined,
  { transforms: own, orientation = "none" }: PictureOptions,
  [, channels, height, width]: Shape,
): { readonly transforms: Transforms | undefined; readonly orientation: Orientation } {
  checkOrientation(orientation);
  if (own === undefined) return { transforms: published, orientation };
  const { name } = definition;
  if (typeof own !== "object" || own === null) throw new UsageError(`transforms is ${told(own)}; wanted an object`);
  checkOptions("transforms", own, [...NEEDED, "interpolation"]);
  if (height !== width) {
    throw new ShapeError(`${name}: transforms make squares, and the net was loaded for ${height} x ${width} pixels`);
  }
  const usual = published ?? definition.transforms;
  const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
  const all = { crop: height, ...(usual && fitTransforms(usual, height, channels)), ...given } as Transforms;
  const missing = NEEDED.filter((key) => !(key in all));
  if (missing.length > 0) throw new UsageError(`${name} has no usual transforms: give ${missing.join(", ")} as well`);
  checkTransforms(all, channels);
  if (all.crop !== height) {
    throw new UsageError(`crop is ${all.crop}, and the net was loaded for ${height} x ${height} pixels (imageSize)`);
  }
  return { transforms: all, orientation };
}

/** What pictures are prepared for. */
interface Preparing {
  readonly device: Device;
  /** That of the device when the pictures were given: textures of an earlier one are gone. */
  readonly generation?: number;
  readonly definition: Preparation;
  /** [N, C, H, W] of the batch. */
  readonly shape: Shape;
  readonly dtype: Dtype;
  readonly transforms: Transforms | undefined;
  readonly orientation?: Orientation;
}

/**
 * A batch of pictures as the net wants them, filled up with zeros. Pixels in memory are prepared there, to the bit as
 * Pillow does it; what a browser shows goes to the GPU and is prepared there, if the net has a kernel for it. Throws a
 * ShapeError for too many pictures, an ImageError for one that cannot be read.
 */
export async function takePictures(pictures: readonly Picture[], target: Preparing): Promise<Batch> {
  const [batch] = target.shape;
  if (pictures.length > batch || pictures.length === 0) {
    throw new ShapeError(`got ${pictures.length} pictures; the net was loaded for 1 to ${batch} at a time`);
  }
  const odd = pictures.find((picture) => !isPicture(picture));
  if (pictures.length > 0 && !pictures.every(isPicture)) {
    const wanted = "{ width, height, data } with the bytes of RGBA, or what a browser can show; elements go to run()";
    throw new ImageError(`got ${told(odd)} for a picture; wanted ${wanted}`);
  }
  pictures.filter(isInMemory).forEach(checkImage);
  const inMemory = pictures.every(isInMemory) || !target.definition.preprocessTexture;
  return inMemory ? prepareInMemory(pictures, target) : prepareOnGpu(pictures, target);
}

async function prepareInMemory(pictures: readonly Picture[], target: Preparing): Promise<Batch> {
  const { definition, shape, transforms } = target;
  const [, ...image] = shape;
  const data = new Float32Array(sizeOf(shape));
  await Promise.all(
    pictures.map(async (picture, i) => {
      const pixels = isInMemory(picture) ? copyOf(picture) : await readAny(picture, target);
      const elements = await definition.preprocess(pixels, image, transforms);
      if (elements.length !== sizeOf(image)) throw unprepared(target);
      data.set(elements, i * elements.length);
    }),
  );
  return batchOf(data, shape);
}

async function readAny(picture: Exclude<Picture, Image>, target: Preparing): Promise<Image> {
  if (!isTexture(picture)) return readPicture(picture, target.orientation);
  return (await import("./given_texture.ts")).readTexture(target, picture);
}

/**
 * Pixels are the caller's again at once, and what prepares them may have to be loaded. An ImageData owns no properties, the
 * slice() of a Buffer is no copy, and memory may be shared with threads that go on writing.
 */
const copyOf = ({ width, height, data }: Image): Image => ({ width, height, data: new Uint8Array(data) });

async function prepareOnGpu(pictures: readonly Picture[], target: Preparing): Promise<Batch> {
  const size = sizeOf(target.shape) / target.shape[0];
  const results = await Promise.allSettled(pictures.map((picture) => pictureInput(picture, target)));
  const inputs = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const dispose = () => {
    for (const input of inputs) input.dispose();
  };
  for (const result of results) {
    if (result.status === "fulfilled") continue;
    dispose();
    throw result.reason;
  }
  return {
    slice: (first, count) => (encoder, target) => {
      if (inputs.length < first + count) encoder.clearBuffer(target.buffer, target.offset, target.size);
      inputs.slice(first, first + count).forEach((input, i) => {
        input.write(encoder, target, i * size);
      });
    },
    dispose,
  };
}

async function pictureInput(picture: Picture, target: Preparing): Promise<PictureInput> {
  const { device, definition, shape, dtype, transforms, orientation } = target;
  const isGiven = isTexture(picture);
  const texture = isGiven
    ? (await import("./given_texture.ts")).checkTexture(target, picture)
    : await uploadPicture(device, picture, orientation);
  const end = () => {
    if (!isGiven) texture.destroy();
  };
  try {
    const input = await definition.preprocessTexture?.(device, texture, shape.slice(1), dtype, transforms);
    if (!input) throw unprepared(target);
    return {
      write: input.write,
      dispose() {
        input.dispose();
        end();
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

const unprepared = ({ definition, shape }: Preparing): ShapeError =>
  new ShapeError(`${definition.name} prepares no images for ${formatShape(shape.slice(1))}: use run()`);
