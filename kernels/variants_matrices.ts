import type { Variants } from "../engine/graph/variant.ts";
import { conv2dLinearVariant } from "./conv2d/variants_common.ts";
import { conv2dTileVariants, tileProducts } from "./conv2d/variants_gpu.ts";
import { conv2dMatrixVariants, matrixProducts } from "./conv2d/variants_matrices.ts";
import { winogradVariants } from "./conv2d/winograd/variants.ts";
import { variants as gpu } from "./variants_gpu.ts";

/** The faster implementations of each operator on GPUs whose subgroups multiply matrices, best first. */
export const variants: Variants = {
  ...gpu,
  conv2d: [
    conv2dLinearVariant,
    ...conv2dMatrixVariants,
    ...winogradVariants(...matrixProducts, ...tileProducts),
    ...conv2dTileVariants,
  ],
};
