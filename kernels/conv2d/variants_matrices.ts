import type { Setting } from "../../engine/graph/variant.ts";
import { conv2dMatrices } from "./conv2d_matrix.ts";
import { dense } from "./dense.ts";

// The ways to compute conv2d on the matrix units of GPUs (tensor cores).

const refusesMatrices = ({ dtype, matrices }: Setting): string | undefined => {
  if (dtype !== "f16") return 'it multiplies f16 only: load the net with dtype "f16"';
  return matrices ? undefined : "the device has no matrices of 16x16 for subgroups of 16 to 64";
};

export const conv2dMatrixVariants = conv2dMatrices.map((kernel) => dense(kernel, refusesMatrices));
