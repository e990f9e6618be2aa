import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { sizeOf } from "../engine/ground/tensor.ts";
import { wgsl } from "./mean.wgsl.ts";
import { reducedLayout, reducedShape, sums } from "./reduce.ts";
import { fields } from "./strides.ts";

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

  shape: ({ x }, { dims, keepDim }) => reducedShape("mean", x, dims, keepDim),

  cost: ({ shapes: { x }, y }) => ({ flops: sizeOf(x) + sizeOf(y) }),
  consts: () => ({ WORKGROUP }),

  params({ shapes: { x }, y, options }) {
    const { kept, reduced, strides } = reducedLayout("mean", x, options.dims);
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

  compute: ({ x }, { shapes, y, options }) =>
    sums("mean", { shape: shapes.x, data: x }, y, options.dims).map((sum, _, { length }) => (sum * length) / x.length),
};
