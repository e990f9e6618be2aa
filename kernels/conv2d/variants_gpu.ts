import { type TileKernels, tileKernelsOf } from "./conv2d_tile.ts";
import { type Conv2dVariant, dense } from "./dense.ts";
import type { Product } from "./winograd/variants.ts";

// The ways to compute conv2d on GPUs: tiles in the workgroup's memory.

export const tileVariant = ({ conv2d }: TileKernels): Conv2dVariant => dense(conv2d);
export const tileProduct = ({ matmul }: TileKernels): Product => ({ multiply: (a, b) => matmul(a, b) });

export const conv2dTileVariants = tileKernelsOf.map(tileVariant);
export const tileProducts = tileKernelsOf.map(tileProduct);
