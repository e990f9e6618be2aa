import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { AnyVariant } from "../../engine/graph/variant.ts";
import { NCHW, permute, permuteShape, sizeOf } from "../../engine/ground/tensor.ts";
import { asNhwc, NO_IMAGES, nhwc, wholeVectors } from "../layout/layout.ts";
import { exchange, exchanged } from "./exchange.ts";
import { wgsl } from "./exchange_nhwc.wgsl.ts";

const WORKGROUP = 64;

/** The same as exchange() of x [N, H, W, C] in whole vec4s of channels. */
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

export const reference: ReferenceOf<typeof exchangeNhwc> = {
  example: { shapes: { x: [6, 3, 2, 8] } },
  compute: ({ x }, { shapes, y }) => exchanged(permute(x, shapes.x, NCHW), shapes.x, y),
};

export const exchangeNhwcVariant: AnyVariant = {
  ...nhwc({
    refuses: ({ shapes: { x } }) => (wholeVectors(x) ? undefined : NO_IMAGES),
    build: ({ x }) => exchangeNhwc(asNhwc(x)),
  }),
  name: exchangeNhwc.name,
};
