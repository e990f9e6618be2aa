import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, type Grid, linearGrid } from "../../engine/graph/kernel.ts";
import { rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { type Activated, activationConsts } from "../activation.ts";
import { wgsl } from "./conv2d_subgroup.wgsl.ts";
import { channelTiles, convolution, cutConvolution, cutProduct, product, type Subgroup, TILE } from "./gemm.ts";

/** Output channels per tile: few where there are no more. Every further width would be a pipeline more to compile. */
const widthOf = (channels: number): number => (channels > 8 ? TILE : 8);

/**
 * Pixels per lane: fewer where a tile would be half empty. About 32 in a tile: with more, llvmpipe is no faster and compiles for
 * half as long again.
 */
const pixelsPerLane = (pixels: number, { subgroup }: Subgroup): number =>
  subgroup >= 32 ? 1 : pixels <= 2 * subgroup ? 2 : 4;

/** The specialization constants for an output of this many pixels and channels. */
const consts = (pixels: number, channels: number, options: Subgroup & Partial<Activated>) => ({
  SUBGROUP: options.subgroup,
  PIXELS: pixelsPerLane(pixels, options),
  CHANNELS: widthOf(channels) / 4,
  UNROLL: options.unroll,
  ...activationConsts(options),
});

/** Workgroups for `products` outputs of this many pixels and channels. */
function grid(pixels: number, channels: number, products: number, options: Subgroup): Grid {
  const [x, y] = linearGrid(pixels, options.subgroup * pixelsPerLane(pixels, options));
  return [x, y, channelTiles(channels) * products];
}

/**
 * Operations of the tiles that cover an output of this many pixels and channels, with sums of k terms; of narrow tiles, in which
 * fewer products share what is loaded, twice as many as they do.
 */
export function work(pixels: number, channels: number, k: number, options: Subgroup): number {
  const tile = options.subgroup * pixelsPerLane(pixels, options);
  return 2 * Math.ceil(pixels / tile) * tile * channelTiles(channels) * Math.max(widthOf(channels), 16) * k;
}

/**
 * The convolution on NHWC images with register tiles shared by subgroup shuffles: x [N, H, W, C], w [KH, KW, C, O],
 * b [O], r and y [N, H', W', O]; C and O are multiples of 4, and w is cut by TILE. A variant of conv2d, which see for the
 * mathematics.
 */
export const conv2dSubgroup = defineKernel({
  ...convolution,
  name: "conv2d_subgroup",
  wgsl,
  cost({ shapes: { w }, options, y }) {
    const k = rowsOf(w);
    return { flops: 2 * sizeOf(y) * k, work: work(rowsOf(y), y[3], k, options) };
  },
  consts: ({ options, y }) => consts(rowsOf(y), y[3], options),
  params: (call, part) => ({ ...convolution.params(call, part), channel_tiles: channelTiles(call.y[3]) }),
  grid: ({ options, y }) => grid(rowsOf(y), y[3], 1, options),
});

export const conv2dSubgroupReference: ReferenceOf<typeof conv2dSubgroup> = cutConvolution;

/**
 * A batch of matrix products by the same WGSL, each a 1x1 convolution of one row of pixels:
 * a [batch, M, K], b [batch, K, N] -> y [batch, M, N]; K and N are multiples of 4, and b is cut by TILE.
 */
export const matmulSubgroup = defineKernel({
  ...product,
  name: "matmul_subgroup",
  wgsl,
  cost: ({ shapes: { x }, options, y }) => ({
    flops: 2 * sizeOf(y) * x[2],
    work: y[0] * work(y[1], y[2], x[2], options),
  }),
  consts: ({ options, y }) => consts(y[1], y[2], options),
  params: (call, part) => ({ ...product.params(call, part), channel_tiles: channelTiles(call.y[2]) }),
  grid: ({ options, y }) => grid(y[1], y[2], y[0], options),
});

export const matmulSubgroupReference: ReferenceOf<typeof matmulSubgroup> = cutProduct;
