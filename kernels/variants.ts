import type { AnyKernel, AnyVariant, Variants } from "../engine/kernel.ts";
import { adaptiveAvgPool2d } from "./adaptive_avgpool2d.ts";
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
import { anyLayout, channelsLast, nhwcVariant } from "./layout.ts";
import { leakyRelu } from "./leaky_relu.ts";
import { linearGemvVariant, linearSubgroupVariant, linearTileVariant } from "./linear_variants.ts";
import { lrnNhwcVariant } from "./lrn_nhwc.ts";
import { maxPool2d } from "./maxpool2d.ts";
import { relu } from "./relu.ts";
import { sigmoid } from "./sigmoid.ts";
import { silu } from "./silu.ts";
import { softmaxRowsVariant } from "./softmax_rows.ts";
import { tanh } from "./tanh.ts";
import { adaptive_avgpool2d_nhwc, maxpool2d_nhwc } from "./wgsl.ts";

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
  maxpool2d: [nhwcVariant("maxpool2d_nhwc", maxpool2d_nhwc, maxPool2d)],
  adaptive_avgpool2d: [nhwcVariant("adaptive_avgpool2d_nhwc", adaptive_avgpool2d_nhwc, adaptiveAvgPool2d)],
  lrn: [lrnNhwcVariant],
  softmax: [softmaxRowsVariant],
  ...each(elementwise, anyLayout),
  ...each(perChannel, channelsLast),
} as unknown as Variants;
