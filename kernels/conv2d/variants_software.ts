import { sizeOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc } from "../layout/layout.ts";
import { conv2dStem } from "./conv2d_stem.ts";
import { conv2dSubgroup, matmulSubgroup } from "./conv2d_subgroup.ts";
import { type Conv2dVariant, dense, gains, nhwcOptions, packed, refusesSubgroups, zeroPadded } from "./dense.ts";
import { subgroupOf, TILE } from "./gemm.ts";
import type { Product } from "./winograd/variants.ts";

// The ways to compute conv2d on software adapters: operands in registers, shared by subgroup shuffles.

export const conv2dSubgroupVariant = dense(conv2dSubgroup, refusesSubgroups, TILE);

export const conv2dStemVariant: Conv2dVariant = {
  name: "conv2d_stem",
  refuses: conv2dSubgroupVariant.refuses,
  gains: (call) => gains(call) && call.shapes.x[1] % 4 !== 0,
  build({ x, w, b, r }, { options, y }, setting) {
    const [outChannels, channels, ...kernel] = w.shape;
    const filters = packed(w, TILE, [outChannels, channels * sizeOf(kernel)]);
    const all = { ...subgroupOf(setting), kernel, ...nhwcOptions(w, options) };
    return asNchw(conv2dStem(x, filters, b && zeroPadded(b), r && asNhwc(r), all), y[1]);
  },
};

export const subgroupProduct: Product = {
  cut: TILE,
  refuses: (setting) => refusesSubgroups(setting) !== undefined,
  multiply: (a, b, setting) => matmulSubgroup(a, b, subgroupOf(setting)),
};
