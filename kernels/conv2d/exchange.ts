import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { Variant } from "../../engine/graph/variant.ts";
import { NCHW, permute, permuteShape, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { asNhwc, isNhwc, NO_IMAGES, wholeVectors } from "../layout/layout.ts";
import { padded, toNhwc } from "../layout/to_nhwc.ts";
import { nchw } from "../options.ts";
import { wgsl } from "./exchange_nhwc.wgsl.ts";

const WORKGROUP = 64;

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

function exchanged(x: Float32Array, [images]: Shape, y: Shape): Float64Array {
  const pixels = sizeOf(y.slice(0, -1));
  return Float64Array.from({ length: sizeOf(y) }, (_, index) => {
    const n = index % y[3];
    return n < images ? x[n * pixels + Math.floor(index / y[3])] : 0;
  });
}

/** The same of x [N, H, W, C] in whole vec4s of channels. */
export const exchangeNhwc = defineKernel({
  name: "exchange_nhwc",
  inputs: ["x"],
  options: {},
  wgsl,
  shape: ({ x }) => exchange.shape({ x: permuteShape(x, NCHW) }, {}),
  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x }, y }) => ({
    count: sizeOf(y) / 16,
    pixels: x[1] * x[2],
    images: x[0],
    x_channels: x[3] / 4,
    y_channels: y[3] / 4,
  }),
  grid: ({ y }) => linearGrid(sizeOf(y) / 16, WORKGROUP),
});

export const nhwcReference: ReferenceOf<typeof exchangeNhwc> = {
  example: { shapes: { x: [6, 3, 2, 8] } },
  compute: ({ x }, { shapes, y }) => exchanged(permute(x, shapes.x, NCHW), shapes.x, y),
};

export const exchangeNhwcVariant: Variant<"x", object> = {
  name: "exchange_nhwc",
  nhwc: true,
  layoutOnly: true,
  refuses: ({ shapes: { x } }) => (wholeVectors(x) ? undefined : NO_IMAGES),
  gains: (_call, _setting, { x }) => isNhwc(x),
  build: ({ x }) => exchangeNhwc(asNhwc(x)),
};
