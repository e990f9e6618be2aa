import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import { NCHW, NHWC, permute, permuteShape, rowsOf, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { reference as plain } from "./conv2d.ts";
import { wgsl } from "./conv2d_stem.wgsl.ts";
import { conv2dSubgroup, work } from "./conv2d_subgroup.ts";
import { type TileOptions, uncut } from "./gemm.ts";
import { epilogue, type Inputs, imageSize, windows } from "./nhwc.ts";

/**
 * The convolution of images with few channels: x [N, C, H, W], w [C * KH * KW padded to a multiple of 4, O], b [O],
 * r and y [N, H', W', O]; O is a multiple of 4, and w is cut by TILE. A variant of conv2d, which see for the mathematics.
 */
export const conv2dStem = defineKernel<Inputs, TileOptions & { kernel: Shape }>({
  ...conv2dSubgroup,
  name: "conv2d_stem",
  /** `kernel` is [KH, KW]. */
  options: { ...conv2dSubgroup.options, kernel: [1, 1] },
  wgsl,

  shape: ({ x, w }, options) => [x[0], ...imageSize(permuteShape(x, NHWC), options.kernel, options), w[1]],
  cost: ({ shapes: { x, w }, options, y }) => ({
    flops: 2 * sizeOf(y) * x[1] * sizeOf(options.kernel),
    work: work(rowsOf(y), y[3], w[0], options),
  }),
  params: ({ shapes: { x, w, b, r }, options, y }) => ({
    ...windows(permuteShape(x, NHWC), options.kernel, options, y),
    ...epilogue(b, r, options.activation),
    pixels: rowsOf(y),
    x_channels: x[1],
    y_channels: y[3] / 4,
    y_pitch: y[3] / 4,
    y_first: 0,
    taps: w[0],
  }),
});

export const reference: ReferenceOf<typeof conv2dStem> = {
  example: {
    shapes: { x: [2, 3, 7, 9], w: [28, 44], b: [44] },
    options: { kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1] },
  },

  compute({ x, w, b, r }, { shapes, options, y }) {
    const filters = [y[3], shapes.x[1], ...options.kernel];
    const rows = uncut(w, shapes.w[0], y[3]).slice(0, sizeOf(filters));
    const call = { shapes: { ...shapes, w: filters }, options: { ...options, groups: 1 }, y: permuteShape(y, NCHW) };
    const transposed = permute(rows, [sizeOf(filters.slice(1)), y[3]], [1, 0]);
    return permute(plain.compute({ x, w: transposed, b, r: r && permute(r, y, NCHW) }, call), call.y, NHWC);
  },
};
