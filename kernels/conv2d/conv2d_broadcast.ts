import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, type Grid, linearGrid } from "../../engine/graph/kernel.ts";
import { rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { type Activated, activationConsts } from "../activation.ts";
import { wgsl } from "./conv2d_broadcast.wgsl.ts";
import { convolution, cutConvolution, cutProduct, product, TILE } from "./gemm.ts";

/** Output pixels of a tile. */
const PIXELS = 8;

/** Its channels, of which the kernel computes the first half where there are no more. */
const widthOf = (channels: number): number => (channels > TILE / 2 ? TILE : TILE / 2);

const consts = (channels: number, options: Partial<Activated>) => ({
  WIDE: widthOf(channels) === TILE,
  ...activationConsts(options),
});

const channelTiles = (channels: number): number => Math.ceil(channels / TILE);

/** Workgroups for `products` outputs of this many pixels and channels. */
function grid(pixels: number, channels: number, products: number): Grid {
  const [x, y] = linearGrid(pixels, PIXELS);
  return [x, y, channelTiles(channels) * products];
}

/** Operations of the tiles that cover an output of this many pixels and channels, with sums of k terms. */
const work = (pixels: number, channels: number, k: number): number =>
  2 * Math.ceil(pixels / PIXELS) * PIXELS * channelTiles(channels) * widthOf(channels) * k;

/**
 * As conv2d_subgroup, with weights cut in the same way, for subgroups of 4 lanes on software adapters whose compilers look for
 * lanes that load what lies side by side.
 */
export const conv2dBroadcast = defineKernel({
  ...convolution,
  name: "conv2d_broadcast",
  wgsl,
  cost({ shapes: { w }, y }) {
    const k = rowsOf(w);
    return { flops: 2 * sizeOf(y) * k, work: work(rowsOf(y), y[3], k) };
  },
  consts: ({ options, y }) => consts(y[3], options),
  params: (call, part) => ({ ...convolution.params(call, part), channel_tiles: channelTiles(call.y[3]) }),
  grid: ({ y }) => grid(rowsOf(y), y[3], 1),
});

export const conv2dBroadcastReference: ReferenceOf<typeof conv2dBroadcast> = cutConvolution;

/** A batch of matrix products by the same WGSL, as matmul_subgroup. */
export const matmulBroadcast = defineKernel({
  ...product,
  name: "matmul_broadcast",
  wgsl,
  cost: ({ shapes: { x }, y }) => ({ flops: 2 * sizeOf(y) * x[2], work: y[0] * work(y[1], y[2], x[2]) }),
  consts: ({ y }) => consts(y[2], {}),
  params: (call, part) => ({ ...product.params(call, part), channel_tiles: channelTiles(call.y[2]) }),
  grid: ({ y }) => grid(y[1], y[2], y[0]),
});

export const matmulBroadcastReference: ReferenceOf<typeof matmulBroadcast> = cutProduct;
