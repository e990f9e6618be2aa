import { ImageError, UsageError } from "../ground/errors.ts";
import { told } from "./picture.ts";
import type { Interpolation, Transforms } from "./transforms.ts";

/** No picture, and nothing on the way to one, is larger. */
export const MAX_PIXELS = 200e6;

/** The longest side that a picture can be resized to, and that of a square cut out of it, in pixels. */
const MAX_SIDE = 2 ** 20;
const MAX_CROP = Math.floor(Math.sqrt(MAX_PIXELS));

/** A picture in memory: 8-bit RGBA, row-major, `width * height * 4` bytes, alpha not premultiplied. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** Interleaved 8-bit samples with any number of channels: what the functions below work on. */
interface Raster {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** What a browser's ImageData has is not its own, so that spreading it gives nothing. */
const rgba = ({ width, height, data }: Image): Raster => ({ width, height, channels: 4, data });

interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Resizes to `width` x `height` pixels, antialiased when it shrinks: byte for byte what Pillow's
 * `resize((width, height), BILINEAR)`, or BICUBIC, makes of an RGB image. The four channels are resized independently.
 * Throws an ImageError for a malformed image and a UsageError for a size that is no integer from 1 to 1,048,576, or over
 * 200 megapixels in all.
 */
export function resizeImage(
  image: Image,
  width: number,
  height: number,
  interpolation: Interpolation = "bilinear",
): Image {
  checkImage(image);
  checkInterpolation(interpolation);
  if (!isSide(width) || !isSide(height) || width * height > MAX_PIXELS) {
    const limits = `both must be integers from 1 to ${MAX_SIDE}, and ${MAX_PIXELS / 1e6} megapixels the most in all`;
    throw new UsageError(`cannot resize an image to ${told(width)} x ${told(height)} pixels: ${limits}`);
  }
  const { data } = resample(rgba(image), width, height, { left: 0, top: 0, width, height }, interpolation);
  return { width, height, data };
}

/**
 * The input of a classifier, [1, channels, crop, crop] in NCHW order, as torchvision's ImageClassification preset makes
 * it: the shorter side resized to `resize`, a square of side `crop` cut from the middle (with black around it where the
 * picture is smaller), scaled to 0..1 and normalized. With one channel the colours are first turned to grey (ITU-R 601
 * luma). Alpha is dropped, not blended, as Pillow's `convert("RGB")` does. Only the pixels that survive the crop are
 * ever computed, so a 100,000 x 1 strip costs no more memory than a photo.
 * Throws an ImageError for a malformed image and a UsageError for transforms that make no sense.
 */
export function preprocess(image: Image, transforms: Transforms, channels = 3): Float32Array {
  checkImage(image);
  const { width, height, kept, left, top } = frame(image, transforms, channels);
  const { crop } = transforms;
  const source = channels === 1 ? grey(image) : rgba(image);
  const { data: pixels } = resample(source, width, height, kept, transforms.interpolation);

  const input = new Float32Array(channels * crop * crop);
  for (let c = 0; c < channels; c++) {
    const normal = normalized(transforms.mean[c], transforms.std[c]);
    const plane = input.subarray(c * crop * crop, (c + 1) * crop * crop).fill(normal[0]);
    for (let y = 0; y < kept.height; y++) {
      const row = (top + y) * crop + left;
      for (let x = 0; x < kept.width; x++) {
        plane[row + x] = normal[pixels[(y * kept.width + x) * source.channels + c]];
      }
    }
  }
  return input;
}

/** What a picture is resized to, which part of that is kept, and where in the square the part lies. */
export function frame(
  picture: { readonly width: number; readonly height: number },
  transforms: Transforms,
  channels: number,
) {
  checkTransforms(transforms, channels);
  const { resize, crop } = transforms;
  const short = Math.min(picture.width, picture.height);
  const width = Math.trunc((resize * picture.width) / short);
  const height = Math.trunc((resize * picture.height) / short);
  const left = cropOffset(width, crop);
  const top = cropOffset(height, crop);
  const kept: Rectangle = {
    left: Math.max(left, 0),
    top: Math.max(top, 0),
    width: Math.min(width, crop),
    height: Math.min(height, crop),
  };
  return { width, height, kept, left: kept.left - left, top: kept.top - top };
}

/** Where a centre crop starts; negative where the image is smaller than the crop. Python rounds halves to even. */
function cropOffset(size: number, crop: number): number {
  if (size < crop) return -Math.floor((crop - size) / 2);
  const half = (size - crop) / 2;
  const down = Math.floor(half);
  return half === down || down % 2 === 0 ? down : down + 1;
}

/** `(p / 255 - mean) / std` for each byte p, rounded to float32 after each step as PyTorch does. */
export function normalized(mean: number, std: number): Float32Array {
  const [m, s] = [Math.fround(mean), Math.fround(std)];
  return Float32Array.from({ length: 256 }, (_, p) => Math.fround(Math.fround(p / 255) - m) / s);
}

// Digits

/** As in MNIST: pixels of the digit's box and the image; mean and deviation of all pixels, 0 to 1. `padding` is LeNet-5's. */
export const DIGIT = { box: 20, side: 28, padding: 2, mean: 0.1307, std: 0.3081 };

/** Less contrast than this, of 255, is paper and not ink. */
const FAINTEST_INK = 16;

/** A pixel belongs to the digit where it has at least this share of the full ink. */
const INK_SHARE = 0.25;

/**
 * The input of LeNet-5, [1, 1, 32, 32], from a picture of one handwritten digit: any size, dark on light or light on
 * dark, opaque or transparent. The digit is turned to grey (ITU-R 601 luma), made light on dark, stretched to the full
 * range, cropped, scaled to fit 20 x 20 pixels and centred by mass in 28 x 28, as MNIST's makers did (LeCun et al.
 * 1998), padded to 32 x 32 and normalized with MNIST's mean and deviation. A picture of 28 x 28 pixels is taken to be
 * MNIST's own format and stays where it is. A picture without contrast gives nothing but background.
 * Throws an ImageError for a malformed image.
 */
export function digitInput(image: Image): Float32Array {
  checkImage(image);
  const { side, padding, mean, std } = DIGIT;
  const ink = extractInk(flatten(image));
  const digit = isDigitSize(ink) ? ink.data : centreDigit(ink);
  const normal = normalized(mean, std);
  const padded = side + 2 * padding;
  const input = new Float32Array(padded * padded).fill(normal[0]);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) input[(y + padding) * padded + x + padding] = normal[digit[y * side + x]];
  }
  return input;
}

