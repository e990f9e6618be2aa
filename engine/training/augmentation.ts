import { pcg } from "../ground/hash.ts";
import { type Image, resizeImage } from "../image/image.ts";
import type { Interpolation } from "../image/transforms.ts";

/** A number from 0 up to 1, another one with every call. */
export type Draw = () => number;

/** What is drawn for the example at a place: the same for the same key, whenever and in whatever order it is asked for. */
export function drawsOf(key: number, place: number): Draw {
  const start = pcg(pcg(key) ^ place);
  let count = 0;
  return () => pcg(start ^ pcg(count++)) / 2 ** 32;
}

/** The least and the largest share of a picture's area, and width over height, of what is cut out of it. */
const SCALE = [0.08, 1];
const RATIO = [3 / 4, 4 / 3];
const TRIES = 10;

/** A part of a picture, as torchvision.transforms.RandomResizedCrop draws it: the middle one where ten tries do not fit. */
export function randomCrop({ width, height }: Pick<Image, "width" | "height">, draw: Draw) {
  const between = ([low, high]: readonly number[]) => low + (high - low) * draw();
  const place = (size: number, part: number) => Math.floor(draw() * (size - part + 1));
  for (let i = 0; i < TRIES; i++) {
    const area = width * height * between(SCALE);
    const ratio = Math.exp(between(RATIO.map(Math.log)));
    const [w, h] = [Math.round(Math.sqrt(area * ratio)), Math.round(Math.sqrt(area / ratio))];
    if (w < 1 || w > width || h < 1 || h > height) continue;
    const top = place(height, h);
    return { left: place(width, w), top, width: w, height: h };
  }
  const [narrow, wide] = RATIO;
  const w = Math.min(width, Math.max(1, Math.round(height * wide)));
  const h = Math.min(height, Math.max(1, Math.round(width / narrow)));
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

/**
 * A random part of a picture, resized to `width` x `height` pixels, and turned left to right every other time: torchvision's
 * RandomResizedCrop and RandomHorizontalFlip, with Pillow's resampling to the bit.
 */
export function augmented(
  image: Image,
  width: number,
  height: number,
  draw: Draw,
  interpolation?: Interpolation,
): Image {
  const part = randomCrop(image, draw);
  const data = new Uint8Array(part.width * part.height * 4);
  for (let y = 0; y < part.height; y++) {
    const start = 4 * ((part.top + y) * image.width + part.left);
    data.set(image.data.subarray(start, start + 4 * part.width), 4 * y * part.width);
  }
  const resized = resizeImage({ width: part.width, height: part.height, data }, width, height, interpolation);
  if (draw() < 0.5) {
    const pixels = new Uint32Array(resized.data.buffer);
    for (let y = 0; y < height; y++) pixels.subarray(y * width, (y + 1) * width).reverse();
  }
  return resized;
}
