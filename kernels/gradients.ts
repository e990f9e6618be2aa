import type { Gradients } from "../engine/graph/gradients.ts";
import { gradient as channelShuffle } from "./channel_shuffle_gradient.ts";
import { gradient as concat } from "./concat_gradient.ts";
import { gradient as conv2d } from "./conv2d/conv2d_gradient.ts";
import { gradient as copy } from "./copy_gradient.ts";
import { clampGradient, gradientOf } from "./elementwise/activation_gradient.ts";
import { add } from "./elementwise/add.ts";
import { gradient as addGradient } from "./elementwise/add_gradient.ts";
import { gradient as mul } from "./elementwise/mul_gradient.ts";
import { gradient as gather } from "./gather_gradient.ts";
import { gradient as linear } from "./linear/linear_gradient.ts";
import { gradient as crossEntropy } from "./loss/cross_entropy_gradient.ts";
import { gradient as matmul } from "./matmul_gradient.ts";
import { gradient as batchNorm, trainGradient as batchNormTrain } from "./norm/batchnorm_gradient.ts";
import { gradient as layerNorm } from "./norm/layernorm_gradient.ts";
import { gradient as lrn } from "./norm/lrn_gradient.ts";
import { gradient as normalize } from "./norm/normalize_gradient.ts";
import { gradient as pad } from "./pad_gradient.ts";
import { gradient as permute } from "./permute_gradient.ts";
import { gradient as adaptiveAvgPool2d } from "./pool2d/adaptive_avgpool2d_gradient.ts";
import { gradient as avgPool2d } from "./pool2d/avgpool2d_gradient.ts";
import { gradient as maxPool2d } from "./pool2d/maxpool2d_gradient.ts";
import { meanGradient, sumGradient } from "./reduce_gradient.ts";
import { gradient as roll } from "./roll_gradient.ts";
import { gradient as slice } from "./slice_gradient.ts";
import { gradient as softmax } from "./softmax_gradient.ts";
import { gradient as dropout } from "./training/dropout.ts";

/** The gradients of operators by their names; each stands beside its operator. */
export const gradients: Gradients = {
  of: {
    adaptive_avgpool2d: adaptiveAvgPool2d,
    add: addGradient,
    avgpool2d: avgPool2d,
    batchnorm: batchNorm,
    batchnorm_train: batchNormTrain,
    channel_shuffle: channelShuffle,
    clamp: clampGradient,
    concat,
    conv2d,
    copy,
    cross_entropy: crossEntropy,
    dropout,
    gather,
    gelu: gradientOf("gelu"),
    hardsigmoid: gradientOf("hardsigmoid"),
    hardswish: gradientOf("hardswish"),
    layernorm: layerNorm,
    leaky_relu: gradientOf("leaky_relu"),
    linear,
    lrn,
    matmul,
    maxpool2d: maxPool2d,
    mean: meanGradient,
    mul,
    normalize,
    pad,
    permute,
    relu: gradientOf("relu"),
    roll,
    sigmoid: gradientOf("sigmoid"),
    silu: gradientOf("silu"),
    slice,
    softmax,
    sum: sumGradient,
    tanh: gradientOf("tanh"),
  },
  sum: (a, b) => add(a, b),
};
