import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { check } from "../engine/ground/errors.ts";
import { type Shape, sizeOf, stridesOf } from "../engine/ground/tensor.ts";
import { wgsl } from "./mean.wgsl.ts";
import { axis } from "./options.ts";
import { coalesce, fields, RANK } from "./strides.ts";

const WORKGROUP = 64;

/**
 * The average over the dimensions `dims` (negative: from the back); they vanish, or stay as 1 with keepDim.
 * https://pytorch.org/docs/stable/generated/torch.mean.html
 */
export const mean = defineKernel({
  name: "mean",
  inputs: ["x"],
  options: { dims: undefined as unknown as readonly number[], keepDim: false },
  wgsl,

  shape({ x }, { dims, keepDim }) {
    const reduced = reducedDims(x, dims);
    layout(x, dims);
    return keepDim ? x.map((size, d) => (reduced.has(d) ? 1 : size)) : x.filter((_, d) => !reduced.has(d));
  },

  cost: ({ shapes: { x }, y }) => ({ flops: sizeOf(x) + sizeOf(y) }),
  consts: () => ({ WORKGROUP }),

  params({ shapes: { x }, y, options }) {
    const { kept, reduced, strides } = layout(x, options.dims);
    return {
      count: sizeOf(y),
      ...fields("kept", kept, 1),
      ...fields("reduced", reduced),
      ...fields("stride", strides),
    };
  },

  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof mean> = {
  example: { shapes: { x: [2, 3, 4, 5] }, options: { dims: [1, 3] } },

  compute({ x }, { shapes, y: shape, options }) {
    const xStrides = stridesOf(shapes.x);
    const yStrides = keptStrides(shapes.x, reducedDims(shapes.x, options.dims));
    const y = new Float64Array(sizeOf(shape));
    x.forEach((v, index) => {
      const at = xStrides.map((stride, d) => Math.floor(index / stride) % shapes.x[d]);
      y[at.reduce((sum, p, d) => sum + p * yStrides[d], 0)] += v;
    });
    return y.map((sum) => (sum * y.length) / x.length);
  },
};

function reducedDims(x: Shape, dims: readonly number[]): Set<number> {
  check(Array.isArray(dims) && dims.length > 0, "mean: dims", dims, "a list of at least one dimension");
  return new Set(dims.map((dim) => axis("mean", "dims", dim, x.length)));
}

/** For each dimension of x the stride of y, 0 where it is averaged over. */
function keptStrides(x: Shape, reduced: ReadonlySet<number>): number[] {
  const strides = stridesOf(x.map((size, d) => (reduced.has(d) ? 1 : size)));
  return strides.map((stride, d) => (reduced.has(d) ? 0 : stride));
}

/** Sizes that are kept, sizes that are summed over, and strides of x, in four dimensions. */
function layout(x: Shape, dims: readonly number[]) {
  // Not joined without need, since the sum over each dimension is one of its own, and long sums round more.
  const shape = [...new Array(Math.max(0, RANK - x.length)).fill(1), ...x];
  const reduced = new Set([...reducedDims(x, dims)].map((d) => d + shape.length - x.length));
  const yStrides = keptStrides(shape, reduced);
  const { sizes, strides } =
    shape.length === RANK
      ? { sizes: shape, strides: [stridesOf(shape), yStrides] }
      : coalesce("mean", shape, [stridesOf(shape), yStrides]);
  const isKept = (d: number) => strides[1][d] > 0;
  return {
    kept: sizes.map((size, d) => (isKept(d) ? size : 1)),
    reduced: sizes.map((size, d) => (isKept(d) ? 1 : size)),
    strides: strides[0],
  };
}
