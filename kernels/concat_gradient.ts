import type { Gradient } from "../engine/graph/gradients.ts";
import type { Value } from "../engine/graph/value.ts";
import type { concat } from "./concat.ts";
import { axis } from "./options.ts";
import { slice } from "./slice.ts";

export const gradient: Gradient<"x...", typeof concat.options> = ({ inputs, options, dy }) => {
  const dim = axis("concat", "dim", options.dim, dy.shape.length);
  let end = 0;
  const parts = Object.entries<Value>(inputs).map(([name, { shape }]) => {
    const start = end;
    end += shape[dim];
    return [name, () => slice(dy, { dim, start, end: start + shape[dim] })];
  });
  return Object.fromEntries(parts);
};
