import { isCount, ShapeError, show } from "./errors.ts";

/** Sizes per dimension, outermost first; images are NCHW. */
export type Shape = readonly number[];

/** A dense row-major float32 tensor in ordinary memory. */
export interface Tensor {
  readonly shape: Shape;
  readonly data: Float32Array;
}

export const sizeOf = (shape: Shape): number => shape.reduce((product, size) => product * size, 1);

/** Elements of all dimensions but the last: the pixels of an NHWC image, say. */
export const rowsOf = (shape: Shape): number => sizeOf(shape.slice(0, -1));

/** Row-major strides in elements: `stridesOf([2, 3, 4])` is `[12, 4, 1]`. */
export function stridesOf(shape: Shape): number[] {
  const strides: number[] = new Array(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/** The orders of dimensions that make NHWC images of NCHW ones, and the other way round. */
export const [NHWC, NCHW] = [
  [0, 2, 3, 1],
  [0, 3, 1, 2],
];

/** A shape in another order of dimensions: [2, 3, 4] in the order 2, 0, 1 is [4, 2, 3]. */
export const permuteShape = (shape: Shape, order: readonly number[]): Shape => order.map((d) => shape[d]);

/** A tensor of this shape in another order of dimensions. */
export function permute<T extends Float32Array | Float64Array>(data: T, shape: Shape, order: readonly number[]): T {
  const from = permuteShape(stridesOf(shape), order);
  const to = stridesOf(permuteShape(shape, order));
  return data.map(
    (_, index) => data[order.reduce((at, d, i) => at + (Math.floor(index / to[i]) % shape[d]) * from[i], 0)],
  ) as T;
}

export const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** The next multiple of a unit. */
export const roundUp = (number: number, unit: number): number => unit * Math.ceil(number / unit);

export const formatShape = (shape: Shape): string => `[${shape.join(", ")}]`;

/** Bytes for people. */
export const formatBytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, i) => size === b[i]);

const MOST_DIMENSIONS = 16;

/** Throws a ShapeError unless every size is a positive integer and the element count is exact in a double. */
export function checkShape(shape: Shape, what: string): Shape {
  const ok = Array.isArray(shape) && shape.length <= MOST_DIMENSIONS && shape.every(isCount);
  if (!ok) throw new ShapeError(`${what} has shape ${show(shape)}; wanted up to ${MOST_DIMENSIONS} positive integers`);
  if (!Number.isSafeInteger(sizeOf(shape)))
    throw new ShapeError(`${what} has shape ${formatShape(shape)}: too many elements`);
  return shape;
}

/** True for what has the fields of a tensor. */
export const isTensor = (value: unknown): value is Tensor =>
  typeof value === "object" &&
  value !== null &&
  "shape" in value &&
  "data" in value &&
  value.data instanceof Float32Array;

/** A tensor from its shape and values, with the count checked. */
export function tensor(shape: Shape, data: ArrayLike<number>): Tensor {
  checkShape(shape, "the tensor");
  if (data?.length !== sizeOf(shape)) {
    const got = show(data?.length);
    throw new ShapeError(`a tensor of shape ${formatShape(shape)} has ${sizeOf(shape)} elements, not ${got}`);
  }
  const odd =
    data instanceof Float32Array ? -1 : Array.prototype.findIndex.call(data, (value) => typeof value !== "number");
  if (odd >= 0) throw new ShapeError(`a tensor holds numbers, not ${show(data[odd])} at ${odd}`);
  return { shape, data: data instanceof Float32Array ? data : Float32Array.from(data) };
}
