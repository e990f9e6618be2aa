import type { Variants } from "../engine/graph/variant.ts";
import { tileKernelsOf } from "./conv2d/conv2d_tile.ts";
import { conv2dLinearVariant } from "./conv2d/variants_common.ts";
import { conv2dTileVariants, tileProducts } from "./conv2d/variants_gpu.ts";
import { winogradVariants } from "./conv2d/winograd/variants.ts";
import { channelsLast } from "./layout/layout.ts";
import { linearProduct } from "./linear/product.ts";
import { linearGemvVariant } from "./linear/variants.ts";
import { layerNormRowsVariant } from "./norm/layernorm_rows.ts";
import { globalAvgPoolVariant, globalMeanVariant } from "./pool2d/global_avgpool.ts";
import { softmaxRowsVariant } from "./softmax_rows.ts";
import { common } from "./variants_common.ts";

export const linearTileVariants = tileKernelsOf.map(({ conv2d }) =>
  linearProduct(conv2d.name.replace("conv2d", "linear"), conv2d),
);

/** Those of averages of whole images come first. */
export const averages: Variants = {
  adaptive_avgpool2d: [globalAvgPoolVariant, ...common.adaptive_avgpool2d],
  mean: [globalMeanVariant, ...common.mean],
};

/** The faster implementations of each operator on GPUs, best first. */
export const variants: Variants = {
  conv2d: [conv2dLinearVariant, ...winogradVariants(...tileProducts), ...conv2dTileVariants],
  linear: [linearGemvVariant, ...linearTileVariants],
  softmax: [softmaxRowsVariant],
  layernorm: [layerNormRowsVariant],
  lrn: [channelsLast],
  ...common,
  ...averages,
};
