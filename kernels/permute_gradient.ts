import type { GradientOf } from "../engine/graph/gradients.ts";
import { orderOf, permute } from "./permute.ts";

export const gradient: GradientOf<typeof permute> = ({ inputs: { x }, options, dy }) => ({
  x() {
    const order = orderOf(x.shape, options.dims);
    return permute(dy, { dims: order.map((_, d) => order.indexOf(d)) });
  },
});
