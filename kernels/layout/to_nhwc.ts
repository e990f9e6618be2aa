import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nchw } from "../options.ts";
import { wgsl } from "./to_nhwc.wgsl.ts";

const WORKGROUP = 64;

/** Channels are padded to whole vec4s. */
export const padded = (channels: number): number => Math.ceil(channels / 4) * 4;

/** Images [N, C, H, W] -> [N, H, W, C], with C padded to a multiple of 4 by zeros. */
export const toNhwc = defineKernel({
  name: "to_nhwc",
  inputs: ["x"],
  options: {},
  wgsl,
  converts: true,
  shape({ x }) {
    const [batch, channels, height, width] = nchw("to_nhwc", x);
    return [batch, height, width, padded(channels)];
  },
  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x }, y }) => ({
    count: sizeOf(y) / 4,
    pixels: y[1] * y[2],
    x_channels: x[1],
    y_channels: y[3] / 4,
  }),
  grid: ({ y }) => linearGrid(sizeOf(y) / 4, WORKGROUP),
});

export const reference: ReferenceOf<typeof toNhwc> = {
  example: { shapes: { x: [2, 3, 4, 5] } },

  compute({ x }, { shapes, y }) {
    const [, channels, height, width] = shapes.x;
    return Float64Array.from({ length: sizeOf(y) }, (_, index) => {
      const c = index % y[3];
      const pixel = Math.floor(index / y[3]) % (height * width);
      const n = Math.floor(index / y[3] / (height * width));
      return c < channels ? x[(n * channels + c) * height * width + pixel] : 0;
    });
  },
};
