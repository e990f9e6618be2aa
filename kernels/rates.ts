import { secondsOf } from "../engine/graph/seconds.ts";
import type { Rates } from "../engine/graph/variant.ts";
import { MATRIX_TILES, sizeOfTile, TILES, tileName } from "./conv2d/tiles.ts";

/** What is bound by memory everywhere, and whose arithmetic is hardly worth counting. */
const bound = { avgpool2d_nhwc: 0.1, maxpool2d_nhwc: 0.1, conv2d_depthwise: 0.1, conv2d_grouped: 0.1 };

const tiles = TILES.flatMap((tile) =>
  ["conv2d_tile", "matmul_tile"].map((name) => [tileName(name, tile), tile.efficiency] as const),
);
const matrices = MATRIX_TILES.map(({ name, efficiency }) => [name, efficiency] as const);

/** What is not for a kind of device. */
const none = (...names: readonly string[]) => Object.fromEntries(names.map((name) => [name, 0]));

const smallest = TILES.reduce((least, tile) => (sizeOfTile(tile) < sizeOfTile(least) ? tile : least));

/** A GPU of the middle class. */
const gpu: Rates = {
  secondsOf,
  flops: 10e12,
  bytes: 0.4e12,
  dispatch: 4e-6,
  cores: 32,
  lanes: 128,
  efficiency: {
    ...bound,
    ...none("conv2d_subgroup", "conv2d_stem", "matmul_subgroup", "lrn_nhwc"),
    ...Object.fromEntries([...tiles, ...matrices]),
    conv2d_tile_split: smallest.efficiency,
    sum_splits: 0.1,
    winograd_input: 0.1,
    winograd_output: 0.1,
    winograd_input_2x2: 0.1,
    winograd_output_2x2: 0.1,
    linear_gemv: 0.1,
    layernorm_rows: 0.1,
    softmax_rows: 0.1,
  },
};

/**
 * How fast kinds of devices are, by vendor as WebGPU names it, for estimates where nothing was measured on the device
 * itself (`shadenet tune`). Only ratios matter. "software" was measured on llvmpipe with two cores by
 * `npm run bench:kernels`; the GPUs' rows are what their data sheets (NVIDIA's: an H100's) and what compilers make of the
 * kernels suggest.
 */
export const rates: Readonly<Record<string, Rates>> = {
  software: {
    secondsOf,
    flops: 50e9,
    bytes: 10e9,
    dispatch: 10e-6,
    cores: 2,
    lanes: 8,
    efficiency: {
      ...bound,
      ...none("conv2d_tile_split", "layernorm_rows", "softmax_rows", ...[...tiles, ...matrices].map(([name]) => name)),
      conv2d_subgroup: 0.85,
      conv2d_stem: 0.8,
      matmul_subgroup: 0.8,
      winograd_input: 0.04,
      winograd_output: 0.03,
      winograd_input_2x2: 0.04,
      winograd_output_2x2: 0.03,
      linear_gemv: 0.2,
      lrn_nhwc: 0.1,
    },
    compiling: { conv2d_stem: 2e-3, linear_gemv: 1e-3 },
  },
  gpu,
  nvidia: { ...gpu, flops: 60e12, bytes: 3e12, cores: 132 },
};
