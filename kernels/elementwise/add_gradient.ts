import type { GradientOf } from "../../engine/graph/gradients.ts";
import { expand } from "../expand.ts";
import { refuseFused } from "../gradients_common.ts";
import { sumTo } from "../sum.ts";
import type { add } from "./add.ts";

export const gradient: GradientOf<typeof add> = ({ inputs: { a, b }, options, dy }) => {
  refuseFused("add", options);
  const { alpha: scale } = options;
  return {
    a: () => sumTo(dy, a.shape),
    b: () => (scale === 1 ? sumTo(dy, b.shape) : expand(sumTo(dy, b.shape), { shape: b.shape, scale })),
  };
};
