import { type Shape, sizeOf, type Tensor } from "../../engine/ground/tensor.ts";
import { generate } from "../../tools/hashinit.ts";

const SEED = 1;

/** Pixels of a coarse block. */
const BLOCK = 32;

/** A random input: coarse blocks under fine noise, so that a net sees something else at every place. */
export function randomInput(shape: Shape): Tensor {
  const [batch, channels, height, width] = shape;
  const [rows, columns] = [Math.ceil(height / BLOCK), Math.ceil(width / BLOCK)];
  const blocks = generate("blocks", SEED, 0, batch * channels * rows * columns, 1.5);
  const data = generate("noise", SEED, 0, sizeOf(shape), 0.25);
  for (let i = 0; i < data.length; i++) {
    const [plane, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    data[i] += blocks[(plane * rows + Math.floor(y / BLOCK)) * columns + Math.floor(x / BLOCK)];
  }
  return { shape, data };
}

/** A random class for every image. */
export const randomLabels = (batch: number, classes: number): number[] =>
  Array.from(generate("labels", SEED, 0, batch, 1), (x) => Math.floor(((x + 1) / 2) * classes));

/** Labels as a row of zeros for each image, but for a one at its class. */
export const oneHot = (labels: readonly number[], classes: number): Float32Array =>
  Float32Array.from(labels.flatMap((label) => Array.from({ length: classes }, (_, i) => Number(i === label))));

/** An input's pixels with their channels side by side, as an application has them that reads pictures. */
export function toNhwc(data: Float32Array, [n, c, h, w]: Shape): Float32Array {
  const pixels = new Float32Array(data.length);
  let at = 0;
  for (let image = 0; image < n; image++) {
    for (let i = 0; i < h * w; i++) {
      for (let channel = 0; channel < c; channel++) pixels[at++] = data[(image * c + channel) * h * w + i];
    }
  }
  return pixels;
}
