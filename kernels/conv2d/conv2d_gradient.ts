import type { GradientOf } from "../../engine/graph/gradients.ts";
import { refuseFused } from "../gradients_common.ts";
import { sum } from "../sum.ts";
import type { conv2d } from "./conv2d.ts";
import { conv2dInputGradient } from "./conv2d_input_gradient.ts";
import { conv2dWeightGradient } from "./conv2d_weight_gradient.ts";

export const gradient: GradientOf<typeof conv2d> = ({ inputs: { x, w }, options: { activation, ...options }, dy }) => {
  refuseFused("conv2d", { activation });
  return {
    x: () => conv2dInputGradient(dy, w, { ...options, size: [x.shape[2], x.shape[3]] }),
    w: () => conv2dWeightGradient(x, dy, { ...options, kernel: [w.shape[2], w.shape[3]] }),
    b: () => sum(dy, { dims: [0, 2, 3] }),
    r: () => dy,
  };
};
