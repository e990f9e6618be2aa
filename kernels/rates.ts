import { secondsOf } from "../engine/graph/seconds.ts";
import type { Rates } from "../engine/graph/variant.ts";
import { efficienciesOf } from "./conv2d/tiles.ts";

/** What is not for a kind of device. */
const none = (...names: readonly string[]) => Object.fromEntries(names.map((name) => [name, 0]));

/** What kernels reach on GPUs, and which of them are not for these. */
const onGpus = {
  ...none("conv2d_subgroup", "conv2d_stem", "matmul_subgroup", "lrn_nhwc"),
  ...efficienciesOf("conv2d"),
  ...efficienciesOf("matmul"),
  global_avgpool: 0.1,
  layernorm_rows: 0.1,
  softmax_rows: 0.1,
};

/**
 * A GPU: multiply-adds in f32, memory and multiprocessors by the data sheet of a typical one of its vendor. A dispatch by what
 * others measured through WebGPU, https://arxiv.org/abs/2604.02344: 24 to 36 us on Vulkan, 32 to 71 on Metal; the least of
 * these, since a plan is one pass.
 */
const gpuOf = (flops: number, bytes: number, cores: number): Rates => ({
  secondsOf,
  flops,
  bytes,
  dispatch: 24e-6,
  cores,
  lanes: 128,
  efficiency: onGpus,
});

/**
 * How fast kinds of devices are, by vendor as WebGPU names it, for estimates where nothing was measured on the device
 * itself (`shadenet tune`). Only ratios matter. "software" was measured on llvmpipe with two cores by
 * `npm run bench:kernels`; the efficiencies on GPUs are what compilers make of the kernels.
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
      ...none(...Object.keys(onGpus)),
      // Bound by memory everywhere: arithmetic hardly counts.
      avgpool2d_nhwc: 0.1,
      maxpool2d_nhwc: 0.1,
      conv2d_depthwise: 0.1,
      conv2d_grouped: 0.1,
      conv2d_broadcast: 1,
      conv2d_subgroup: 0.85,
      conv2d_stem: 0.8,
      matmul_broadcast: 1,
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
  nvidia: gpuOf(60e12, 3e12, 132), // H100
  amd: gpuOf(19e12, 0.6e12, 60), // Radeon RX 7800 XT, whose data sheet counts two instructions at once
  intel: gpuOf(4.6e12, 0.12e12, 8), // Core Ultra 7 155H: Xe-cores, and LPDDR5X-7467
  apple: gpuOf(4.3e12, 0.12e12, 10), // M4
  qualcomm: gpuOf(4.6e12, 0.13e12, 6), // Snapdragon X Elite: Adreno X1-85
  arm: gpuOf(1.6e12, 0.06e12, 7), // Tensor G3: Mali-G715 MC7
  gpu: gpuOf(10e12, 0.4e12, 32), // of other vendors: the middle class
};
