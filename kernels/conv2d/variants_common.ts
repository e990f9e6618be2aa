import { sizeOf } from "../../engine/ground/tensor.ts";
import { linear } from "../linear/linear.ts";
import { linearGemvVariant } from "../linear/variants.ts";
import type { Conv2dVariant } from "./dense.ts";

/** What squeeze-and-excitation does to the means of channels: a 1x1 convolution of images of one pixel is a linear layer. */
export const conv2dLinearVariant: Conv2dVariant = {
  name: "conv2d_linear",
  refuses: ({ shapes: { x, r }, options: { groups }, y }, _setting, { w }) =>
    sizeOf([...x.slice(2), ...w.shape.slice(2), groups]) === 1 && !r && sizeOf(y) === x[0] * y[1]
      ? undefined
      : "it is not that of one pixel with one pixel",
  build({ b, ...images }, { options: { activation }, y }, setting) {
    const { graph } = images.x;
    const [x, w] = [images.x, images.w].map((value) => graph.reshape(value, value.shape.slice(0, 2)));
    const call = { shapes: { x: x.shape, w: w.shape, b: b?.shape }, options: { activation }, y: y.slice(0, 2) };
    const refused = linearGemvVariant.refuses(call, setting, { x, w, b });
    const sums = refused
      ? linear(x, w, b, { activation })
      : linearGemvVariant.build({ x, w, b }, call, setting, linear);
    return graph.reshape(sums, y);
  },
};
