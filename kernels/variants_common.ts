import type { Variants } from "../engine/graph/variant.ts";
import { anyLayout, averaged, channelsInVectors, channelsLast, joined, padded2d, permuted } from "./layout/layout.ts";
import { adaptiveAvgPool2dNhwcVariant, avgPool2dNhwcVariant, maxPool2dNhwcVariant } from "./pool2d/pool2d_nhwc.ts";

/** The variants that every kind of device has, but for those of conv2d and linear. */
export const common: Variants = {
  maxpool2d: [maxPool2dNhwcVariant],
  avgpool2d: [avgPool2dNhwcVariant],
  adaptive_avgpool2d: [adaptiveAvgPool2dNhwcVariant],
  batchnorm: [channelsInVectors],
  channel_shuffle: [channelsLast],
  slice: [joined],
  permute: [permuted],
  mean: [averaged],
  pad: [padded2d],
  add: [anyLayout],
  mul: [anyLayout],
  clamp: [anyLayout],
  gelu: [anyLayout],
  hardsigmoid: [anyLayout],
  hardswish: [anyLayout],
  leaky_relu: [anyLayout],
  relu: [anyLayout],
  sigmoid: [anyLayout],
  silu: [anyLayout],
  tanh: [anyLayout],
};
