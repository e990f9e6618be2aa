import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { columnAt } from "../conv2d/gemm.ts";
import { padded } from "../layout/to_nhwc.ts";
import { wgsl } from "./pack.wgsl.ts";

const WORKGROUP = 64;

const sizesOf = ([outChannels, groupIn, ...size]: Shape) => ({
  area: sizeOf(size),
  channels: padded(groupIn),
  columns: padded(outChannels),
});

/** Filters x [O, C, KH, KW], or [O, C], packed as `packed` in kernels/conv2d/dense.ts does: y [KH, KW, C, O], padded. */
export const pack = defineKernel({
  name: "pack",
  inputs: ["x"],
  options: { tile: 0 },
  wgsl,
  shape: ({ x }) => [...x.slice(2), padded(x[1]), padded(x[0])],
  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x }, y, options: { tile } }) => ({
    count: sizeOf(y),
    x_channels: x[1],
    x_columns: x[0],
    ...sizesOf(x),
    tile,
  }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof pack> = {
  example: { shapes: { x: [10, 6, 3, 3] }, options: { tile: 8 } },

  compute({ x }, { shapes, y: order, options: { tile } }) {
    const [outChannels, groupIn] = shapes.x;
    const { area, channels, columns } = sizesOf(shapes.x);
    const y = new Float64Array(sizeOf(order));
    for (let o = 0, i = 0; o < outChannels; o++) {
      const at = columnAt(o, area * channels, columns, tile || undefined);
      for (let c = 0; c < groupIn; c++) for (let k = 0; k < area; k++) y[at(k * channels + c)] = x[i++];
    }
    return y;
  },
};
