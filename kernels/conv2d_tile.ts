import { defineKernel, type Grid, type KernelSpec, linearGrid } from "../engine/kernel.ts";
import { sizeOf } from "../engine/tensor.ts";
import { conv2dSubgroup, matmulSubgroup } from "./conv2d_subgroup.ts";
import { conv2d_tile as wgsl } from "./wgsl.ts";

/** Pixels and channels of a tile. */
const TILE = 64;

function grid(pixels: number, channels: number, products: number): Grid {
  const [x, y] = linearGrid(pixels, TILE);
  return [x, y, Math.ceil(channels / TILE) * products];
}

type Conv2dSpec = KernelSpec<"x" | "w" | "b?" | "r?", typeof conv2dSubgroup.options>;
const convolution = conv2dSubgroup as unknown as Conv2dSpec;

/**
 * The convolution on NHWC images with tiles in workgroup memory: as conv2d_subgroup, without subgroups (whose size, an
 * option there, means nothing here).
 */
export const conv2dTile = defineKernel({
  ...convolution,
  name: "conv2d_tile",
  wgsl,
  consts: () => ({}),
  params: (call, part) => ({ ...convolution.params(call, part), channel_tiles: Math.ceil(call.y[3] / TILE) }),
  grid: ({ y }) => grid(sizeOf(y.slice(0, 3)), y[3], 1),
});

const products = matmulSubgroup as unknown as KernelSpec<"x" | "w", typeof matmulSubgroup.options>;

/** A batch of matrix products by the same WGSL: as matmul_subgroup. */
export const matmulTile = defineKernel({
  ...products,
  name: "matmul_tile",
  wgsl,
  consts: () => ({}),
  params: (call, part) => ({ ...products.params(call, part), channel_tiles: Math.ceil(call.y[2] / TILE) }),
  grid: ({ y }) => grid(y[1], y[2], y[0]),
});
