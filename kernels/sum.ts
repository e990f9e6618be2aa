import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import type { Value } from "../engine/graph/value.ts";
import { type Shape, sameShape, sizeOf } from "../engine/ground/tensor.ts";
import { reducedLayout, reducedShape, sums } from "./reduce.ts";
import { fields } from "./strides.ts";
import { wgsl } from "./sum.wgsl.ts";

const WORKGROUP = 64;

/**
 * The sum over the dimensions `dims` (negative: from the back); they vanish, or stay as 1 with keepDim.
 * https://pytorch.org/docs/stable/generated/torch.sum.html
 */
export const sum = defineKernel({
  name: "sum",
  inputs: ["x"],
  options: { dims: undefined as unknown as readonly number[], keepDim: false },
  wgsl,
  shape: ({ x }, { dims, keepDim }) => reducedShape("sum", x, dims, keepDim),
  cost: ({ shapes: { x } }) => ({ flops: sizeOf(x) }),
  consts: ({ shapes: { x }, y }) => ({ WORKGROUP, LANES: lanes(x, y) }),

  params({ shapes: { x }, y, options }) {
    const { kept, reduced, strides } = reducedLayout("sum", x, options.dims);
    const terms = sizeOf(reduced);
    // If terms are not all so far apart, the last is further away than it would be.
    const step = Math.min(...strides.filter((_, d) => reduced[d] > 1));
    const last = strides.reduce((sum, stride, d) => sum + (reduced[d] - 1) * stride, 0);
    return {
      step: last === (terms - 1) * step ? step : 0,
      terms,
      count: sizeOf(y),
      ...fields("kept", kept, 1),
      ...fields("reduced", reduced, 1),
      ...fields("stride", strides),
    };
  },

  grid: ({ shapes: { x }, y }) => linearGrid(sizeOf(y), WORKGROUP / lanes(x, y)),
});

/** Threads for each sum: where it is short, most would do nothing but wait. */
function lanes(x: Shape, y: Shape): number {
  const terms = sizeOf(x) / sizeOf(y);
  return terms >= 256 ? WORKGROUP : terms >= 32 ? 8 : 1;
}

export const reference: ReferenceOf<typeof sum> = {
  example: { shapes: { x: [2, 3, 4, 5] }, options: { dims: [0, 2, 3] } },
  compute: ({ x }, { shapes, y, options }) => sums("sum", { shape: shapes.x, data: x }, y, options.dims),
};

/** The gradient by a value of this shape that was broadcast, from the gradient by what it was broadcast to. */
export function sumTo(dy: Value, shape: Shape): Value {
  const missing = dy.shape.length - shape.length;
  const dims = dy.shape.flatMap((size, d) => (d < missing || (shape[d - missing] === 1 && size !== 1) ? [d] : []));
  const summed = dims.length > 0 ? sum(dy, { dims }) : dy;
  return sameShape(summed.shape, shape) ? summed : dy.graph.reshape(summed, shape);
}
