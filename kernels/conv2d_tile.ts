import { defineKernel, type Grid, type KernelSpec, linearGrid } from "../engine/kernel.ts";
import { rowsOf, type Shape, sizeOf } from "../engine/tensor.ts";
import { convolve, epilogue, type Inputs, multiply } from "./conv2d_nhwc.ts";
import { convolution, matmulSubgroup, type TileOptions } from "./conv2d_subgroup.ts";
import { conv2d_tile as wgsl } from "./wgsl.ts";

/** Workgroups for `parts` outputs of this many pixels and channels. */
export function grid(tile: number, pixels: number, channels: number, parts: number): Grid {
  const [x, y] = linearGrid(pixels, tile);
  return [x, y, Math.ceil(channels / tile) * parts];
}

/** Operations of the tiles that cover an output of this many pixels and channels, with sums of k terms. */
const workOf = (tile: number, pixels: number, channels: number, k: number): number =>
  2 * Math.ceil(pixels / tile) * Math.ceil(channels / tile) * tile ** 2 * k;

const products = matmulSubgroup as unknown as KernelSpec<"x" | "w", typeof matmulSubgroup.options>;

/** Cost of a convolution with w [KH, KW, C, O]. */
export function costOf(tile: number, w: Shape, y: Shape) {
  const k = rowsOf(w);
  return { flops: 2 * sizeOf(y) * k, work: workOf(tile, rowsOf(y), y[3], k) };
}

/**
 * The convolution on NHWC images with tiles of `tile` pixels and channels in workgroup memory: as conv2d_subgroup,
 * without subgroups (whose size, an option there, means nothing here).
 */
const conv2dTiles = (name: string, tile: 64 | 128) =>
  defineKernel<Inputs, TileOptions>({
    ...convolution,
    name,
    wgsl,
    cost: ({ shapes: { w }, y }) => costOf(tile, w, y),
    consts: () => ({ SIDE: tile / 8 }),
    params: (call, part) => ({
      ...convolution.params(call, part),
      channel_tiles: Math.ceil(call.y[3] / tile),
      splits: 1,
    }),
    grid: ({ y }) => grid(tile, rowsOf(y), y[3], 1),
    reference: convolve,
  });

/** A batch of matrix products by the same WGSL: as matmul_subgroup. */
const matmulTiles = (name: string, tile: 64 | 128) =>
  defineKernel<"x" | "w", typeof matmulSubgroup.options>({
    ...products,
    name,
    wgsl,
    cost: ({ shapes: { x }, y }) => ({ flops: 2 * sizeOf(y) * x[2], work: y[0] * workOf(tile, y[1], y[2], x[2]) }),
    consts: () => ({ SIDE: tile / 8 }),
    params: (call, part) => ({ ...products.params(call, part), channel_tiles: Math.ceil(call.y[2] / tile), splits: 1 }),
    grid: ({ y }) => grid(tile, y[1], y[2], y[0]),
    reference: multiply,
  });

export const conv2dTile = conv2dTiles("conv2d_tile", 64);
export const conv2dTile128 = conv2dTiles("conv2d_tile_128", 128);
export const matmulTile = matmulTiles("matmul_tile", 64);
export const matmulTile128 = matmulTiles("matmul_tile_128", 128);

type SplitSpec = KernelSpec<"x" | "w", TileOptions & { splits: number }>;

/**
 * The same convolution in `splits` partial sums, each over an equal share of the filter: [splits, N, H', W', O], without
 * bias, residual and relu, for sum_splits to add up. For images too small to keep a GPU busy.
 */
export const conv2dTileSplit = defineKernel({
  ...(conv2dTile as unknown as SplitSpec),
  name: "conv2d_tile_split",
  inputs: ["x", "w"],
  options: { ...conv2dTile.options, splits: 2 },
  example: { shapes: { x: [1, 5, 6, 8], w: [3, 3, 8, 12] }, options: { padding: [1, 1, 1, 1], splits: 3 } },
  shape: ({ x, w }, { splits, ...options }) => [splits, ...convolution.shape({ x, w }, options)],
  cost: ({ shapes: { w }, y: [, ...y] }) => costOf(64, w, y),
  params: ({ shapes: { x, w }, options, y: [, ...y] }, part) => ({
    ...convolution.params({ shapes: { x, w }, options, y }, part),
    ...epilogue(),
    channel_tiles: Math.ceil(y[3] / 64),
    splits: options.splits,
    y_stride: sizeOf(y) / 4,
  }),
  grid: ({ options, y: [, ...y] }) => grid(64, rowsOf(y), y[3], options.splits),

  reference({ x, w }, { shapes, options, y: [splits, ...y] }) {
    const [kernelHeight, kernelWidth, channels, outChannels] = shapes.w;
    // Runs of the filter in steps of 16 channels, cut at equal numbers of steps.
    const columns = options.dilation[1] === 1 ? 1 : kernelWidth;
    const run = (kernelWidth / columns) * channels;
    const stepsOfRun = Math.ceil(run / 16);
    const steps = kernelHeight * columns * stepsOfRun;
    const stepOf = (k: number) => Math.floor(k / run) * stepsOfRun + Math.floor((k % run) / 16);
    const call = { shapes, options: { ...options, relu: false }, y };
    const sums = new Float64Array(splits * sizeOf(y));
    for (let split = 0; split < splits; split++) {
      const first = Math.floor((split * steps) / splits);
      const end = Math.floor(((split + 1) * steps) / splits);
      const share = w.map((weight, i) => {
        const step = stepOf(Math.floor(i / outChannels));
        return first <= step && step < end ? weight : 0;
      });
      sums.set(convolve({ x, w: share }, call), split * sizeOf(y));
    }
    return sums;
  },
});
