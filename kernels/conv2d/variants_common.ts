import { sizeOf } from "../../engine/ground/tensor.ts";
import { linear } from "../linear/linear.ts";
import { linearGemv } from "../linear/linear_gemv.ts";
import type { Conv2dVariant } from "./dense.ts";

/** What squeeze-and-excitation does to the means of channels: a 1x1 convolution of images of one pixel is a linear layer. */
export const conv2dLinearVariant: Conv2dVariant = {
  name: "conv2d_linear",
  refuses: ({ shapes: { x, r }, options: { groups }, y }, _setting, { w }) =>
    sizeOf([...x.slice(2), ...w.shape.slice(2), groups]) === 1 && !r && sizeOf(y) === x[0] * y[1]
      ? undefined
      : "it is not that of one pixel with one pixel",
  build({ x, w, b }, { options: { activation }, y }, { subgroupSize: subgroup }) {
    const { graph } = x;
    const [rows, filters] = [x, w].map((value) => graph.reshape(value, value.shape.slice(0, 2)));
    const isWhole = subgroup >= 4 && x.shape[1] % 4 === 0;
    const sums = isWhole
      ? linearGemv(rows, filters, b, { activation, subgroup })
      : linear(rows, filters, b, { activation });
    return graph.reshape(sums, y);
  },
};
