import type { Variants } from "../engine/graph/variant.ts";
import { conv2dMatrixVariants } from "./conv2d/variants_matrices.ts";
import { variants as gpu } from "./variants_gpu.ts";

/** The faster implementations of each operator on GPUs whose subgroups multiply matrices, best first. */
export const variants: Variants = {
  ...gpu,
  conv2d: [...gpu.conv2d.slice(0, 1), ...conv2dMatrixVariants, ...gpu.conv2d.slice(1)],
};
