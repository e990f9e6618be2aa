import type { Device } from "../device/device.ts";
import { ImageError, ShapeError } from "../ground/errors.ts";
import type { Dtype } from "../ground/options.ts";
import { formatShape, type Shape, sizeOf } from "../ground/tensor.ts";
import { type Batch, batchOf } from "./batch.ts";
import type { Image } from "./image.ts";
import { isInMemory, isPicture, type Picture, type PictureInput } from "./picture.ts";
import { readPicture, uploadPicture } from "./shown.ts";
import type { Transforms } from "./transforms.ts";

/** How pictures become a net's input. */
export interface Preparation {
  /** What is told of in messages: the net's name. */
  readonly name: string;
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

/** What pictures are prepared for. */
interface Preparing {
  readonly device: Device;
  readonly definition: Preparation;
  /** [N, C, H, W] of the batch. */
  readonly shape: Shape;
  readonly dtype: Dtype;
  readonly transforms: Transforms | undefined;
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
  if (odd !== undefined) {
    throw new ImageError(`got ${odd} for a picture; wanted { width, height, data }, or what a browser can show`);
  }
  const inMemory = pictures.every(isInMemory) || !target.definition.preprocessTexture;
  return inMemory ? prepareInMemory(pictures, target) : prepareOnGpu(pictures, target);
}

async function prepareInMemory(pictures: readonly Picture[], target: Preparing): Promise<Batch> {
  const { definition, shape, transforms } = target;
  const [, ...image] = shape;
  const data = new Float32Array(sizeOf(shape));
  await Promise.all(
    pictures.map(async (picture, i) => {
      const pixels = isInMemory(picture) ? copyOf(picture) : await readPicture(picture);
      const elements = await definition.preprocess(pixels, image, transforms);
      if (elements.length !== sizeOf(image)) throw unprepared(target);
      data.set(elements, i * elements.length);
    }),
  );
  return batchOf(data, shape);
}

/** Pixels are the caller's again at once, and what prepares them may have to be loaded. An ImageData owns no properties. */
const copyOf = ({ width, height, data }: Image): Image => ({ width, height, data: data.slice() });

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
    slice: (first, count) => (encoder, buffer) => {
      if (inputs.length < first + count) encoder.clearBuffer(buffer);
      inputs.slice(first, first + count).forEach((input, i) => {
        input.write(encoder, buffer, i * size);
      });
    },
    dispose,
  };
}

async function pictureInput(picture: Picture, target: Preparing): Promise<PictureInput> {
  const { device, definition, shape, dtype, transforms } = target;
  const texture = await uploadPicture(device, picture);
  try {
    const input = await definition.preprocessTexture?.(device, texture, shape.slice(1), dtype, transforms);
    if (!input) throw unprepared(target);
    return {
      write: input.write,
      dispose() {
        input.dispose();
        texture.destroy();
      },
    };
  } catch (error) {
    texture.destroy();
    throw error;
  }
}

const unprepared = ({ definition, shape }: Preparing): ShapeError =>
  new ShapeError(`${definition.name} prepares no images for ${formatShape(shape.slice(1))}: use run()`);
