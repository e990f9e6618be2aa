import type { Setting } from "../../engine/graph/variant.ts";
import { conv2dBroadcast, matmulBroadcast } from "./conv2d_broadcast.ts";
import { dense } from "./dense.ts";
import { TILE } from "./gemm.ts";
import type { Product } from "./winograd/variants.ts";

// The ways to compute conv2d on software adapters whose subgroups have four lanes.

export const refusesBroadcast = ({ software, subgroupSize }: Setting): string | undefined =>
  software && subgroupSize === 4 ? undefined : "the device is no software adapter with subgroups of 4";

export const conv2dBroadcastVariant = dense(conv2dBroadcast, refusesBroadcast, TILE);

export const broadcastProduct: Product = {
  cut: TILE,
  refuses: (setting) => refusesBroadcast(setting) !== undefined,
  multiply: (a, b) => matmulBroadcast(a, b),
};
