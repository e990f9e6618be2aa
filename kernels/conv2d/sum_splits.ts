import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { type Activation, activate, activationConsts } from "../activation.ts";
import { epilogue } from "./nhwc.ts";
import { wgsl } from "./sum_splits.wgsl.ts";

const WORKGROUP = 64;

/** Sum of x [splits, N, H, W, C] over its first dimension, + b [C], + r, activation -> [N, H, W, C]. C is a multiple of 4. */
export const sumSplits = defineKernel({
  name: "sum_splits",
  inputs: ["x", "b?", "r?"],
  options: { activation: "none" as Activation },
  wgsl,
  shape: ({ x }) => x.slice(1),
  cost: ({ shapes: { x } }) => ({ flops: sizeOf(x) }),
  consts: ({ options }) => ({ WORKGROUP, ...activationConsts(options) }),
  params: ({ shapes: { x, b, r }, options }) => ({
    ...epilogue(b, r, options.activation),
    count: sizeOf(x.slice(1)) / 4,
    splits: x[0],
    channels: x[x.length - 1] / 4,
    y_pitch: x[x.length - 1] / 4,
    y_first: 0,
  }),
  grid: ({ y }) => linearGrid(sizeOf(y) / 4, WORKGROUP),
});

export const reference: ReferenceOf<typeof sumSplits> = {
  example: { shapes: { x: [3, 2, 5, 3, 8], b: [8], r: [2, 5, 3, 8] }, options: { activation: "relu" } },

  compute({ x, b, r }, { options, y: shape }) {
    const y = new Float64Array(sizeOf(shape));
    x.forEach((value, i) => {
      y[i % y.length] += value;
    });
    return y.map((value, i) => {
      const sum = value + (b ? b[i % b.length] : 0) + (r ? r[i] : 0);
      return activate[options.activation](sum);
    });
  },
};
