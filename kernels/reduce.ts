import { check } from "../engine/ground/errors.ts";
import { type Shape, sizeOf, stridesOf } from "../engine/ground/tensor.ts";
import { axis } from "./options.ts";
import { coalesce, RANK } from "./strides.ts";

// What mean and sum share: they reduce the dimensions "dims", negative ones being counted from the back.

/** The shape of what is left; throws a UsageError for dims that x has not. */
export function reducedShape(kernel: string, x: Shape, dims: readonly number[], keepDim: boolean): Shape {
  const reduced = reducedDims(kernel, x, dims);
  reducedLayout(kernel, x, dims);
  return keepDim ? x.map((size, d) => (reduced.has(d) ? 1 : size)) : x.filter((_, d) => !reduced.has(d));
}

/** The sums in float64, as many as y has elements. */
export function sums(
  kernel: string,
  x: { shape: Shape; data: Float32Array },
  y: Shape,
  dims: readonly number[],
): Float64Array {
  const xStrides = stridesOf(x.shape);
  const yStrides = keptStrides(x.shape, reducedDims(kernel, x.shape, dims));
  const result = new Float64Array(sizeOf(y));
  x.data.forEach((v, index) => {
    const at = xStrides.map((stride, d) => Math.floor(index / stride) % x.shape[d]);
    result[at.reduce((sum, p, d) => sum + p * yStrides[d], 0)] += v;
  });
  return result;
}

function reducedDims(kernel: string, x: Shape, dims: readonly number[]): Set<number> {
  check(Array.isArray(dims) && dims.length > 0, `${kernel}: dims`, dims, "a list of at least one dimension");
  return new Set(dims.map((dim) => axis(kernel, "dims", dim, x.length)));
}

/** For each dimension of x the stride of y, 0 where it is averaged over. */
function keptStrides(x: Shape, reduced: ReadonlySet<number>): number[] {
  const strides = stridesOf(x.map((size, d) => (reduced.has(d) ? 1 : size)));
  return strides.map((stride, d) => (reduced.has(d) ? 0 : stride));
}

/** Sizes that are kept, sizes that are summed over, and strides of x, in four dimensions. */
export function reducedLayout(kernel: string, x: Shape, dims: readonly number[]) {
  // Not joined without need, since the sum over each dimension is one of its own, and long sums round more.
  const shape = [...new Array(Math.max(0, RANK - x.length)).fill(1), ...x];
  const reduced = new Set([...reducedDims(kernel, x, dims)].map((d) => d + shape.length - x.length));
  const yStrides = keptStrides(shape, reduced);
  const { sizes, strides } =
    shape.length === RANK
      ? { sizes: shape, strides: [stridesOf(shape), yStrides] }
      : coalesce(kernel, shape, [stridesOf(shape), yStrides]);
  const isKept = (d: number) => strides[1][d] > 0;
  return {
    kept: sizes.map((size, d) => (isKept(d) ? size : 1)),
    reduced: sizes.map((size, d) => (isKept(d) ? 1 : size)),
    strides: strides[0],
  };
}