const isDigitSize = ({ width, height }: Raster): boolean => width === DIGIT.side && height === DIGIT.side;

/** Grey on an opaque ground: white behind dark strokes, black behind light ones, so that both stay visible. */
function flatten(image: Image): Raster {
  const { data: luma, ...size } = grey(image);
  let opacity = 0;
  let light = 0;
  for (let i = 0; i < luma.length; i++) {
    const alpha = image.data[i * 4 + 3];
    opacity += alpha;
    light += alpha * luma[i];
  }
  if (opacity === 255 * luma.length) return { ...size, data: luma };
  const ground = light > 127.5 * opacity ? 0 : 255;
  const data = luma.map((value, i) => ground + Math.round(((value - ground) * image.data[i * 4 + 3]) / 255));
  return { ...size, data };
}

/**
 * How much ink each pixel has: 0 for the ground, 255 for the strongest stroke. The ground is the median of the
 * border; the ink is whatever lies farther from it, the darkest or the lightest pixel. Paper is never even: as far
 * as the border strays from its median, up to a limit, everything is ground.
 */
function extractInk(image: Raster): Raster {
  const { width, height, data } = image;
  const border = new Uint32Array(256);
  let darkest = 255;
  let lightest = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (x === 0 || y === 0 || x === width - 1 || y === height - 1) border[data[i]]++;
      darkest = Math.min(darkest, data[i]);
      lightest = Math.max(lightest, data[i]);
    }
  }
  const ground = quantile(border, 0.5);
  const dark = ground - darkest > lightest - ground;
  const range = dark ? ground - darkest : lightest - ground;
  if (range < FAINTEST_INK) return { ...image, data: new Uint8Array(data.length) };
  const stray = dark ? ground - quantile(border, 0.05) : quantile(border, 0.95) - ground;
  // MNIST's own pictures, whose ink reaches 254 or 255, keep their values to the bit.
  const asIs = isDigitSize(image) && range >= 254;
  const floor = asIs ? 0 : Math.min(stray, range * INK_SHARE);
  const scale = asIs ? 1 : 255 / (range - floor);
  const levels = Uint8ClampedArray.from({ length: 256 }, (_, p) => (Math.abs(p - ground) - floor) * scale);
  for (let p = 0; p < 256; p++) if (dark ? p > ground : p < ground) levels[p] = 0;
  return { ...image, data: data.map((p) => levels[p]) };
}

