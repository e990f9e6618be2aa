import type { TrainingTable } from "../../engine/graph/training.ts";
import { concat } from "../concat.ts";
import { slice } from "../slice.ts";
import { linear } from "./linear.ts";

/** A linear layer by pieces of its weight: their outputs beside each other, each with its part of the bias. */
export const splitLinear: NonNullable<TrainingTable["split"]>[string] = ({ x, b }, pieces, options) => {
  let first = 0;
  const parts = pieces.map((w) => {
    const bias = b && slice(b, { dim: 0, start: first, end: first + w.shape[0] });
    first += w.shape[0];
    return linear(x, w, bias, options);
  });
  return concat(...parts, { dim: -1 });
};
