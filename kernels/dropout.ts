import { checkValue, type Value } from "../engine/graph/value.ts";
import { check } from "../engine/ground/errors.ts";

/**
 * Dropout with probability `p`, by default a half: the identity at inference, and what a graph that is traced for training
 * says otherwise. https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html
 */
export function dropout(x: Value, p = 0.5): Value {
  checkValue("dropout: x", x);
  check(Number.isFinite(p) && p >= 0 && p < 1, "dropout: p", p, "at least 0 and below 1");
  return x.graph.training?.dropout(x, p) ?? x;
}
