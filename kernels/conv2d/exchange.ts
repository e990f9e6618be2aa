import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { padded, toNhwc } from "../layout/to_nhwc.ts";
import { nchw } from "../options.ts";

/**
 * What the gradient of a convolution by its filters convolves, with the images of the batch as channels: x [N, C, H, W] -> y
 * [C, H, W, N], an NHWC image of C, with N padded to a multiple of 4 by zeros.
 */
export const exchange = defineKernel({
  ...toNhwc,
  name: "exchange",
  converts: false,
  shape({ x }) {
    const [images, ...others] = nchw("exchange", x);
    return [...others, padded(images)];
  },
  // As one image of N channels.
  params: ({ shapes: { x }, y }) => ({
    count: sizeOf(y) / 4,
    pixels: sizeOf(x.slice(1)),
    x_channels: x[0],
    y_channels: y[3] / 4,
  }),
});

export const reference: ReferenceOf<typeof exchange> = {
  example: { shapes: { x: [6, 8, 3, 2] } },
  compute: ({ x }, { shapes, y }) => exchanged(x, shapes.x, y),
};

/** For references. */
export function exchanged(x: Float32Array, [images]: Shape, y: Shape): Float64Array {
  const pixels = sizeOf(y.slice(0, -1));
  return Float64Array.from({ length: sizeOf(y) }, (_, index) => {
    const n = index % y[3];
    return n < images ? x[n * pixels + Math.floor(index / y[3])] : 0;
  });
}
