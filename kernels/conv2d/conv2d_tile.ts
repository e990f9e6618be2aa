import type { Reference, ReferenceOf } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, type KernelSpec, linearGrid } from "../../engine/graph/kernel.ts";
import { rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { activationConsts } from "../activation.ts";
import { wgsl } from "./conv2d_tile.wgsl.ts";
import { convolution, convolutionExample, product, productExample, type TileOptions } from "./gemm.ts";
import { convolve, epilogue, type Inputs, multiply, type NhwcOptions } from "./nhwc.ts";
import { sizeOfTile, TILES, type Tile, tileName } from "./tiles.ts";

/** Pixels and channels of an output, how many terms its sums have, and how many such outputs there are. */
type Size = readonly [pixels: number, channels: number, terms: number, parts: number];

/** What the WGSL of a tile makes of a spec: its constants, and so many pixels and channels at a time. */
export interface Tiling<O extends object> {
  readonly size: number;
  readonly wgsl: string;
  consts(options: Readonly<O>): Readonly<Record<string, number>>;
}

const byThreads = (tile: Tile) => ({
  size: sizeOfTile(tile),
  wgsl,
  consts: () => ({ SIDE: tile.side, EACH: tile.each }),
});

/** A kernel with the shapes and options of `spec` by WGSL that takes conv2d_tile's parameters. */
function tiled<K extends string, O extends object>(
  name: string,
  spec: Omit<KernelSpec<K, O>, "name" | "wgsl" | "consts" | "cost" | "grid">,
  sizeOfCall: (call: Call<K, O>) => Size,
  { size, wgsl, consts }: Tiling<O>,
) {
  const tiles = (count: number) => Math.ceil(count / size);
  return defineKernel<K, O>({
    ...spec,
    name,
    wgsl,
    consts: ({ options }) => ({ ...consts(options), ...activationConsts(options) }),
    cost(call) {
      const [pixels, channels, terms, parts] = sizeOfCall(call);
      const each = 2 * terms * parts;
      return { flops: pixels * channels * each, work: tiles(pixels) * tiles(channels) * size ** 2 * each };
    },
    params: (call, part) => ({ splits: 1, ...spec.params(call, part), channel_tiles: tiles(sizeOfCall(call)[1]) }),
    grid(call) {
      const [pixels, channels, , parts] = sizeOfCall(call);
      const [x, y] = linearGrid(pixels, size);
      return [x, y, tiles(channels) * parts];
    },
  });
}

/** As conv2d_subgroup, without subgroups (whose size, an option there, means nothing to threads), in the weights' own order. */
export const conv2dTiles = (name: string, tiling: Tiling<TileOptions>) =>
  tiled(name, convolution, ({ shapes: { w }, y }) => [rowsOf(y), y[3], rowsOf(w), 1], tiling);

/** A tile's convolution and its batches of matrix products. */
export const tileKernels = (tile: Tile) => ({
  size: sizeOfTile(tile),
  conv2d: conv2dTiles(tileName("conv2d_tile", tile), byThreads(tile)),
  matmul: tiled(
    tileName("matmul_tile", tile),
    product,
    ({ shapes: { x }, y }) => [y[1], y[2], x[2], y[0]],
    byThreads(tile),
  ),
});

/** The kernels of every tile there is. */
export const tileKernelsOf = TILES.map(tileKernels);

export const conv2dTileReference: Reference<Inputs, TileOptions> = {
  example: convolutionExample,
  compute: convolve,
};

export const matmulTileReference: Reference<"x" | "w", typeof product.options> = {
  example: productExample,
  compute: multiply,
};

/** The smallest tile: for images too small to keep a GPU busy. */
const SMALLEST = TILES.reduce((least, tile) => (sizeOfTile(tile) < sizeOfTile(least) ? tile : least));

export type SplitOptions = NhwcOptions & { splits: number };

/**
 * The same convolution in `splits` partial sums, each over an equal share of the filter: [splits, N, H', W', O], without
 * bias, residual and activation, for sum_splits to add up.
 */
export const conv2dTileSplit = tiled<"x" | "w", SplitOptions & TileOptions>(
  "conv2d_tile_split",
  {
    inputs: ["x", "w"],
    options: { ...convolution.options, splits: 2 },
    shape: ({ x, w }, { splits, ...options }) => [splits, ...convolution.shape({ x, w }, options)],
    params: ({ shapes: { x, w }, options, y: [splits, ...y] }, part) => ({
      ...convolution.params({ shapes: { x, w }, options, y }, part),
      ...epilogue(),
      splits,
      y_stride: sizeOf(y) / 4,
    }),
  },
  ({ shapes: { w }, y: [splits, ...y] }) => [rowsOf(y), y[3], rowsOf(w) / splits, splits],
  byThreads(SMALLEST),
);

export const conv2dTileSplitReference: ReferenceOf<typeof conv2dTileSplit> = {
  example: { shapes: { x: [1, 5, 6, 8], w: [3, 3, 8, 44] }, options: { padding: [1, 1, 1, 1], splits: 3 } },

  compute({ x, w }, { shapes, options, y: [splits, ...y] }) {
    // Runs of the filter in steps of 16 channels, cut at equal numbers of steps.
    const run = (options.dilation[1] === 1 ? shapes.w[1] : 1) * shapes.w[2];
    const stepsOfRun = Math.ceil(run / 16);
    const steps = (rowsOf(shapes.w) / run) * stepsOfRun;
    const splitOf = (k: number) => {
      const step = Math.floor(k / run) * stepsOfRun + Math.floor((k % run) / 16);
      return Math.ceil(((step + 1) * splits) / steps) - 1;
    };
    const call = { shapes, options: { ...options, activation: "none" as const }, y };
    const sums = new Float64Array(splits * sizeOf(y));
    for (let split = 0; split < splits; split++) {
      const share = w.map((weight, i) => (splitOf(Math.floor(i / y[3])) === split ? weight : 0));
      sums.set(convolve({ x, w: share }, call), split * sizeOf(y));
    }
    return sums;
  },
};
