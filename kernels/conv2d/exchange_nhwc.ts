import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { AnyVariant } from "../../engine/graph/variant.ts";
import { NCHW, permute, permuteShape, sizeOf } from "../../engine/ground/tensor.ts";
import { asNhwc, NO_IMAGES, nhwc, wholeVectors } from "../layout/layout.ts";
import { cutShape, uncut, WHOLE } from "./cut.ts";
import { exchange, exchanged } from "./exchange.ts";
import { wgsl } from "./exchange_nhwc.wgsl.ts";

const WORKGROUP = 64;

/** The same as exchange() of x [N, H, W, C] in whole vec4s of channels, or of a cut of it. */
export const exchangeNhwc = defineKernel({
  name: "exchange_nhwc",
  inputs: ["x"],
  options: WHOLE,
  wgsl,
  shape: ({ x }, cut) => exchange.shape({ x: permuteShape(cutShape(x, cut), NCHW) }, {}),
  cost: ({ y }) => ({ flops: 0, bytes: 8 * sizeOf(y) }),
  consts: () => ({ WORKGROUP }),
  params({ shapes: { x }, options, y }) {
    const [images, height, width] = cutShape(x, options);
    return {
      count: sizeOf(y) / 16,
      images,
      height,
      width,
      first: options.first,
      x_height: x[1],
      x_width: x[2],
      x_channels: x[3] / 4,
      y_channels: y[3] / 4,
    };
  },
  grid: ({ y }) => linearGrid(sizeOf(y) / 16, WORKGROUP),
});

export const reference: ReferenceOf<typeof exchangeNhwc> = {
  example: { shapes: { x: [6, 3, 2, 8] } },
  compute({ x }, { shapes, options, y }) {
    const cut = cutShape(shapes.x, options);
    const [, height, width, channels] = shapes.x;
    const part = new Float32Array(sizeOf(cut)).map((_, index) => {
      const pixel = Math.floor(index / channels);
      const line = Math.floor(pixel / cut[2]);
      const row = Math.floor(line / cut[1]) * height + (line % cut[1]);
      return x[(options.first + row * width + (pixel % cut[2])) * channels + (index % channels)];
    });
    return exchanged(permute(part, cut, NCHW), cut, y);
  },
};

export const exchangeNhwcVariant: AnyVariant = {
  ...nhwc({
    refuses: ({ shapes: { x } }) => (wholeVectors(x) ? undefined : NO_IMAGES),
    build(inputs) {
      const { x, cut } = uncut(asNhwc(inputs.x));
      return exchangeNhwc(x, cut);
    },
  }),
  name: exchangeNhwc.name,
};
