import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./squares.wgsl.ts";

const WORKGROUP = 64;
const PART = 16384;

/** Sums of the squares of x, any shape of a multiple of 4 elements, of 16,384 each -> y [parts]. */
export const squares = defineKernel({
  name: "squares",
  inputs: ["x"],
  options: {},
  wgsl,
  shape: ({ x }) => [Math.ceil(sizeOf(x) / PART)],
  cost: ({ shapes: { x } }) => ({ flops: 2 * sizeOf(x) }),
  consts: () => ({ WORKGROUP, PART: PART / 4 }),
  params: ({ shapes: { x }, y }) => ({ count: sizeOf(x) / 4, parts: y[0] }),
  // A workgroup per part.
  grid: ({ y }) => linearGrid(y[0], 1),
});

export const reference: ReferenceOf<typeof squares> = {
  example: { shapes: { x: [3, 7000] } },

  compute({ x }, { y }) {
    const sums = new Float64Array(y[0]);
    x.forEach((v, i) => {
      sums[Math.floor(i / PART)] += v * v;
    });
    return sums;
  },
};
