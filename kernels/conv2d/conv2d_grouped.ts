import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { activationConsts } from "../activation.ts";
import { wgsl } from "./conv2d_grouped.wgsl.ts";
import { convolve, epilogue, imageSize, NHWC_OPTIONS, windows } from "./nhwc.ts";

const WORKGROUP = 64;

/** Pixels of a row that one thread computes. */
const COLUMNS = 4;

/** Threads for an output [N, H, W, C]. */
const threads = ([n, height, width, channels]: Shape): number =>
  (n * height * Math.ceil(width / COLUMNS) * channels) / 4;

/**
 * The convolution in groups on NHWC images: x [N, H, W, C], w [KH, KW, C/groups, O], b [O], r and y [N, H', W', O]; the channels
 * of a group are multiples of 4. A variant of conv2d, which see for the mathematics.
 */
export const conv2dGrouped = defineKernel({
  name: "conv2d_grouped",
  inputs: ["x", "w", "b?", "r?"],
  options: NHWC_OPTIONS,
  wgsl,

  shape: ({ x, w }, options) => [x[0], ...imageSize(x, w, options), w[3]],
  cost: ({ shapes: { w }, y }) => ({ flops: 2 * sizeOf(y) * sizeOf(w.slice(0, 3)) }),
  consts: ({ options }) => ({ WORKGROUP, ...activationConsts(options) }),
  params: ({ shapes: { x, w, b, r }, options, y }) => ({
    ...windows(x, w, options, y),
    ...epilogue(b, r, options.activation),
    count: threads(y),
    strips: Math.ceil(y[2] / COLUMNS),
    x_channels: x[3] / 4,
    y_channels: y[3] / 4,
    group_in: w[2] / 4,
    group_out: (y[3] * w[2]) / x[3] / 4,
  }),
  grid: ({ y }) => linearGrid(threads(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof conv2dGrouped> = {
  example: { shapes: { x: [1, 5, 6, 16], w: [3, 3, 8, 24], b: [24] }, options: { padding: [1, 1, 1, 1] } },
  compute: convolve,
};
