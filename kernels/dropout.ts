import { checkValue, type Value } from "../engine/graph/value.ts";

/** Dropout at inference is the identity; here so that a net reads as it was trained. */
export function dropout(x: Value): Value {
  checkValue("dropout: x", x);
  return x;
}
