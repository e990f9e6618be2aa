import { sizeOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc } from "../layout/layout.ts";
import { gemv } from "../linear/variants.ts";
import { type Conv2dVariant, refusesParams, zeroPadded } from "./dense.ts";

/** What squeeze-and-excitation does to the means of channels: a 1x1 convolution of images of one pixel is a linear layer. */
export const conv2dLinearVariant: Conv2dVariant = {
  name: "conv2d_linear",
  refuses: ({ shapes: { x, r }, options: { groups }, y }, _setting, { w, b }) =>
    sizeOf([...x.slice(2), ...w.shape.slice(2), groups]) === 1 && !r && sizeOf(y) === x[0] * y[1]
      ? refusesParams(w, b)
      : "it is no 1x1 convolution of one pixel",
  build({ x, w, b }, { options: { activation }, y }, setting) {
    const matrix = zeroPadded(w, w.shape.slice(0, 2));
    const image = x.graph.reshape(asNhwc(x), [y[0], matrix.shape[1]]);
    const sums = gemv({ x: image, w: matrix, b: b && zeroPadded(b) }, { activation }, setting);
    return asNchw(x.graph.reshape(sums, [y[0], 1, 1, matrix.shape[0]]), y[1]);
  },
};
