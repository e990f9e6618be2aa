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

/** The WGSL of a tile, and so many pixels and channels at a time. */
export interface Tiling {
  readonly size: number;
  readonly wgsl: string;
  readonly consts: Readonly<Record<string, number | boolean>>;
}

/** A kernel with the shapes and options of `spec` by WGSL that takes conv2d_tile's parameters. */
function tiled<K extends string, O extends object>(
  name: string,
  spec: Omit<KernelSpec<K, O>, "name" | "wgsl" | "consts" | "cost" | "grid">,
  sizeOfCall: (call: Call<K, O>) => Size,
  { size, wgsl, consts }: Tiling,
) {
  const tiles = (count: number) => Math.ceil(count / size);
  return defineKernel<K, O>({
    ...spec,
    name,
    wgsl,
    consts: ({ options }) => ({ ...consts, ...activationConsts(options) }),
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

/**
 * A tile's convolution, and its batches of matrix products. As conv2d_subgroup, without its options (which mean nothing to
 * these), and in the weights' own order. `kind` says by what: tile, or matrix.
 */
export const kernelsBy = (kind: string, tiling: Tiling) => ({
  size: tiling.size,
  conv2d: tiled(
    tileName(`conv2d_${kind}`, tiling.size),
    convolution,
    ({ shapes: { w }, y }) => [rowsOf(y), y[3], rowsOf(w), 1],
    tiling,
  ),
  matmul: tiled(
    tileName(`matmul_${kind}`, tiling.size),
    product,
    ({ shapes: { x }, y }) => [y[1], y[2], x[2], y[0]],
    tiling,
  ),
});

export type TileKernels = ReturnType<typeof kernelsBy>;

const constsOf = ({ side, each, slices }: Tile) => ({ SIDE: side, EACH: each, SLICES: slices });

export const tileKernels = (tile: Tile): TileKernels =>
  kernelsBy("tile", { size: sizeOfTile(tile), wgsl, consts: { ...constsOf(tile), BY_STEPS: false } });

/** The same with products in f16, of which sixteen at a time are added up in f16: for tensors in f16. */
export const halvesKernels = (tile: Tile): TileKernels =>
  kernelsBy("tile_f16", {
    size: sizeOfTile(tile),
    wgsl: `enable f16; ${wgsl.replace(/^alias (Real|Part) *= *f32;/gm, "alias $1 = f16;")}`,
    consts: { ...constsOf(tile), BY_STEPS: true },
  });

/** The kernels of every tile there is. */
export const tileKernelsOf = TILES.map(tileKernels);
export const halvesKernelsOf = TILES.map(halvesKernels);

export const conv2dTileReference: Reference<Inputs, TileOptions> = {
  example: convolutionExample,
  compute: convolve,
};

export const matmulTileReference: Reference<"x" | "w", typeof product.options> = {
  example: productExample,
  compute: multiply,
};
