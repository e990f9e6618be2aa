import type { Setting } from "../../engine/graph/variant.ts";
import { halvesKernelsOf, type TileKernels, tileKernelsOf } from "./conv2d_tile.ts";
import { type Conv2dVariant, dense } from "./dense.ts";
import type { Product } from "./winograd/variants.ts";

// The ways to compute conv2d on GPUs: tiles in the workgroup's memory.

export const tileVariant = ({ conv2d }: TileKernels): Conv2dVariant => dense(conv2d);
export const tileProduct = ({ matmul }: TileKernels): Product => ({ multiply: (a, b) => matmul(a, b) });

/** What multiplies f16 wants. */
export const refusesF32 = ({ dtype }: Setting): string | undefined =>
  dtype === "f16" ? undefined : 'it multiplies f16 only: load the net with dtype "f16"';

export const conv2dTileVariants: readonly Conv2dVariant[] = [
  ...tileKernelsOf.map(tileVariant),
  ...halvesKernelsOf.map(({ conv2d }) => ({ ...dense(conv2d, refusesF32), error: { f32: 0, f16: 1e-3 } })),
];
export const tileProducts = tileKernelsOf.map(tileProduct);
