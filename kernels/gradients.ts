import type { Gradients } from "../engine/graph/gradients.ts";
import { add } from "./elementwise/add.ts";
import { gradient as crossEntropy } from "./loss/cross_entropy_gradient.ts";
import { gradient as batchNorm, trainGradient as batchNormTrain } from "./norm/batchnorm_gradient.ts";

/** The gradients of operators by their names; each stands beside its operator. */
export const gradients: Gradients = {
  of: {
    batchnorm: batchNorm,
    batchnorm_train: batchNormTrain,
    cross_entropy: crossEntropy,
  },
  sum: (a, b) => add(a, b),
};
