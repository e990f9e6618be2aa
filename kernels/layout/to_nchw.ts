import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, NCHW, permute, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./to_nchw.wgsl.ts";

const WORKGROUP = 64;
const VECTORS = 4;

const threads = ([batch, height, width, channels]: Shape): number =>
  batch * height * width * Math.ceil(channels / 4 / VECTORS);

/** Images [N, H, W, C] -> [N, channels, H, W]: to_nhwc undone. */
export const toNchw = defineKernel({
  name: "to_nchw",
  inputs: ["x"],
  options: { channels: undefined as unknown as number },
  wgsl,
  converts: true,
  shape({ x }, { channels }) {
    if (x.length === 4 && Number.isInteger(channels) && channels > 0 && channels <= x[3] && x[3] % 4 === 0)
      return [x[0], channels, x[1], x[2]];
    throw new ShapeError(
      `to_nchw takes [N, H, W, 4 C] and at most 4 C channels, got ${formatShape(x)} and ${channels}`,
    );
  },
  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP, VECTORS }),
  params: ({ shapes: { x }, y }) => ({
    count: threads(x),
    pixels: y[2] * y[3],
    x_channels: x[3] / 4,
    y_channels: y[1],
  }),
  grid: ({ shapes: { x } }) => linearGrid(threads(x), WORKGROUP),
});

export const reference: ReferenceOf<typeof toNchw> = {
  example: { shapes: { x: [2, 4, 5, 8] }, options: { channels: 7 } },

  compute: ({ x }, { shapes, y }) =>
    Float64Array.from(permute(x, shapes.x, NCHW)).filter(
      (_, index) => Math.floor(index / sizeOf(y.slice(2))) % shapes.x[3] < y[1],
    ),
};
