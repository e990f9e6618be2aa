import { defineKernel } from "../engine/kernel.ts";
import { rowsOf } from "../engine/tensor.ts";
import { convolve, type Inputs } from "./conv2d_nhwc.ts";
import { convolution, type TileOptions } from "./conv2d_subgroup.ts";
import { costOf, grid } from "./conv2d_tile.ts";
import { conv2d_matrix as wgsl } from "./wgsl.ts";

/** Pixels and channels of a tile. */
const TILE = 64;

/**
 * The convolution on NHWC images by the matrix units of a GPU, for tensors stored as f16: as conv2d_subgroup. `subgroup`
 * is the device's largest subgroup size, 16, 32 or 64.
 */
export const conv2dMatrix = defineKernel<Inputs, TileOptions>({
  ...convolution,
  name: "conv2d_matrix",
  wgsl,
  cost: ({ shapes: { w }, y }) => costOf(TILE, w, y),
  consts: ({ options }) => ({ SUBGROUP: options.subgroup }),
  params(call, part) {
    const { channel_tiles, x_stride, w_stride, y_stride, ...params } = convolution.params(call, part);
    return params;
  },
  grid: ({ y }) => grid(TILE, rowsOf(y), y[3], 1),
  reference: convolve,
});