/** The smallest value that at least the given share of a histogram's samples do not exceed. */
function quantile(histogram: Uint32Array, share: number): number {
  const wanted = share * histogram.reduce((sum, count) => sum + count, 0);
  let value = 0;
  for (let seen = histogram[0]; seen < wanted; seen += histogram[value]) value++;
  return value;
}

/** The digit as MNIST frames it: 20 x 20 at most, its centre of mass in the middle of 28 x 28 bytes. */
function centreDigit(ink: Raster): Uint8Array {
  const { box, side } = DIGIT;
  const digit = new Uint8Array(side * side);
  const bounds = inkBounds(ink);
  if (!bounds) return digit;
  const scale = box / Math.max(bounds.width, bounds.height);
  const width = Math.max(1, Math.round(bounds.width * scale));
  const height = Math.max(1, Math.round(bounds.height * scale));
  const { data: pixels } = resample(cut(ink, bounds), width, height, { left: 0, top: 0, width, height });

  let [mass, massX, massY, peak] = [0, 0, 0, 0];
  pixels.forEach((value, i) => {
    mass += value;
    massX += value * ((i % width) + 0.5);
    massY += value * (Math.floor(i / width) + 0.5);
    peak = Math.max(peak, value);
  });
  const place = (centre: number, size: number) => Math.min(Math.max(Math.round(side / 2 - centre), 0), side - size);
  const left = place(massX / mass, width);
  const top = place(massY / mass, height);
  // Thin strokes pale when they shrink: the strongest is full ink again.
  pixels.forEach((value, i) => {
    digit[(top + Math.floor(i / width)) * side + left + (i % width)] = Math.round((value * 255) / peak);
  });
  return digit;
}

function inkBounds({ width, height, data }: Raster): Rectangle | undefined {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[y * width + x] < 255 * INK_SHARE) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  }
  return right < 0 ? undefined : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

function cut(image: Raster, { left, top, width, height }: Rectangle): Raster {
  const { channels } = image;
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * image.width + left) * channels;
    data.set(image.data.subarray(start, start + width * channels), y * width * channels);
  }
  return { width, height, channels, data };
}

/** ITU-R 601 luma in Pillow's fixed point, so that the bytes are those of `convert("L")`. */
function grey({ width, height, data }: Image): Raster {
  const luma = new Uint8Array(width * height);
  for (let i = 0; i < luma.length; i++) {
    luma[i] = (data[i * 4] * 19595 + data[i * 4 + 1] * 38470 + data[i * 4 + 2] * 7471 + 0x8000) >> 16;
  }
  return { width, height, channels: 1, data: luma };
}

// Resampling

/** Fixed-point bits of a resampling weight: 32 less 8 for the sample and 2 to spare, Pillow's choice. */
const WEIGHT_BITS = 22;

