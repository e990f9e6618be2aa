import { conv2d_matrix as wgsl } from "../wgsl.ts";
import { conv2dTiles } from "./conv2d_tile.ts";

/**
 * The convolution on NHWC images by the matrix units of a GPU, in tiles of `tile` pixels and channels, for tensors stored as
 * f16: as conv2d_subgroup. `subgroup` is the device's largest subgroup size, 16, 32 or 64.
 */
const matrices = (name: string, tile: 64 | 128) =>
  conv2dTiles(name, tile, wgsl, ({ options }) => ({ SUBGROUP: options.subgroup, PIXELS: tile }));

export const conv2dMatrix = matrices("conv2d_matrix", 64);
export const conv2dMatrix128 = matrices("conv2d_matrix_128", 128);
