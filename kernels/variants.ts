import type { Variants } from "../engine/graph/kernel.ts";
import {
  conv2dDepthwiseVariant,
  conv2dMatrix128Variant,
  conv2dMatrixVariant,
  conv2dStemVariant,
  conv2dSubgroupVariant,
  conv2dTile32Variant,
  conv2dTile128Variant,
  conv2dTileSplitVariant,
  conv2dTileVariant,
  conv2dWinograd2x2Variant,
  conv2dWinogradVariant,
} from "./conv2d/variants.ts";
import { anyLayout, channelsLast } from "./layout/layout.ts";
import { linearGemvVariant, linearSubgroupVariant, linearTileVariant } from "./linear/variants.ts";
import { lrnNhwcVariant } from "./norm/lrn_nhwc.ts";
import { adaptiveAvgPool2dNhwcVariant, avgPool2dNhwcVariant, maxPool2dNhwcVariant } from "./pool2d/pool2d_nhwc.ts";
import { softmaxRowsVariant } from "./softmax_rows.ts";

/** The faster implementations of each operator, best first. */
export const variants = {
  conv2d: [
    conv2dDepthwiseVariant,
    conv2dMatrixVariant,
    conv2dMatrix128Variant,
    conv2dWinogradVariant,
    conv2dWinograd2x2Variant,
    conv2dSubgroupVariant,
    conv2dStemVariant,
    conv2dTileVariant,
    conv2dTile32Variant,
    conv2dTile128Variant,
    conv2dTileSplitVariant,
  ],
  linear: [linearGemvVariant, linearSubgroupVariant, linearTileVariant],
  maxpool2d: [maxPool2dNhwcVariant],
  avgpool2d: [avgPool2dNhwcVariant],
  adaptive_avgpool2d: [adaptiveAvgPool2dNhwcVariant],
  lrn: [lrnNhwcVariant],
  softmax: [softmaxRowsVariant],
  batchnorm: [channelsLast],
  add: [anyLayout],
  clamp: [anyLayout],
  gelu: [anyLayout],
  hardsigmoid: [anyLayout],
  hardswish: [anyLayout],
  leaky_relu: [anyLayout],
  relu: [anyLayout],
  sigmoid: [anyLayout],
  silu: [anyLayout],
  tanh: [anyLayout],
} as unknown as Variants;
