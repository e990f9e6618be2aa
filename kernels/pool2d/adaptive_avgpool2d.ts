import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nchw, type Pair, pair } from "../options.ts";
import { wgsl } from "./adaptive_avgpool2d.wgsl.ts";

const WORKGROUP = 64;

const start = (i: number, input: number, output: number) => Math.floor((i * input) / output);
const end = (i: number, input: number, output: number) => Math.ceil(((i + 1) * input) / output);

/**
 * Averages x [N, C, H, W] over windows that tile it -> y [N, C, ...outputSize], of any size, also a larger one.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html.
 */
export const adaptiveAvgPool2d = defineKernel({
  name: "adaptive_avgpool2d",
  inputs: ["x"],
  options: { outputSize: undefined as unknown as Pair },
  wgsl,

  shape({ x }, { outputSize }) {
    const [batch, channels] = nchw("adaptive_avgpool2d", x);
    return [batch, channels, ...pair("adaptive_avgpool2d: outputSize", outputSize)];
  },

  // An element at a window's edge belongs to two windows; one add each, and one division per output.
  cost: ({ shapes: { x }, y }) => ({ flops: Math.max(sizeOf(x), sizeOf(y)) + sizeOf(y) }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x }, y }) => ({
    count: sizeOf(y),
    x_height: x[2],
    x_width: x[3],
    y_height: y[2],
    y_width: y[3],
  }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof adaptiveAvgPool2d> = {
  example: { shapes: { x: [1, 3, 7, 9] }, options: { outputSize: [3, 2] } },

  compute({ x }, { shapes, y: shape }) {
    const [batch, channels, outHeight, outWidth] = shape;
    const [, , height, width] = shapes.x;
    const y = new Float64Array(sizeOf(shape));
    let out = 0;
    for (let plane = 0; plane < batch * channels; plane++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++) {
          let sum = 0;
          let count = 0;
          for (let row = start(i, height, outHeight); row < end(i, height, outHeight); row++) {
            for (let column = start(j, width, outWidth); column < end(j, width, outWidth); column++) {
              sum += x[(plane * height + row) * width + column];
              count++;
            }
          }
          y[out++] = sum / count;
        }
      }
    }
    return y;
  },
};
