import type { Named } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { Setting, Variant } from "../../engine/graph/variant.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import type { LinearOptions } from "./linear.ts";
import { linearGemv } from "./linear_gemv.ts";

// The ways to compute linear: for small batches memory is what takes time, for large ones arithmetic.

export type LinearVariant = Variant<"x" | "w" | "b?", LinearOptions>;

/** Smaller weights are read in no time by any kernel; one pipeline less is compiled. */
export const LEAST_WEIGHTS = 1e5;

/** Threads that share a row: a GPU's find a vec4 each or more. A software adapter's lanes are few, and its barriers dear. */
const threadsOf = (inFeatures: number, software: boolean): number => (software ? 8 : inFeatures < 1024 ? 64 : 256);

export const gemv = (
  { x, w, b }: Named<"x" | "w" | "b?", Value>,
  options: LinearOptions,
  { software }: Setting,
): Value => linearGemv(x, w, b, { ...options, threads: threadsOf(w.shape[1], software) });

export const linearGemvVariant: LinearVariant = {
  name: "linear_gemv",
  refuses: ({ shapes: { w } }) => (w[1] % 4 === 0 ? undefined : `its ${w[1]} input features are no multiple of 4`),
  gains: ({ shapes: { w } }) => sizeOf(w) >= LEAST_WEIGHTS,
  build: (inputs, { options }, setting) => gemv(inputs, options, setting),
};
