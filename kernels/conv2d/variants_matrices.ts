import type { Setting } from "../../engine/graph/variant.ts";
import { matrixKernels } from "./conv2d_matrix.ts";
import type { TileKernels } from "./conv2d_tile.ts";
import { type Conv2dVariant, dense, gains, refuses } from "./dense.ts";
import { MATRIX_TILES, tileName } from "./tiles.ts";
import { refusesF32 } from "./variants_gpu.ts";
import type { Product } from "./winograd/variants.ts";

// The ways to compute conv2d on the matrix units of GPUs (tensor cores), whose kernels differ by device.

const findKernels = (size: number, { matrices }: Setting): TileKernels | undefined =>
  matrices && matrixKernels(matrices).find((kernels) => kernels.size === size);

/** Those of a device that was not refused. */
const kernelsOf = (size: number, setting: Setting) => findKernels(size, setting) as TileKernels;

function refusesDevice(size: number, setting: Setting): string | undefined {
  const { matrices } = setting;
  if (!matrices) return "the device has no matrix units that kernels could use";
  const reason = matrices.factors === "f16" ? refusesF32(setting) : undefined;
  return reason ?? (findKernels(size, setting) ? undefined : "the device's workgroups have too little memory");
}

export const conv2dMatrixVariants = MATRIX_TILES.map(
  ({ size }): Conv2dVariant => ({
    name: tileName("conv2d_matrix", size),
    nhwc: true,
    refuses: (call, setting, inputs) => refusesDevice(size, setting) ?? refuses(call, setting, inputs),
    gains,
    build: (inputs, call, setting, plain) => dense(kernelsOf(size, setting).conv2d).build(inputs, call, setting, plain),
  }),
);

export const matrixProducts = MATRIX_TILES.map(
  ({ size }): Product => ({
    refuses: (setting) => refusesDevice(size, setting) !== undefined,
    multiply: (a, b, setting) => kernelsOf(size, setting).matmul(a, b),
  }),
);
