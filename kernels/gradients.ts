import type { Gradients } from "../engine/graph/gradients.ts";
import { add } from "./elementwise/add.ts";
import { gradient as crossEntropy } from "./loss/cross_entropy_gradient.ts";
import { gradient as batchNorm, trainGradient as batchNormTrain } from "./norm/batchnorm_gradient.ts";
import { gradient as layerNorm } from "./norm/layernorm_gradient.ts";
import { gradient as lrn } from "./norm/lrn_gradient.ts";
import { gradient as normalize } from "./norm/normalize_gradient.ts";
import { gradient as softmax } from "./softmax_gradient.ts";

/** The gradients of operators by their names; each stands beside its operator. */
export const gradients: Gradients = {
  of: {
    batchnorm: batchNorm,
    batchnorm_train: batchNormTrain,
    cross_entropy: crossEntropy,
    layernorm: layerNorm,
    lrn,
    normalize,
    softmax,
  },
  sum: (a, b) => add(a, b),
};
