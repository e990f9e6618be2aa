import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { ShapeError } from "../engine/ground/errors.ts";
import { formatShape, sizeOf } from "../engine/ground/tensor.ts";
import { wgsl } from "./copy.wgsl.ts";

const WORKGROUP = 64;

/** y = x, of any shape with a multiple of 4 elements: a measure of memory, see roofline.ts. */
export const copy = defineKernel({
  name: "copy",
  inputs: ["x"],
  options: {},
  wgsl,
  shape({ x }) {
    if (sizeOf(x) % 4 === 0) return x;
    throw new ShapeError(`copy takes a multiple of 4 elements, got ${formatShape(x)}`);
  },
  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params: ({ y }) => ({ count: sizeOf(y) / 4 }),
  grid: ({ y }) => linearGrid(sizeOf(y) / 4, WORKGROUP),
});

export const reference: ReferenceOf<typeof copy> = {
  example: { shapes: { x: [3, 20] } },

  compute: ({ x }) => Float64Array.from(x),
};
