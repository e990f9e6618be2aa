import { defineKernel, type Grid, type KernelSpec, linearGrid } from "../../engine/graph/kernel.ts";
import { rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { conv2d_subgroup as wgsl } from "../wgsl.ts";
import { columnAt } from "./geometry.ts";
import {
  convolve,
  epilogue,
  type Inputs,
  imageSize,
  multiply,
  NHWC_OPTIONS,
  type NhwcOptions,
  windows,
} from "./nhwc.ts";

export interface Tiling {
  /** Lanes of a subgroup: what the adapter has, between 4 and 64. */
  subgroup: number;
}

export type TileOptions = Tiling & NhwcOptions;

/** vec4s of output channels per tile. */
const CHANNELS = 8;

/** Output channels per tile, by which weights are cut: see columnAt. */
export const TILE = 4 * CHANNELS;

/** Pixels per lane: fewer where a tile would be half empty. */
const pixelsPerLane = (pixels: number, { subgroup }: Tiling): number =>
  subgroup >= 32 ? 1 : pixels <= 2 * subgroup ? 2 : 4;

/** The specialization constants for an output of this many pixels. */
const consts = (pixels: number, options: Tiling) => ({
  SUBGROUP: options.subgroup,
  PIXELS: pixelsPerLane(pixels, options),
  CHANNELS,
});

const channelTiles = (channels: number): number => Math.ceil(channels / TILE);

/** Workgroups for `products` outputs of this many pixels and channels. */
function grid(pixels: number, channels: number, products: number, options: Tiling): Grid {
  const [x, y] = linearGrid(pixels, options.subgroup * pixelsPerLane(pixels, options));
  return [x, y, channelTiles(channels) * products];
}

/** Weights [terms, channels], or several such, cut by TILE -> in whole rows. */
export const uncut = (w: Float32Array, terms: number, channels: number) =>
  w.map((_, i) => {
    const at = i % (terms * channels);
    return w[i - at + columnAt(at % channels, terms, channels, TILE)(Math.floor(at / channels))];
  });

/** Operations of the tiles that cover an output of this many pixels and channels, with sums of k terms. */
export function work(pixels: number, channels: number, k: number, options: Tiling): number {
  const tile = options.subgroup * pixelsPerLane(pixels, options);
  return 2 * Math.ceil(pixels / tile) * tile * channelTiles(channels) * TILE * k;
}

/**
 * The convolution on NHWC images with register tiles shared by subgroup shuffles: x [N, H, W, C], w [KH, KW, C, O],
 * b [O], r and y [N, H', W', O]; C and O are multiples of 4, and w is cut by TILE. A variant of conv2d, which see for the
 * mathematics.
 */
export const conv2dSubgroup = defineKernel({
  name: "conv2d_subgroup",
  inputs: ["x", "w", "b?", "r?"],
  options: { subgroup: 8, ...NHWC_OPTIONS } as TileOptions,
  wgsl,
  example: { shapes: { x: [1, 5, 6, 8], w: [3, 3, 8, 44], b: [44] }, options: { padding: [1, 1, 1, 1] } },

  shape: ({ x, w }, options) => [x[0], ...imageSize(x, w, options), w[3]],
  cost({ shapes: { w }, options, y }) {
    const k = rowsOf(w);
    return { flops: 2 * sizeOf(y) * k, work: work(rowsOf(y), y[3], k, options) };
  },
  consts: ({ options, y }) => consts(rowsOf(y), options),
  params: ({ shapes: { x, w, b, r }, options, y }) => ({
    ...windows(x, w, options, y),
    ...epilogue(b, r, options.relu),
    pixels: rowsOf(y),
    x_channels: x[3] / 4,
    y_channels: y[3] / 4,
    channel_tiles: channelTiles(y[3]),
    x_stride: 0,
    w_stride: 0,
    y_stride: 0,
  }),
  grid: ({ options, y }) => grid(rowsOf(y), y[3], 1, options),

  reference: ({ w, ...inputs }, call) => convolve({ ...inputs, w: uncut(w, rowsOf(call.shapes.w), call.y[3]) }, call),
});

/** Its spec, for the kernels that differ from it in parts. */
export const convolution = conv2dSubgroup as unknown as KernelSpec<Inputs, TileOptions>;

/**
 * A batch of matrix products by the same WGSL, each a 1x1 convolution of one row of pixels:
 * a [batch, M, K], b [batch, K, N] -> y [batch, M, N]; K and N are multiples of 4, and b is cut by TILE.
 */
export const matmulSubgroup = defineKernel({
  name: "matmul_subgroup",
  inputs: ["x", "w"],
  options: { subgroup: 8 },
  wgsl,
  example: { shapes: { x: [3, 5, 8], w: [3, 8, 44] } },
  shape: ({ x, w }) => [x[0], x[1], w[2]],
  cost: ({ shapes: { x }, options, y }) => ({
    flops: 2 * sizeOf(y) * x[2],
    work: y[0] * work(y[1], y[2], x[2], options),
  }),
  consts: ({ options, y }) => consts(y[1], options),
  params: ({ shapes: { x, w }, y }) => ({
    ...windows([1, 1, ...x.slice(1)], [1, 1], NHWC_OPTIONS, [1, 1, y[1]]),
    ...epilogue(),
    pixels: y[1],
    x_channels: x[2] / 4,
    y_channels: y[2] / 4,
    channel_tiles: channelTiles(y[2]),
    x_stride: (x[1] * x[2]) / 4,
    w_stride: (w[1] * w[2]) / 4,
    y_stride: (y[1] * y[2]) / 4,
  }),
  grid: ({ options, y }) => grid(y[1], y[2], y[0], options),

  reference: ({ x, w }, call) => multiply({ x, w: uncut(w, call.shapes.x[2], call.y[2]) }, call),
});
