import { defineKernel, linearGrid } from "../engine/kernel.ts";
import { sizeOf } from "../engine/tensor.ts";
import { convolve, type Inputs } from "./conv2d_nhwc.ts";
import { convolution, type TileOptions } from "./conv2d_subgroup.ts";
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
  cost({ shapes: { w }, y }) {
    const k = sizeOf(w.slice(0, 3));
    const tiles = Math.ceil(sizeOf(y.slice(0, 3)) / TILE) * Math.ceil(y[3] / TILE);
    return { flops: 2 * sizeOf(y) * k, work: 2 * tiles * TILE ** 2 * k };
  },
  consts: ({ options }) => ({ SUBGROUP: options.subgroup }),
  params(call, part) {
    const { channel_tiles, x_stride, w_stride, y_stride, ...params } = convolution.params(call, part);
    return params;
  },
  grid({ y }) {
    const [width, height] = linearGrid(sizeOf(y.slice(0, 3)), TILE);
    return [width, height, Math.ceil(y[3] / TILE)];
  },
  reference: convolve,
});
