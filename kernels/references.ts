import { type AnyReference, evaluate, type Reference, type References } from "../engine/graph/evaluate.ts";
import type { AnyKernel } from "../engine/graph/kernel.ts";
import type { Shape } from "../engine/ground/tensor.ts";
import { reference as channelShuffle } from "./channel_shuffle.ts";
import { reference as concat } from "./concat.ts";
import { reference as conv2d } from "./conv2d/conv2d.ts";
import { conv2dBroadcastReference, matmulBroadcastReference } from "./conv2d/conv2d_broadcast.ts";
import { reference as depthwise } from "./conv2d/conv2d_depthwise.ts";
import { reference as conv2dDepthwiseWeightGradient } from "./conv2d/conv2d_depthwise_weight_gradient.ts";
import { reference as grouped } from "./conv2d/conv2d_grouped.ts";
import { reference as conv2dInputGradient } from "./conv2d/conv2d_input_gradient.ts";
import { reference as stem } from "./conv2d/conv2d_stem.ts";
import { reference as conv2dStemWeightGradient } from "./conv2d/conv2d_stem_weight_gradient.ts";
import { conv2dSubgroupReference, matmulSubgroupReference } from "./conv2d/conv2d_subgroup.ts";
import { conv2dTileReference, matmulTileReference } from "./conv2d/conv2d_tile.ts";
import { reference as conv2dWeightGradient } from "./conv2d/conv2d_weight_gradient.ts";
import { reference as exchange } from "./conv2d/exchange.ts";
import { reference as exchangeNhwc } from "./conv2d/exchange_nhwc.ts";
import { reference as flipFilters } from "./conv2d/flip_filters.ts";
import { reference as stretch } from "./conv2d/stretch.ts";
import { efficienciesOf } from "./conv2d/tiles.ts";
import { winogradInputReference, winogradOutputReference } from "./conv2d/winograd/reference.ts";
import { F2, F4 } from "./conv2d/winograd/winograd.ts";
import { reference as copy } from "./copy.ts";
import { reference as activationGradient } from "./elementwise/activation_gradient.ts";
import { reference as add } from "./elementwise/add.ts";
import { reference as clamp } from "./elementwise/clamp.ts";
import { reference as erf } from "./elementwise/erf.ts";
import { reference as exp } from "./elementwise/exp.ts";
import { reference as gelu } from "./elementwise/gelu.ts";
import { reference as hardsigmoid } from "./elementwise/hardsigmoid.ts";
import { reference as hardswish } from "./elementwise/hardswish.ts";
import { reference as leakyRelu } from "./elementwise/leaky_relu.ts";
import { reference as log } from "./elementwise/log.ts";
import { reference as mul } from "./elementwise/mul.ts";
import { reference as power } from "./elementwise/power.ts";
import { reference as relu } from "./elementwise/relu.ts";
import { reference as sigmoid } from "./elementwise/sigmoid.ts";
import { reference as silu } from "./elementwise/silu.ts";
import { reference as tanh } from "./elementwise/tanh.ts";
import { reference as expand } from "./expand.ts";
import { reference as gather } from "./gather.ts";
import { reference as gatherGradient } from "./gather_gradient.ts";
import { nhwcReference } from "./layout/on_nhwc.ts";
import { reference as toNchw } from "./layout/to_nchw.ts";
import { reference as toNhwc } from "./layout/to_nhwc.ts";
import { reference as linear } from "./linear/linear.ts";
import { reference as crossEntropy } from "./loss/cross_entropy.ts";
import { reference as crossEntropyGradient } from "./loss/cross_entropy_gradient.ts";
import { reference as matmul } from "./matmul.ts";
import { reference as mean } from "./mean.ts";
import { reference as batchNorm } from "./norm/batchnorm.ts";
import { reference as batchNormGradient } from "./norm/batchnorm_gradient.ts";
import { reference as batchNormGradientSums } from "./norm/batchnorm_gradient_sums.ts";
import { reference as batchNormMerged } from "./norm/batchnorm_merged.ts";
import { reference as batchNormStatistics } from "./norm/batchnorm_statistics.ts";
import { reference as batchNormTrain } from "./norm/batchnorm_train.ts";
import { reference as layerNorm } from "./norm/layernorm.ts";
import { reference as layerNormGradient } from "./norm/layernorm_gradient.ts";
import { reference as lrn } from "./norm/lrn.ts";
import { reference as lrnGradient } from "./norm/lrn_gradient.ts";
import { reference as lrnNhwc } from "./norm/lrn_nhwc.ts";
import { reference as normalize } from "./norm/normalize.ts";
import { reference as normalizeGradient } from "./norm/normalize_gradient.ts";
import { reference as pad } from "./pad.ts";
import { reference as peak } from "./peak.ts";
import { reference as permute } from "./permute.ts";
import { reference as adaptiveAvgPool2d } from "./pool2d/adaptive_avgpool2d.ts";
import { reference as adaptiveAvgPool2dGradient } from "./pool2d/adaptive_avgpool2d_gradient.ts";
import { reference as avgPool2d } from "./pool2d/avgpool2d.ts";
import { reference as avgPool2dGradient } from "./pool2d/avgpool2d_gradient.ts";
import { reference as globalAvgPool } from "./pool2d/global_avgpool.ts";
import { reference as maxPool2d } from "./pool2d/maxpool2d.ts";
import { reference as maxPool2dGradient } from "./pool2d/maxpool2d_gradient.ts";
import { reference as maxPool2dIndices } from "./pool2d/maxpool2d_indices.ts";
import { pool2dNhwcReference } from "./pool2d/pool2d_nhwc.ts";
import { reference as roll } from "./roll.ts";
import { reference as slice } from "./slice.ts";
import { reference as softmax } from "./softmax.ts";
import { reference as softmaxGradient } from "./softmax_gradient.ts";
import { reference as sum } from "./sum.ts";
import { reference as dropout } from "./training/dropout.ts";
import { reference as pack } from "./training/pack.ts";
import { reference as squares } from "./training/squares.ts";

