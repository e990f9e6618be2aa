import { deriveParam, isParam, type Training } from "../../engine/graph/graph.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { Setting } from "../../engine/graph/variant.ts";
import { permute } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc } from "../layout/layout.ts";
import { conv2dBroadcast, matmulBroadcast } from "./conv2d_broadcast.ts";
import { type Conv2dVariant, dense, nhwcOptions, packed, zeroPadded } from "./dense.ts";
import { TILE } from "./gemm.ts";
import type { Product } from "./winograd/variants.ts";

// The ways to compute conv2d on software adapters whose subgroups have four lanes.

export const refusesBroadcast = ({ software, subgroupSize }: Setting): string | undefined =>
  software && subgroupSize === 4 ? undefined : "the device is no software adapter with subgroups of 4";

const padded = dense(conv2dBroadcast, refusesBroadcast, TILE);

/** Filters [O, 1, KH, KW] as [O, KW, KH, 1]. */
function columnsAsChannels(w: Value): Value {
  const [filters, , height, columns] = w.shape;
  return deriveParam(w, "with columns as channels", [filters, columns, height, 1], (weights) =>
    permute(weights, [filters, height, columns], [0, 2, 1]),
  );
}

/** Grey images are NHWC as they come: their channel is not padded, but the rows of the filters are. */
export const conv2dBroadcastVariant: Conv2dVariant = {
  ...padded,
  build(inputs, call, setting) {
    const { x, w, b, r } = inputs;
    const [batch, channels, ...size] = x.shape;
    const all = { ...nhwcOptions(w, call.options), columns: w.shape[3] };
    if (channels > 1 || all.dilation[1] > 1) return padded.build(inputs, call, setting, conv2dBroadcast);
    const rows = isParam(w) ? packed(columnsAsChannels(w), TILE) : (w.graph.training as Training).pack(w, TILE, true);
    const image = x.graph.reshape(x, [batch, ...size, 1]);
    return asNchw(conv2dBroadcast(image, rows, b && zeroPadded(b), r && asNhwc(r), all), call.y[1]);
  },
};

export const broadcastProduct: Product = {
  cut: TILE,
  refuses: (setting) => refusesBroadcast(setting) !== undefined,
  multiply: (a, b) => matmulBroadcast(a, b),
};
