import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { activationConsts } from "../activation.ts";
import { wgsl } from "./conv2d_depthwise.wgsl.ts";
import { convolve, epilogue, imageSize, NHWC_OPTIONS, type NhwcOptions, windows } from "./nhwc.ts";

const WORKGROUP = 64;

/** Rows of the output that a thread computes at once: those that have much of the image in common. */
const rows = (stride: number): number => (stride === 1 ? 2 : 1);

/** Threads for an output [N, H, W, C] in strips of so many columns. */
const threads = ([n, height, width, channels]: Shape, { stride, columns }: DepthwiseOptions): number =>
  (n * Math.ceil(height / rows(stride[0])) * Math.ceil(width / columns) * channels) / 4;

export interface DepthwiseOptions extends NhwcOptions {
  /** Columns of the output that a thread goes along. */
  columns: number;
  /** Whether loads are written out, for GPUs. */
  unroll: boolean;
}

/**
 * The depthwise convolution on NHWC images: x [N, H, W, C], w [KH, KW, C], b [C], r and y [N, H', W', C]; C is a multiple
 * of 4. A variant of conv2d with as many groups as channels, which see for the mathematics.
 */
export const conv2dDepthwise = defineKernel({
  name: "conv2d_depthwise",
  inputs: ["x", "w", "b?", "r?"],
  options: { ...NHWC_OPTIONS, columns: 8, unroll: false } as DepthwiseOptions,
  wgsl,

  shape: ({ x, w }, options) => [x[0], ...imageSize(x, w, options), x[3]],
  cost: ({ shapes: { w }, y }) => ({ flops: 2 * sizeOf(y) * w[0] * w[1] }),
  consts: ({ shapes: { w }, options }) => ({
    WORKGROUP,
    UNROLL: options.unroll,
    ROWS: rows(options.stride[0]),
    KERNEL_HEIGHT: w[0],
    KERNEL_WIDTH: w[1],
    STRIDE: options.stride[0],
    DILATION_HEIGHT: options.dilation[0],
    DILATION_WIDTH: options.dilation[1],
    ...activationConsts(options),
  }),
  params: ({ shapes: { x, w, b, r }, options, y }) => ({
    ...windows(x, w, options, y),
    ...epilogue(b, r, options.activation),
    count: threads(y, options),
    strips: Math.ceil(y[2] / options.columns),
    columns: options.columns,
    channels: y[3] / 4,
  }),
  grid: ({ options, y }) => linearGrid(threads(y, options), WORKGROUP),
});

export const reference: ReferenceOf<typeof conv2dDepthwise> = {
  example: { shapes: { x: [1, 5, 6, 8], w: [3, 3, 8], b: [8] }, options: { padding: [1, 1, 1, 1] } },

  compute: (inputs, { shapes, ...call }) =>
    convolve(inputs, { shapes: { ...shapes, w: [shapes.w[0], shapes.w[1], 1, shapes.w[2]] }, ...call }),
};
