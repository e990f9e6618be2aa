import type { Traits } from "../../engine/graph/variant.ts";

/** Workgroups that keep a core of a GPU busy while others wait for memory. */
const PER_CORE = 4;

/** Terms of each part of long sums, `least` or more, so that a GPU's cores all have workgroups: a part has so many of them. */
export function partOnGpu(terms: number, workgroups: number, least: number, { rates }: Traits): number {
  const parts = Math.ceil((PER_CORE * (rates?.cores ?? 1)) / workgroups);
  return Math.max(least, Math.ceil(terms / parts));
}
