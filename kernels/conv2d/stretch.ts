import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nchw, type Pair, pair } from "../options.ts";
import { wgsl } from "./stretch.wgsl.ts";

const NAME = "stretch";
const WORKGROUP = 64;

/** Spreads x [N, C, H, W] over an image of `size`, `stride` pixels apart, with zeros between -> y [N, C, ...size]. */
export const stretch = defineKernel({
  name: NAME,
  inputs: ["x"],
  options: { stride: undefined as unknown as Pair, size: undefined as unknown as Pair },
  wgsl,

  shape({ x }, { stride, size }) {
    const [batch, channels] = nchw(NAME, x);
    pair(`${NAME}: stride`, stride);
    return [batch, channels, ...pair(`${NAME}: size`, size)];
  },

  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params({ shapes: { x }, y, options: { stride } }) {
    const [height, width] = pair(`${NAME}: stride`, stride);
    return {
      count: sizeOf(y),
      x_height: x[2],
      x_width: x[3],
      y_height: y[2],
      y_width: y[3],
      stride_height: height,
      stride_width: width,
    };
  },
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof stretch> = {
  example: { shapes: { x: [2, 3, 4, 3] }, options: { stride: [2, 3], size: [8, 8] } },

  compute({ x }, { shapes, y: shape, options }) {
    const [, , height, width] = shapes.x;
    const [down, right] = pair(`${NAME}: stride`, options.stride);
    const y = new Float64Array(sizeOf(shape));
    x.forEach((v, index) => {
      const [i, j] = [Math.floor(index / width) % height, index % width];
      const [row, column] = [i * down, j * right];
      if (row >= shape[2] || column >= shape[3]) return;
      y[(Math.floor(index / (width * height)) * shape[2] + row) * shape[3] + column] = v;
    });
    return y;
  },
};
