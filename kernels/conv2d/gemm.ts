import type { Reference } from "../../engine/graph/evaluate.ts";
import type { Call, KernelSpec } from "../../engine/graph/kernel.ts";
import type { Setting } from "../../engine/graph/variant.ts";
import { rowsOf } from "../../engine/ground/tensor.ts";
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

// What the kernels have in common that compute a convolution as a matrix product, and products themselves by the same WGSL.

/** What kernels by subgroups are compiled for. Means nothing to others. */
export interface Subgroup {
  /** Lanes of a subgroup: what the adapter has, between 4 and 64. */
  subgroup: number;
  /** Whether loads of weights are unrolled: see Traits. */
  unroll: boolean;
}

/** The options of these kernels for a device. */
export const subgroupOf = (setting: Setting): Subgroup => ({
  subgroup: setting.subgroupSize,
  unroll: setting.fastLoads ?? false,
});

const SUBGROUP: Subgroup = { subgroup: 8, unroll: false };

export type TileOptions = Subgroup & NhwcOptions;

/** The parts of a spec that do not depend on tiles. */
type Part<K extends string, O extends object> = Pick<KernelSpec<K, O>, "inputs" | "options" | "shape" | "params">;

/** The convolution on NHWC images: x [N, H, W, C], w [KH, KW, C, O], b [O], r and y [N, H', W', O]. */
export const convolution: Part<Inputs, TileOptions> = {
  inputs: ["x", "w", "b?", "r?"],
  options: { ...SUBGROUP, ...NHWC_OPTIONS },
  shape: ({ x, w }, options) => [x[0], ...imageSize(x, w, options), w[3]],
  params: ({ shapes: { x, w, b, r }, options, y }: Call<Inputs, TileOptions>) => ({
    ...windows(x, w, options, y),
    ...epilogue(b, r, options.activation),
    pixels: rowsOf(y),
    x_channels: x[3] / 4,
    y_channels: y[3] / 4,
    y_pitch: y[3] / 4,
    y_first: 0,
    x_stride: 0,
    w_stride: 0,
    y_stride: 0,
  }),
};

/** A batch of matrix products, each a 1x1 convolution of one row of pixels: a [batch, M, K], b [batch, K, N] -> [batch, M, N]. */
export const product: Part<"x" | "w", Subgroup> = {
  inputs: ["x", "w"],
  options: SUBGROUP,
  shape: ({ x, w }) => [x[0], x[1], w[2]],
  params: ({ shapes: { x, w }, y }) => ({
    ...windows([1, 1, ...x.slice(1)], [1, 1], NHWC_OPTIONS, [1, 1, y[1]]),
    ...epilogue(),
    pixels: y[1],
    x_channels: x[2] / 4,
    y_channels: y[2] / 4,
    y_pitch: y[y.length - 1] / 4,
    y_first: 0,
    x_stride: (x[1] * x[2]) / 4,
    w_stride: (w[1] * w[2]) / 4,
    y_stride: (y[1] * y[2]) / 4,
  }),
};

/**
 * Where the weights of column o of [terms, channels] are, by their row: row by row, or if they are cut into tiles of so
 * many columns, one tile after the other and each in matrices of 4x4, so that a kernel which computes a tile reads from
 * one end to the other.
 */
export function columnAt(o: number, terms: number, channels: number, tile?: number): (row: number) => number {
  if (!tile) return (row) => row * channels + o;
  const first = o - (o % tile);
  const width = Math.min(tile, channels - first);
  const start = first * terms + 4 * ((o % tile) - (o % 4)) + (o % 4);
  return (row) => start + (row - (row % 4)) * width + 4 * (row % 4);
}

/** Output channels by which weights are cut for kernels in registers: see columnAt. */
export const TILE = 32;

/** Tiles that so many output channels take. */
export const channelTiles = (channels: number): number => Math.ceil(channels / TILE);

/** Weights [terms, channels], or several such, cut by TILE -> in whole rows. */
export const uncut = (w: Float32Array, terms: number, channels: number): Float32Array =>
  w.map((_, i) => {
    const at = i % (terms * channels);
    return w[i - at + columnAt(at % channels, terms, channels, TILE)(Math.floor(at / channels))];
  });

/** Small calls of these, for self-tests. */
export const convolutionExample = {
  shapes: { x: [1, 5, 6, 8], w: [3, 3, 8, 44], b: [44] },
  options: { padding: [1, 1, 1, 1] },
};
export const productExample = { shapes: { x: [3, 5, 8], w: [3, 8, 44] } };

/** The references of kernels whose weights are cut by TILE. */
export const cutConvolution: Reference<Inputs, TileOptions> = {
  example: convolutionExample,

  compute: ({ w, ...inputs }, call) => convolve({ ...inputs, w: uncut(w, rowsOf(call.shapes.w), call.y[3]) }, call),
};
export const cutProduct: Reference<"x" | "w", Subgroup> = {
  example: productExample,

  compute: ({ x, w }, call) => multiply({ x, w: uncut(w, call.shapes.x[2], call.y[2]) }, call),
};