/** Which samples make output sample i, and how much each counts: `taps` weights from input sample `start[i]` on. */
export interface Taps {
  readonly taps: number;
  readonly start: Int32Array;
  readonly values: Int32Array;
}

/**
 * The part `kept` of the image resized to width x height. It follows Pillow to the bit: horizontally first, rounded to
 * bytes, then vertically; and the other way round for a very tall image that gets lower.
 */
function resample(
  image: Raster,
  width: number,
  height: number,
  kept: Rectangle,
  interpolation?: Interpolation,
): Raster {
  const columns = resamplingWeights(image.width, width, kept.left, kept.width, interpolation);
  const rows = resamplingWeights(image.height, height, kept.top, kept.height, interpolation);
  if (image.height > 100 * image.width && height < image.height) {
    return resampleColumns(resampleRows(image, rows), columns);
  }
  const first = rows.start[0];
  const needed = rows.start[kept.height - 1] + rows.taps - first;
  if (needed * kept.width > MAX_PIXELS) {
    const sizes = `${image.width} x ${image.height} to ${width} x ${height}`;
    throw new UsageError(
      `resizing ${sizes} pixels takes ${kept.width} x ${needed} on the way; do it in two steps, the height first`,
    );
  }
  const stride = image.width * image.channels;
  const strip = { ...image, height: needed, data: image.data.subarray(first * stride, (first + needed) * stride) };
  return resampleRows(resampleColumns(strip, columns), { ...rows, start: rows.start.map((row) => row - first) });
}

/** Makes each row as wide as there are weights. */
function resampleColumns({ width, height, channels, data }: Raster, weights: Taps): Raster {
  const outputs = weights.start.length;
  const result = new Uint8ClampedArray(outputs * height * channels);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < outputs; x++) {
      const from = (y * width + weights.start[x]) * channels;
      for (let c = 0; c < channels; c++) result[to++] = weigh(data, from + c, channels, weights, x);
    }
  }
  return { width: outputs, height, channels, data: result };
}

/** Makes each column as high as there are weights. */
function resampleRows({ width, channels, data }: Raster, weights: Taps): Raster {
  const outputs = weights.start.length;
  const stride = width * channels;
  const result = new Uint8ClampedArray(outputs * stride);
  for (let y = 0, to = 0; y < outputs; y++) {
    const from = weights.start[y] * stride;
    for (let i = 0; i < stride; i++) result[to++] = weigh(data, from + i, stride, weights, y);
  }
  return { width, height: outputs, channels, data: result };
}

/** Output sample i from the input samples `from`, `from + step`, ..., to be clamped: some cubic weights are negative. */
function weigh(samples: Raster["data"], from: number, step: number, { taps, values }: Taps, i: number): number {
  let sum = 1 << (WEIGHT_BITS - 1);
  for (let k = i * taps, end = k + taps; k < end; k++, from += step) sum += samples[from] * values[k];
  return sum >> WEIGHT_BITS;
}

/** Filters by how far they reach to either side, in input samples, or output samples where the image shrinks. */
const FILTERS: Readonly<Record<Interpolation, { readonly reach: number; weight(distance: number): number }>> = {
  bilinear: { reach: 1, weight: (x) => Math.max(1 - x, 0) },
  // The cubic of R. Keys (1981) with a = -1/2, in the order in which Pillow rounds.
  bicubic: {
    reach: 2,
    weight: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0),
  },
};

/**
 * The weights of a filter for the output samples `first` to `first + count` of `outputs`, from `inputs` input samples, in
 * Pillow's fixed point.
 */
