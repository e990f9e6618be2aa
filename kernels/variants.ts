import type { AnyKernel, AnyVariant, Variants } from "../engine/kernel.ts";
import { add } from "./add.ts";
import { batchNorm } from "./batchnorm.ts";
import { clamp } from "./clamp.ts";
import {
  conv2dDepthwiseVariant,
  conv2dMatrixVariant,
  conv2dSubgroupVariant,
  conv2dTile128Variant,
  conv2dTileSplitVariant,
  conv2dTileVariant,
  conv2dWinograd2x2Variant,
  conv2dWinogradVariant,
} from "./conv2d_variants.ts";
import { gelu } from "./gelu.ts";
import { hardSigmoid } from "./hardsigmoid.ts";
import { hardSwish } from "./hardswish.ts";
import { anyLayout, channelsLast } from "./layout.ts";
import { leakyRelu } from "./leaky_relu.ts";
import { linearGemvVariant, linearSubgroupVariant, linearTileVariant } from "./linear_variants.ts";
import { lrnNhwcVariant } from "./lrn_nhwc.ts";
import { adaptiveAvgPool2dNhwcVariant, avgPool2dNhwcVariant, maxPool2dNhwcVariant } from "./pool2d_nhwc.ts";
import { relu } from "./relu.ts";
import { sigmoid } from "./sigmoid.ts";
import { silu } from "./silu.ts";
import { softmaxRowsVariant } from "./softmax_rows.ts";
import { tanh } from "./tanh.ts";

/** Kernels that treat every element alike. */
const elementwise: readonly AnyKernel[] = [
  add,
  clamp,
  gelu,
  hardSigmoid,
  hardSwish,
  leakyRelu,
  relu,
  sigmoid,
  silu,
  tanh,
];

/** Kernels on [N, C, ...] that know no more of an image than its channels. */
const perChannel: readonly AnyKernel[] = [batchNorm];

const each = (kernels: readonly AnyKernel[], variant: (kernel: AnyKernel) => AnyVariant): Variants =>
  Object.fromEntries(kernels.map((kernel) => [kernel.name, [variant(kernel)]]));

/** The faster implementations of each operator, best first. */
export const variants = {
  conv2d: [
    conv2dDepthwiseVariant,
    conv2dMatrixVariant,
    conv2dWinogradVariant,
    conv2dWinograd2x2Variant,
    conv2dSubgroupVariant,
    conv2dTileVariant,
    conv2dTile128Variant,
    conv2dTileSplitVariant,
  ],
  linear: [linearGemvVariant, linearSubgroupVariant, linearTileVariant],
  maxpool2d: [maxPool2dNhwcVariant],
  avgpool2d: [avgPool2dNhwcVariant],
  adaptive_avgpool2d: [adaptiveAvgPool2dNhwcVariant],
  lrn: [lrnNhwcVariant],
  softmax: [softmaxRowsVariant],
  ...each(elementwise, anyLayout),
  ...each(perChannel, channelsLast),
} as unknown as Variants;
