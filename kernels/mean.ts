import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { check, ShapeError } from "../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf, stridesOf } from "../engine/ground/tensor.ts";
import { wgsl } from "./mean.wgsl.ts";
import { axis } from "./options.ts";

const WORKGROUP = 64;
const RANK = 4;

/**
 * The average over the dimensions `dims` (negative: from the back); they vanish, or stay as 1 with keepDim.
 * Up to four dimensions. https://pytorch.org/docs/stable/generated/torch.mean.html
 */
export const mean = defineKernel({
  name: "mean",
  inputs: ["x"],
  options: { dims: undefined as unknown as readonly number[], keepDim: false },
  wgsl,

  shape({ x }, { dims, keepDim }) {
    if (x.length > RANK) throw new ShapeError(`mean takes up to ${RANK} dimensions, got ${formatShape(x)}`);
    const reduced = reducedDims(x, dims);
    return keepDim ? x.map((size, d) => (reduced.has(d) ? 1 : size)) : x.filter((_, d) => !reduced.has(d));
  },

  cost: ({ shapes: { x }, y }) => ({ flops: sizeOf(x) + sizeOf(y) }),
  consts: () => ({ WORKGROUP }),

  params({ shapes: { x }, y, options }) {
    const { kept, reduced, strides } = layout(x, options.dims);
    return {
      count: sizeOf(y),
      kept1: kept[1],
      kept2: kept[2],
      kept3: kept[3],
      reduced0: reduced[0],
      reduced1: reduced[1],
      reduced2: reduced[2],
      reduced3: reduced[3],
      stride0: strides[0],
      stride1: strides[1],
      stride2: strides[2],
      stride3: strides[3],
    };
  },

  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof mean> = {
  example: { shapes: { x: [2, 3, 4, 5] }, options: { dims: [1, 3] } },

  compute({ x }, { shapes, y: shape, options }) {
    const { kept, reduced } = layout(shapes.x, options.dims);
    const padded = [...new Array(RANK - shapes.x.length).fill(1), ...shapes.x];
    const xStrides = stridesOf(padded);
    const yStrides = stridesOf(kept).map((stride, d) => (kept[d] === 1 ? 0 : stride));
    const y = new Float64Array(sizeOf(shape));
    x.forEach((v, index) => {
      const at = xStrides.map((stride, d) => Math.floor(index / stride) % padded[d]);
      y[at.reduce((sum, p, d) => sum + p * yStrides[d], 0)] += v;
    });
    return y.map((sum) => sum / sizeOf(reduced));
  },
};

function reducedDims(x: Shape, dims: readonly number[]): Set<number> {
  check(Array.isArray(dims) && dims.length > 0, "mean: dims", dims, "a list of at least one dimension");
  return new Set(dims.map((dim) => axis("mean", "dims", dim, x.length)));
}

/** Sizes that are kept, sizes that are summed over, and strides of x, in four dimensions. */
function layout(x: Shape, dims: readonly number[]) {
  const missing = RANK - x.length;
  const shape = [...new Array(missing).fill(1), ...x];
  const reduced = reducedDims(x, dims);
  return {
    kept: shape.map((size, d) => (reduced.has(d - missing) ? 1 : size)),
    reduced: shape.map((size, d) => (reduced.has(d - missing) ? size : 1)),
    strides: stridesOf(shape),
  };
}
