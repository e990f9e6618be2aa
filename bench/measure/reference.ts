import type { AnyKernel, Call } from "../../engine/graph/kernel.ts";
import { type Shape, sizeOf, stridesOf, type Tensor } from "../../engine/ground/tensor.ts";
import { type Activation, errorBehind } from "../../kernels/activation.ts";
import { type Conv2dOptions, geometry } from "../../kernels/conv2d/geometry.ts";
import { evaluateReference } from "../../kernels/references.ts";

// What a layer must compute, by the float64 reference of its operator: all of it, or where that takes too long in
// plain loops, elements at random. One element is the reference of a smaller call: of what that element sees.

export type Inputs = Readonly<Record<string, Tensor>>;

/** Elements of an output as they should be. */
export interface Expected {
  readonly indices: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  /** How far each may be off. */
  readonly tolerances: ArrayLike<number>;
  /** How far any may be off by a variant that is known to round more. */
  readonly approximate: number;
}

/** Operations of a reference that take about half a second. */
const MOST_FLOPS = 1e8;
const SAMPLES = 500;

/** Half the distance of neighbouring float32 at 1. */
const UNIT = 2 ** -24;
/** Denormals may be flushed to zero. */
const TINY = 2 ** -126;

/** In such units and those of the sum of the terms' magnitudes: what a sum of products in float32 may be off. */
const DIRECT = 8;
/** The same for Winograd's, whose sums cancel, by the largest such sum of all: as tests/conv2d.test.ts has it. */
const APPROXIMATE = 100;
/** For what is no sum of products: of the largest value, or of 1, as `shadenet doctor` has it. */
const OTHER = 1e-5;

/** A call of the same operator whose whole output is one element of the given one's. */
type Crop = (inputs: Inputs, call: Call<string, object>, index: number) => { inputs: Inputs; options: object };

/** The operators that sum products, and what one element of theirs is made from. */
const crops: Readonly<Record<string, Crop>> = { conv2d: cropConv2d, linear: cropLinear };

/** All elements of an output where the reference needs at most `mostFlops` for them, else some. */
export function expected(
  kernel: AnyKernel,
  inputs: Inputs,
  call: Call<string, object>,
  mostFlops = MOST_FLOPS,
): Expected {
  const crop = crops[kernel.name];
  if (!crop) return expectedOfOther(kernel, inputs, call);
  const whole = kernel.cost(call).flops <= mostFlops;
  const indices = whole ? Array.from({ length: sizeOf(call.y) }, (_, index) => index) : drawIndices(call.y);
  const calls = whole ? [{ inputs, options: call.options }] : indices.map((index) => crop(inputs, call, index));
  const evaluate = (change: (inputs: Inputs) => Inputs, changed: object = {}): number[] =>
    calls.flatMap(({ inputs, options }) =>
      Array.from(evaluateReference(kernel, change(inputs), { ...options, ...changed }).data),
    );
  // The sums of the terms' magnitudes are what the reference gives for inputs that make every term positive.
  const sums = evaluate(magnitudes, { activation: "none" });
  const { activation } = call.options as { activation: Activation };
  return {
    indices,
    values: evaluate((same) => same),
    tolerances: sums.map((sum) => errorBehind(activation, DIRECT * UNIT * sum)),
    approximate: errorBehind(activation, APPROXIMATE * UNIT * largest(sums)),
  };
}

function expectedOfOther(kernel: AnyKernel, inputs: Inputs, call: Call<string, object>): Expected {
  const { data } = evaluateReference(kernel, inputs, call.options);
  const tolerance = OTHER * largest(data);
  return {
    indices: data.map((_, index) => index),
    values: data,
    tolerances: data.map(() => tolerance),
    approximate: tolerance,
  };
}

/** The largest magnitude, or 1. */
const largest = (values: ArrayLike<number>): number => {
  let most = 1;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  return most;
};

const magnitudes = (inputs: Inputs): Inputs =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, data }]) => [name, { shape, data: data.map(Math.abs) }]),
  );

/** Every corner of a tensor, where tiles end, and elements at random. */
function drawIndices(shape: Shape): number[] {
  const strides = stridesOf(shape);
  const isLast = (corner: number, d: number) => (corner >> d) % 2;
  const corners = Array.from({ length: 2 ** shape.length }, (_, corner) =>
    shape.reduce((index, size, d) => index + isLast(corner, d) * (size - 1) * strides[d], 0),
  );
  const drawn = Array.from({ length: SAMPLES }, () => Math.floor(Math.random() * sizeOf(shape)));
  return [...new Set([...corners, ...drawn])];
}

