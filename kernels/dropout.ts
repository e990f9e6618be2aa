import type { Value } from "../engine/graph/value.ts";

/** Dropout at inference is the identity; here so that a net reads as it was trained. */
export const dropout = (x: Value): Value => x;
