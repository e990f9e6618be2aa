import { type Call, defineKernel, type KernelSpec, linearGrid } from "../../engine/graph/kernel.ts";
import { rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { conv2d_tile as wgsl } from "../wgsl.ts";
import { convolution, matmulSubgroup, type TileOptions } from "./conv2d_subgroup.ts";
import { convolve, epilogue, type Inputs, multiply } from "./nhwc.ts";

type Tiling = typeof matmulSubgroup.options;
type Tile = 32 | 64 | 128;
type Consts = KernelSpec<string, Tiling>["consts"];

/** Pixels and channels of an output, how many terms its sums have, and how many such outputs there are. */
type Size = readonly [pixels: number, channels: number, terms: number, parts: number];

type Untiled<K extends string, O extends object> = Omit<KernelSpec<K, O>, "consts" | "cost" | "grid">;

/** The specialization constants of conv2d_tile: 4x4, 8x8 and 8x8 sums per thread. */
const constsOf = (tile: Tile) => (tile === 32 ? { SIDE: 8, EACH: 1 } : { SIDE: tile / 8, EACH: 2 });

/** A kernel with the shapes and options of `spec` by WGSL that takes conv2d_tile's parameters. */
function tiled<K extends string, O extends Tiling>(
  spec: Untiled<K, O>,
  size: (call: Call<K, O>) => Size,
  tile: Tile,
  consts: Consts = () => constsOf(tile),
) {
  const tiles = (count: number) => Math.ceil(count / tile);
  return defineKernel<K, O>({
    ...spec,
    consts: consts as KernelSpec<K, O>["consts"],
    cost(call) {
      const [pixels, channels, terms, parts] = size(call);
      const each = 2 * terms * parts;
      return { flops: pixels * channels * each, work: tiles(pixels) * tiles(channels) * tile ** 2 * each };
    },
    params: (call, part) => ({ splits: 1, ...spec.params(call, part), channel_tiles: tiles(size(call)[1]) }),
    grid(call) {
      const [pixels, channels, , parts] = size(call);
      const [x, y] = linearGrid(pixels, tile);
      return [x, y, tiles(channels) * parts];
    },
  });
}

/** As conv2d_subgroup, without subgroups (whose size, an option there, means nothing here), by WGSL like conv2d_tile's. */
export const conv2dTiles = (name: string, tile: Tile, code = wgsl, consts?: Consts) =>
  tiled<Inputs, TileOptions>(
    { ...convolution, name, wgsl: code, reference: convolve },
    ({ shapes: { w }, y }) => [rowsOf(y), y[3], rowsOf(w), 1],
    tile,
    consts,
  );

/** A batch of matrix products by the same WGSL: as matmul_subgroup. */
const matmulTiles = (name: string, tile: Tile) =>
  tiled<"x" | "w", Tiling>(
    { ...(matmulSubgroup as unknown as KernelSpec<"x" | "w", Tiling>), name, wgsl, reference: multiply },
    ({ shapes: { x }, y }) => [y[1], y[2], x[2], y[0]],
    tile,
  );

export const conv2dTile32 = conv2dTiles("conv2d_tile_32", 32);
export const conv2dTile = conv2dTiles("conv2d_tile", 64);
export const conv2dTile128 = conv2dTiles("conv2d_tile_128", 128);
export const matmulTile32 = matmulTiles("matmul_tile_32", 32);
export const matmulTile = matmulTiles("matmul_tile", 64);
export const matmulTile128 = matmulTiles("matmul_tile_128", 128);

/**
 * The same convolution in `splits` partial sums, each over an equal share of the filter: [splits, N, H', W', O], without
 * bias, residual and relu, for sum_splits to add up. For images too small to keep a GPU busy.
 */
export const conv2dTileSplit = tiled<"x" | "w", TileOptions & { splits: number }>(
  {
    name: "conv2d_tile_split",
    inputs: ["x", "w"],
    options: { ...convolution.options, splits: 2 },
    wgsl,
    example: { shapes: { x: [1, 5, 6, 8], w: [3, 3, 8, 44] }, options: { padding: [1, 1, 1, 1], splits: 3 } },
    shape: ({ x, w }, { splits, ...options }) => [splits, ...convolution.shape({ x, w }, options)],
    params: ({ shapes: { x, w }, options, y: [splits, ...y] }, part) => ({
      ...convolution.params({ shapes: { x, w }, options, y }, part),
      ...epilogue(),
      splits,
      y_stride: sizeOf(y) / 4,
    }),

    reference({ x, w }, { shapes, options, y: [splits, ...y] }) {
      // Runs of the filter in steps of 16 channels, cut at equal numbers of steps.
      const run = (options.dilation[1] === 1 ? shapes.w[1] : 1) * shapes.w[2];
      const stepsOfRun = Math.ceil(run / 16);
      const steps = (rowsOf(shapes.w) / run) * stepsOfRun;
      const splitOf = (k: number) => {
        const step = Math.floor(k / run) * stepsOfRun + Math.floor((k % run) / 16);
        return Math.ceil(((step + 1) * splits) / steps) - 1;
      };
      const call = { shapes, options: { ...options, relu: false }, y };
      const sums = new Float64Array(splits * sizeOf(y));
      for (let split = 0; split < splits; split++) {
        const share = w.map((weight, i) => (splitOf(Math.floor(i / y[3])) === split ? weight : 0));
        sums.set(convolve({ x, w: share }, call), split * sizeOf(y));
      }
      return sums;
    },
  },
  ({ shapes: { w }, y: [splits, ...y] }) => [rowsOf(y), y[3], rowsOf(w) / splits, splits],
  32,
);
