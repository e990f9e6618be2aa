import type { Variant } from "../../engine/graph/variant.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import type { LinearOptions } from "./linear.ts";
import { linearGemv } from "./linear_gemv.ts";

// The ways to compute linear: for small batches memory is what takes time, for large ones arithmetic.

export type LinearVariant = Variant<"x" | "w" | "b?", LinearOptions>;

/** Smaller weights are read in no time by any kernel; one pipeline less is compiled. */
export const LEAST_WEIGHTS = 1e5;

export const linearGemvVariant: LinearVariant = {
  name: "linear_gemv",
  refuses({ shapes: { w } }, { subgroupSize }) {
    if (subgroupSize < 4) return "the device has no subgroups of one size of at least 4";
    return w[1] % 4 === 0 ? undefined : `its ${w[1]} input features are no multiple of 4`;
  },
  gains: ({ shapes: { w } }) => sizeOf(w) >= LEAST_WEIGHTS,
  build: ({ x, w, b }, { options }, { subgroupSize }) => linearGemv(x, w, b, { ...options, subgroup: subgroupSize }),
};
