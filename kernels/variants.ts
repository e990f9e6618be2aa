import type { AnyVariant, Variants } from "../engine/graph/variant.ts";
import { broadcastProduct, conv2dBroadcastVariant } from "./conv2d/variants_broadcast.ts";
import { conv2dLinearVariant } from "./conv2d/variants_common.ts";
import { conv2dDepthwiseVariant } from "./conv2d/variants_depthwise.ts";
import { conv2dTileVariants, tileProducts } from "./conv2d/variants_gpu.ts";
import { conv2dGroupedVariant } from "./conv2d/variants_grouped.ts";
import { conv2dMatrixVariants, matrixProducts } from "./conv2d/variants_matrices.ts";
import { conv2dStemVariant, conv2dSubgroupVariant, subgroupProduct } from "./conv2d/variants_software.ts";
import { winogradVariants } from "./conv2d/winograd/variants.ts";
import { joinedInPlace } from "./layout/join.ts";
import { channelsLast } from "./layout/layout.ts";
import { linearGemvVariant } from "./linear/variants.ts";
import { layerNormRowsVariant } from "./norm/layernorm_rows.ts";
import { lrnNhwcVariant } from "./norm/lrn_nhwc.ts";
import { softmaxRowsVariant } from "./softmax_rows.ts";
import { linearBroadcastVariant } from "./variants_broadcast.ts";
import { common } from "./variants_common.ts";
import { averages, linearTileVariants } from "./variants_gpu.ts";
import { linearSubgroupVariant } from "./variants_software.ts";

/** A variant that gains nothing where there are kernels for four lanes. */
const byMoreLanes = <V extends AnyVariant>(variant: V): V => ({
  ...variant,
  gains: (call, setting, inputs) => setting.subgroupSize !== 4 && (variant.gains?.(call, setting, inputs) ?? true),
});

/** The faster implementations of each operator, best first: those for all kinds of devices at once. */
export const variants: Variants = {
  conv2d: [
    conv2dLinearVariant,
    conv2dDepthwiseVariant,
    conv2dGroupedVariant,
    ...conv2dMatrixVariants,
    ...winogradVariants(broadcastProduct, subgroupProduct, ...matrixProducts, ...tileProducts),
    conv2dBroadcastVariant,
    byMoreLanes(conv2dSubgroupVariant),
    byMoreLanes(conv2dStemVariant),
    ...conv2dTileVariants,
  ],
  linear: [linearGemvVariant, linearBroadcastVariant, byMoreLanes(linearSubgroupVariant), ...linearTileVariants],
  softmax: [softmaxRowsVariant],
  layernorm: [layerNormRowsVariant],
  lrn: [lrnNhwcVariant, channelsLast],
  ...common,
  ...averages,
  concat: [joinedInPlace],
};
