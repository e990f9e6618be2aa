import type { GradientOf } from "../engine/graph/gradients.ts";
import type { Value } from "../engine/graph/value.ts";
import { matmul } from "./matmul.ts";
import { permute } from "./permute.ts";
import { sumTo } from "./sum.ts";

/** With rows and columns exchanged. */
const transposed = (x: Value): Value => {
  const rank = x.shape.length;
  return permute(x, { dims: [...x.shape.keys()].map((d) => (d < rank - 2 ? d : 2 * rank - 3 - d)) });
};

export const gradient: GradientOf<typeof matmul> = ({ inputs: { a, b }, options, dy }) => ({
  a: () => sumTo(matmul(dy, transposed(b), options), a.shape),
  b: () => sumTo(matmul(transposed(a), dy, options), b.shape),
});