/** The window of the image that a filter sees, with the padding in it, and that filter. */
function cropConv2d({ x, w, b, r }: Inputs, call: Call<string, object>, index: number) {
  const options = call.options as Conv2dOptions;
  const { outChannels, groupIn, groups, kernel, stride, dilation, padding } = geometry(w.shape, options);
  const [, , outHeight, outWidth] = call.y;
  const [, channels, height, width] = x.shape;
  const column = index % outWidth;
  const row = Math.floor(index / outWidth) % outHeight;
  const filter = Math.floor(index / (outWidth * outHeight)) % outChannels;
  const image = Math.floor(index / (outWidth * outHeight * outChannels));
  const firstChannel = Math.floor(filter / (outChannels / groups)) * groupIn;
  const [top, left] = [row * stride[0] - padding[0], column * stride[1] - padding[1]];
  const shape = [1, groupIn, ...kernel.map((size, d) => (size - 1) * dilation[d] + 1)];
  const window = new Float32Array(sizeOf(shape));
  let to = 0;
  for (let c = 0; c < groupIn; c++) {
    const plane = (image * channels + firstChannel + c) * height;
    for (let i = top; i < top + shape[2]; i++) {
      for (let j = left; j < left + shape[3]; j++, to++) {
        if (i >= 0 && i < height && j >= 0 && j < width) window[to] = x.data[(plane + i) * width + j];
      }
    }
  }
  const inputs: Inputs = {
    x: { shape, data: window },
    w: rows(w, filter),
    ...(b && { b: rows(b, filter) }),
    ...(r && { r: { shape: [1, 1, 1, 1], data: r.data.subarray(index, index + 1) } }),
  };
  return { inputs, options: { ...options, stride: 1, padding: 0, groups: 1 } };
}

/** One row of x and one of w. */
function cropLinear({ x, w, b }: Inputs, { options }: Call<string, object>, index: number) {
  const [outFeatures, inFeatures] = w.shape;
  const [image, feature] = [Math.floor(index / outFeatures), index % outFeatures];
  const flat = { shape: [sizeOf(x.shape) / inFeatures, inFeatures], data: x.data };
  return { inputs: { x: rows(flat, image), w: rows(w, feature), ...(b && { b: rows(b, feature) }) }, options };
}

/** One element of a tensor's first dimension. */
function rows({ shape, data }: Tensor, first: number): Tensor {
  const size = data.length / shape[0];
  return { shape: [1, ...shape.slice(1)], data: data.subarray(first * size, (first + 1) * size) };
}

/** What is wrong with an output. */
export interface Verdict {
  /** The largest error, as a share of what is allowed: up to 1 is right. */
  readonly error: number;
  /** The worst element, where it is wrong. */
  readonly problem?: string;
}

/** Compares an output with the reference's elements. NaN is wrong, since no reference here has any. */
export function judge(output: Float32Array, wanted: Expected, approximate: boolean): Verdict {
  const { indices, values, tolerances } = wanted;
  return worst(indices.length, (i) => {
    const tolerance = approximate ? wanted.approximate : tolerances[i] + TINY;
    return { index: indices[i], got: output[indices[i]], value: values[i], tolerance };
  });
}

/**
 * Compares all of an output with that of another variant: elements that no sample came upon must not be wrong, either.
 * Both may be off, and by the larger of what is allowed anywhere.
 */
export const judgeAll = (output: Float32Array, other: Float32Array, { approximate }: Expected): Verdict =>
  worst(output.length, (index) => ({ index, got: output[index], value: other[index], tolerance: 2 * approximate }));

interface Pair {
  readonly index: number;
  readonly got: number;
  readonly value: number;
  readonly tolerance: number;
}

function worst(count: number, pairOf: (i: number) => Pair): Verdict {
  let verdict: Verdict = { error: 0 };
  for (let i = 0; i < count; i++) {
    const { index, got, value, tolerance } = pairOf(i);
    const error = Math.abs(got - value) / tolerance;
    if (error <= verdict.error) continue;
    const problem = `element ${index} is ${got}, and should be ${value} within ${tolerance.toExponential(1)}`;
    verdict = error <= 1 ? { error } : { error, problem };
    if (Number.isNaN(error)) return verdict;
  }
  return verdict;
}