export function resamplingWeights(
  inputs: number,
  outputs: number,
  first: number,
  count: number,
  interpolation: Interpolation = "bilinear",
): Taps {
  const { reach, weight } = FILTERS[interpolation];
  const scale = inputs / outputs;
  const spread = Math.max(scale, 1);
  const support = reach * spread;
  const taps = Math.min(Math.ceil(support) * 2 + 1, inputs);
  const start = new Int32Array(count);
  const values = new Int32Array(count * taps);
  for (let i = 0; i < count; i++) {
    const centre = (first + i + 0.5) * scale;
    const from = Math.max(Math.trunc(centre - support + 0.5), 0);
    const to = Math.min(Math.trunc(centre + support + 0.5), inputs);
    // Every output has the same number of taps; at the right edge the spare ones, of weight 0, lie on the left.
    start[i] = Math.min(from, inputs - taps);
    const weights: number[] = [];
    for (let x = from; x < to; x++) weights.push(weight(Math.abs((x - centre + 0.5) * (1 / spread))));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    weights.forEach((weight, k) => {
      const share = weight / sum;
      values[i * taps + from - start[i] + k] = Math.trunc((share < 0 ? -0.5 : 0.5) + share * 2 ** WEIGHT_BITS);
    });
  }
  return { taps, start, values };
}

// Checks

const isSide = (size: unknown): boolean =>
  Number.isInteger(size) && (size as number) > 0 && (size as number) <= MAX_SIDE;

const isByteArray = (data: unknown): data is Image["data"] =>
  ["Uint8Array", "Uint8ClampedArray"].includes(Object.prototype.toString.call(data).slice(8, -1));

/** Throws an ImageError unless an image has sizes and as many bytes of RGBA as they say. */
export function checkImage(image: Image): void {
  if (typeof image !== "object" || image === null) {
    throw new ImageError(`got ${told(image)} for an image; wanted { width, height, data }`);
  }
  const { width, height, data } = image;
  const whole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!whole)
    throw new ImageError(`an image of ${told(width)} x ${told(height)} pixels: both sizes must be positive integers`);
  const wanted = `${width * height * 4} bytes of RGBA`;
  if (!isByteArray(data)) {
    throw new ImageError(
      `the data of an image is ${told(data)}; wanted ${wanted} in a Uint8Array or Uint8ClampedArray, 0 to 255 each`,
    );
  }
  if (data.length !== width * height * 4) {
    throw new ImageError(`an image of ${width} x ${height} pixels has ${wanted}, not ${data.length}`);
  }
}

/** Throws a UsageError for transforms that make no sense for images of that many channels. */
export function checkTransforms(transforms: Transforms, channels: number): void {
  if (typeof transforms !== "object" || transforms === null) {
    throw new UsageError(`got ${told(transforms)} for transforms; wanted { resize, crop, mean, std }`);
  }
  const { resize, crop, mean, std, interpolation } = transforms;
  if (channels !== 1 && channels !== 3) {
    throw new UsageError(
      `channels is ${told(channels)}; it must be 1 (grey) or 3 (RGB) for pictures: give run() elements for others`,
    );
  }
  for (const [name, size, most] of [
    ["resize", resize, MAX_SIDE],
    ["crop", crop, MAX_CROP],
  ] as const) {
    if (!isSide(size) || size > most) {
      throw new UsageError(`${name} is ${told(size)}; it must be a positive integer, ${most} at most`);
    }
  }
  for (const [name, values] of Object.entries({ mean, std })) {
    const fits = (value: unknown) => Number.isFinite(value) && (name !== "std" || (value as number) > 0);
    if (!Array.isArray(values) || !values.every(fits)) {
      const kind = name === "std" ? "positive numbers" : "numbers";
      throw new UsageError(`${name} is ${told(values)}; it must be an array of ${kind}, on the scale 0 to 1`);
    }
    if (values.length !== channels) {
      throw new UsageError(`${name} has ${values.length} values for ${channels} channels; it needs one for each`);
    }
  }
  checkInterpolation(interpolation);
}

function checkInterpolation(interpolation: unknown = "bilinear"): void {
  if (typeof interpolation === "string" && Object.hasOwn(FILTERS, interpolation)) return;
  throw new UsageError(`interpolation is ${told(interpolation)}; it must be ${Object.keys(FILTERS).join(" or ")}`);
}
