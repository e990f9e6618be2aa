import type { Reference } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, type KernelSpec, linearGrid } from "../../engine/graph/kernel.ts";
import { rowsOf } from "../../engine/ground/tensor.ts";
import { activationConsts } from "../activation.ts";
import { wgsl } from "./conv2d_tile.wgsl.ts";
import { convolution, convolutionExample, product, productExample, type TileOptions } from "./gemm.ts";
import { convolve, type Inputs, multiply } from "./nhwc.ts";
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
  consts: () => ({ SIDE: tile.side, EACH: tile.each, SLICES: tile.slices }),
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
    params: (call, part) => ({ ...spec.params(call, part), channel_tiles: tiles(sizeOfCall(call)[1]) }),
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
