import type { Variant } from "../../engine/graph/variant.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import type { LinearOptions } from "./linear.ts";
import { linearGemv } from "./linear_gemv.ts";

// The ways to compute linear: for small batches memory is what takes time, for large ones arithmetic.

export type LinearVariant = Variant<"x" | "w" | "b?", LinearOptions>;

/** Smaller weights are read in no time by any kernel; one pipeline less is compiled. */
export const LEAST_WEIGHTS = 1e5;

/** On a GPU as many threads share a row as find two vec4s each; a software adapter's lanes are few, and its barriers dear. */
const threadsOf = (inFeatures: number, software: boolean): number =>
  software ? 8 : Math.min(256, Math.max(32, 2 ** Math.floor(Math.log2(inFeatures / 8))));

export const linearGemvVariant: LinearVariant = {
  name: "linear_gemv",
  refuses: ({ shapes: { w } }) => (w[1] % 4 === 0 ? undefined : `its ${w[1]} input features are no multiple of 4`),
  gains: ({ shapes: { w } }) => sizeOf(w) >= LEAST_WEIGHTS,
  build: ({ x, w, b }, { options }, { software }) =>
    linearGemv(x, w, b, { ...options, threads: threadsOf(w.shape[1], software) }),
};
