import type { Variants } from "../engine/graph/variant.ts";
import { conv2dSubgroup } from "./conv2d/conv2d_subgroup.ts";
import { refusesSubgroups } from "./conv2d/dense.ts";
import { TILE } from "./conv2d/gemm.ts";
import { conv2dLinearVariant } from "./conv2d/variants_common.ts";
import { conv2dStemVariant, conv2dSubgroupVariant, subgroupProduct } from "./conv2d/variants_software.ts";
import { winogradVariants } from "./conv2d/winograd/variants.ts";
import { channelsLast } from "./layout/layout.ts";
import { linearProduct } from "./linear/product.ts";
import { linearGemvVariant } from "./linear/variants.ts";
import { lrnNhwcVariant } from "./norm/lrn_nhwc.ts";
import { common } from "./variants_common.ts";

export const linearSubgroupVariant = linearProduct("linear_subgroup", conv2dSubgroup, refusesSubgroups, TILE);

/** The faster implementations of each operator on software adapters, best first. */
export const variants: Variants = {
  conv2d: [conv2dLinearVariant, ...winogradVariants(subgroupProduct), conv2dSubgroupVariant, conv2dStemVariant],
  linear: [linearGemvVariant, linearSubgroupVariant],
  lrn: [lrnNhwcVariant, channelsLast],
  ...common,
};