/** The same for an operator's kernels of all tiles. */
const forTiles = (operator: string, reference: AnyReference): References =>
  Object.fromEntries(Object.keys(efficienciesOf(operator)).map((name) => [name, reference]));

/** Another example of the same. */
const on = <K extends string, O extends object>(x: Shape, { compute }: Reference<K, O>): Reference<K, O> => ({
  example: { shapes: { x } },
  compute,
});

/** What every kernel is tested against, by its name. Kept apart from the kernels, so that no page loads it that asks for none. */
export const references: References = {
  activation_gradient: activationGradient,
  adaptive_avgpool2d: adaptiveAvgPool2d,
  adaptive_avgpool2d_gradient: adaptiveAvgPool2dGradient,
  add,
  avgpool2d: avgPool2d,
  avgpool2d_gradient: avgPool2dGradient,
  avgpool2d_gradient_nhwc: nhwcReference(avgPool2dGradient),
  avgpool2d_nhwc: pool2dNhwcReference(avgPool2d),
  batchnorm: batchNorm,
  batchnorm_gradient: batchNormGradient,
  batchnorm_gradient_sums: batchNormGradientSums,
  batchnorm_merged: batchNormMerged,
  batchnorm_statistics: batchNormStatistics,
  batchnorm_train: batchNormTrain,
  channel_shuffle: channelShuffle,
  clamp,
  concat,
  conv2d,
  conv2d_broadcast: conv2dBroadcastReference,
  conv2d_depthwise: depthwise,
  conv2d_depthwise_weight_gradient: conv2dDepthwiseWeightGradient,
  conv2d_grouped: grouped,
  conv2d_input_gradient: conv2dInputGradient,
  conv2d_stem: stem,
  conv2d_stem_weight_gradient: conv2dStemWeightGradient,
  conv2d_subgroup: conv2dSubgroupReference,
  ...forTiles("conv2d", conv2dTileReference),
  conv2d_weight_gradient: conv2dWeightGradient,
  copy,
  cross_entropy: crossEntropy,
  cross_entropy_gradient: crossEntropyGradient,
  dropout,
  erf,
  exchange,
  exchange_nhwc: exchangeNhwc,
  exp,
  expand,
  flip_filters: flipFilters,
  gather,
  gather_gradient: gatherGradient,
  gelu,
  hardsigmoid,
  hardswish,
  layernorm: layerNorm,
  layernorm_gradient: layerNormGradient,
  layernorm_rows: layerNorm,
  leaky_relu: leakyRelu,
  linear,
  linear_gemv: linear,
  log,
  lrn,
  lrn_gradient: lrnGradient,
  lrn_nhwc: lrnNhwc,
  matmul,
  matmul_broadcast: matmulBroadcastReference,
  matmul_subgroup: matmulSubgroupReference,
  global_avgpool: globalAvgPool,
  ...forTiles("matmul", matmulTileReference),
  maxpool2d: maxPool2d,
  maxpool2d_gradient: maxPool2dGradient,
  maxpool2d_gradient_nhwc: nhwcReference(maxPool2dGradient),
  maxpool2d_indices: maxPool2dIndices,
  maxpool2d_indices_nhwc: nhwcReference(maxPool2dIndices),
  maxpool2d_nhwc: pool2dNhwcReference(maxPool2d),
  mean,
  mul,
  normalize,
  normalize_gradient: normalizeGradient,
  pack,
  pad,
  peak,
  permute,
  power,
  relu,
  roll,
  sigmoid,
  silu,
  slice,
  softmax,
  softmax_gradient: softmaxGradient,
  softmax_rows: on([3, 100], softmax),
  squares,
  stretch,
  stretch_nhwc: nhwcReference(stretch),
  sum,
  tanh,
  to_nchw: toNchw,
  to_nhwc: toNhwc,
  winograd_input: winogradInputReference(F4),
  winograd_input_2x2: winogradInputReference(F2),
  winograd_output: winogradOutputReference(F4),
  winograd_output_2x2: winogradOutputReference(F2),
};

/** Evaluates a kernel's float64 reference on plain arrays. Throws a UsageError for one that has none. */
export const evaluateReference = (
  kernel: AnyKernel,
  inputs: Readonly<Record<string, { shape: Shape; data: Float32Array } | undefined>>,
  options: object = {},
): { shape: Shape; data: Float64Array } => evaluate(references, kernel, inputs, options);
