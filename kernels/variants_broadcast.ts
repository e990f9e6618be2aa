import type { Variants } from "../engine/graph/variant.ts";
import { conv2dBroadcast } from "./conv2d/conv2d_broadcast.ts";
import { TILE } from "./conv2d/gemm.ts";
import { broadcastProduct, conv2dBroadcastVariant, refusesBroadcast } from "./conv2d/variants_broadcast.ts";
import { conv2dLinearVariant } from "./conv2d/variants_common.ts";
import { winogradVariants } from "./conv2d/winograd/variants.ts";
import { channelsLast } from "./layout/layout.ts";
import { linearProduct } from "./linear/product.ts";
import { linearGemvVariant } from "./linear/variants.ts";
import { lrnNhwcVariant } from "./norm/lrn_nhwc.ts";
import { common } from "./variants_common.ts";

export const linearBroadcastVariant = linearProduct("linear_broadcast", conv2dBroadcast, refusesBroadcast, TILE);

/** The faster implementations of each operator on software adapters with subgroups of 4, best first. */
export const variants: Variants = {
  conv2d: [conv2dLinearVariant, ...winogradVariants(broadcastProduct), conv2dBroadcastVariant],
  linear: [linearGemvVariant, linearBroadcastVariant],
  lrn: [lrnNhwcVariant, channelsLast],
  ...common,
};
