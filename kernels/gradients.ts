import type { Gradients } from "../engine/graph/gradients.ts";
import { gradient as channelShuffle } from "./channel_shuffle_gradient.ts";
import { gradient as concat } from "./concat_gradient.ts";
import { gradient as copy } from "./copy_gradient.ts";
import { clampGradient, gradientOf } from "./elementwise/activation_gradient.ts";
import { add } from "./elementwise/add.ts";
import { gradient as addGradient } from "./elementwise/add_gradient.ts";
import { gradient as mul } from "./elementwise/mul_gradient.ts";
import { gradient as gather } from "./gather_gradient.ts";
import { gradient as crossEntropy } from "./loss/cross_entropy_gradient.ts";
import { gradient as batchNorm, trainGradient as batchNormTrain } from "./norm/batchnorm_gradient.ts";
import { gradient as pad } from "./pad_gradient.ts";
import { gradient as permute } from "./permute_gradient.ts";
import { meanGradient, sumGradient } from "./reduce_gradient.ts";
import { gradient as roll } from "./roll_gradient.ts";
import { gradient as slice } from "./slice_gradient.ts";
import { gradient as drop } from "./training/drop.ts";

/** The gradients of operators by their names; each stands beside its operator. */
export const gradients: Gradients = {
  of: {
    drop,
    add: addGradient,
    channel_shuffle: channelShuffle,
    clamp: clampGradient,
    concat,
    copy,
    gather,
    gelu: gradientOf("gelu"),
    hardsigmoid: gradientOf("hardsigmoid"),
    hardswish: gradientOf("hardswish"),
    leaky_relu: gradientOf("leaky_relu"),
    mean: meanGradient,
    mul,
    pad,
    permute,
    relu: gradientOf("relu"),
    roll,
    sigmoid: gradientOf("sigmoid"),
    silu: gradientOf("silu"),
    slice,
    sum: sumGradient,
    tanh: gradientOf("tanh"),
    batchnorm: batchNorm,
    batchnorm_train: batchNormTrain,
    cross_entropy: crossEntropy,
  },
  sum: (a, b) => add(a, b),
};
