import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { sum_splits as wgsl } from "../wgsl.ts";
import { epilogue } from "./nhwc.ts";

const WORKGROUP = 64;

/** Sum of x [splits, N, H, W, C] over its first dimension, + b [C], + r, relu -> [N, H, W, C]. C is a multiple of 4. */
export const sumSplits = defineKernel({
  name: "sum_splits",
  inputs: ["x", "b?", "r?"],
  options: { relu: false },
  wgsl,
  example: { shapes: { x: [3, 2, 5, 3, 8], b: [8], r: [2, 5, 3, 8] }, options: { relu: true } },
  shape: ({ x }) => x.slice(1),
  cost: ({ shapes: { x } }) => ({ flops: sizeOf(x) }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x, b, r }, options }) => ({
    ...epilogue(b, r, options.relu),
    count: sizeOf(x.slice(1)) / 4,
    splits: x[0],
    channels: x[x.length - 1] / 4,
  }),
  grid: ({ y }) => linearGrid(sizeOf(y) / 4, WORKGROUP),

  reference({ x, b, r }, { options, y: shape }) {
    const y = new Float64Array(sizeOf(shape));
    x.forEach((value, i) => {
      y[i % y.length] += value;
    });
    return y.map((value, i) => {
      const sum = value + (b ? b[i % b.length] : 0) + (r ? r[i] : 0);
      return options.relu && sum < 0 ? 0 : sum;
    });
  },
});
