import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, type Grid, linearGrid } from "../../engine/graph/kernel.ts";
import { roundUp, rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { type Activated, activationConsts } from "../activation.ts";
import { wgsl } from "./conv2d_broadcast.wgsl.ts";
import {
  channelTiles,
  convolution,
  cutConvolution,
  cutProduct,
  product,
  TILE,
  type TileOptions,
  uncut,
} from "./gemm.ts";
import { convolve, type Inputs } from "./nhwc.ts";

/** Channels of a tile that the kernel computes: half or a quarter of them where there are no more. */
const widthOf = (channels: number): number => [8, 16].find((width) => channels <= width) ?? TILE;

/** Its pixels. */
const pixelsOf = (channels: number): number => (channels > 8 ? 16 : 32);

const consts = (channels: number, options: Partial<Activated>) => ({
  WIDTH: widthOf(channels),
  ...activationConsts(options),
});

/** Workgroups for `products` outputs of this many pixels and channels. */
function grid(pixels: number, channels: number, products: number): Grid {
  const [x, y] = linearGrid(pixels, pixelsOf(channels));
  return [x, y, channelTiles(channels) * products];
}

/** Operations of the tiles that cover an output of this many pixels and channels, with sums of k terms. */
const work = (pixels: number, channels: number, k: number): number =>
  2 * roundUp(pixels, pixelsOf(channels)) * channelTiles(channels) * widthOf(channels) * k;

interface Options extends TileOptions {
  /**
   * The width of the filters, where a row of them is one of [KH, 1, KW * C, O] with KW * C padded to a multiple of 4: for images
   * of channels that are none. 0 where w is [KH, KW, C, O].
   */
  columns: number;
}

type Shapes = Call<Inputs, Options>["shapes"];

/** The shapes with w [KH, KW, C, O]. */
const square = ({ x, w, ...others }: Shapes, { columns }: Options): Shapes => ({
  ...others,
  x,
  w: columns ? [w[0], columns, x[3], w[3]] : w,
});

/**
 * As conv2d_subgroup, with weights cut in the same way, for subgroups of 4 lanes on software adapters, where loads cost most.
 */
export const conv2dBroadcast = defineKernel<Inputs, Options>({
  ...convolution,
  name: "conv2d_broadcast",
  options: { ...convolution.options, columns: 0 },
  wgsl,
  shape: (shapes, options) => convolution.shape(square(shapes, options), options),
  cost: ({ shapes, options, y }) => ({
    flops: 2 * sizeOf(y) * rowsOf(square(shapes, options).w),
    work: work(rowsOf(y), y[3], rowsOf(shapes.w)),
  }),
  consts: ({ options, y }) => consts(y[3], options),
  params: ({ shapes, ...call }, part) => ({
    ...convolution.params({ shapes: square(shapes, call.options), ...call }, part),
    x_channels: shapes.x[3],
    channel_tiles: channelTiles(call.y[3]),
  }),
  grid: ({ y }) => grid(rowsOf(y), y[3], 1),
});

export const conv2dBroadcastReference: ReferenceOf<typeof conv2dBroadcast> = {
  example: cutConvolution.example,

  compute({ w, ...inputs }, { shapes, options, y }) {
    const row = (options.columns * shapes.x[3] || 1) * y[3];
    const filters = uncut(w, rowsOf(shapes.w), y[3]);
    const rows = options.columns ? filters.filter((_, i) => i % sizeOf(shapes.w.slice(1)) < row) : filters;
    return convolve({ ...inputs, w: rows }, { shapes: square(shapes, options), options, y });
  },
};

/** A batch of matrix products by the same WGSL, as matmul_subgroup. */
export const matmulBroadcast = defineKernel({
  ...product,
  name: "matmul_broadcast",
  wgsl,
  cost: ({ shapes: { x }, y }) => ({ flops: 2 * sizeOf(y) * x[2], work: y[0] * work(y[1], y[2], x[2]) }),
  consts: ({ y }) => consts(y[2], {}),
  params: (call, part) => ({
    ...product.params(call, part),
    x_channels: call.shapes.x[2],
    channel_tiles: channelTiles(call.y[2]),
  }),
  grid: ({ y }) => grid(y[1], y[2], y[0]),
});

export const matmulBroadcastReference: ReferenceOf<typeof matmulBroadcast> = cutProduct;
