import { wgsl } from "./conv2d_matrix.wgsl.ts";
import { conv2dTiles } from "./conv2d_tile.ts";
import { MATRIX_TILES } from "./tiles.ts";

/**
 * The convolutions on NHWC images by the matrix units of a GPU, for tensors stored as f16: as conv2d_subgroup. The option
 * `subgroup` is the device's largest subgroup size, 16, 32 or 64.
 */
export const conv2dMatrices = MATRIX_TILES.map(({ name, size }) =>
  conv2dTiles(name, { size, wgsl, consts: ({ subgroup }) => ({ SUBGROUP: subgroup, PIXELS: size }) }),
);
