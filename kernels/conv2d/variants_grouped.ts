import { asNchw, asNhwc } from "../layout/layout.ts";
import { conv2dGrouped } from "./conv2d_grouped.ts";
import { type Conv2dVariant, gains, nhwcOptions, packed, refusesPacking } from "./dense.ts";

// The way to compute convolutions in groups, on every kind of device. A page loads it for the nets that have some.

export const conv2dGroupedVariant: Conv2dVariant = {
  name: "conv2d_grouped",
  nhwc: true,
  refuses({ shapes: { x }, options: { groups }, y }, _setting, { w }) {
    if (groups === 1) return "it has one group";
    if ((x[1] / groups) % 4 !== 0 || (y[1] / groups) % 4 !== 0)
      return "the channels of its groups are no multiples of 4";
    return refusesPacking(w);
  },
  gains,
  build: ({ x, w, b, r }, { options }) =>
    asNchw(conv2dGrouped(asNhwc(x), packed(w), b, r && asNhwc(r), nhwcOptions(w, options))),
};
