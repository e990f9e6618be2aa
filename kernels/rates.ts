import type { Rates } from "../engine/graph/kernel.ts";

/** A GPU of the middle class. */
const gpu: Rates = {
  flops: 10e12,
  bytes: 0.4e12,
  dispatch: 4e-6,
  cores: 32,
  lanes: 128,
  efficiency: {
    conv2d_matrix: 2,
    conv2d_matrix_128: 3,
    conv2d_tile_32: 0.35,
    conv2d_tile: 0.6,
    conv2d_tile_128: 0.7,
    conv2d_tile_split: 0.35,
    matmul_tile_32: 0.35,
    matmul_tile: 0.6,
    matmul_tile_128: 0.7,
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
    flops: 50e9,
    bytes: 10e9,
    dispatch: 10e-6,
    cores: 2,
    lanes: 8,
    efficiency: {
      conv2d_subgroup: 0.85,
      conv2d_stem: 0.8,
      matmul_subgroup: 0.8,
      winograd_input: 0.04,
      winograd_output: 0.03,
      winograd_input_2x2: 0.04,
      winograd_output_2x2: 0.03,
      linear_gemv: 0.2,
    },
    compiling: { conv2d_stem: 2e-3, linear_gemv: 1e-3 },
  },
  gpu,
  nvidia: { ...gpu, flops: 60e12, bytes: 3e12, cores: 132 },
};
