import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nchw, type Pair, pair } from "../options.ts";
import type { adaptiveAvgPool2d } from "./adaptive_avgpool2d.ts";
import { wgsl } from "./adaptive_avgpool2d_gradient.wgsl.ts";

const NAME = "adaptive_avgpool2d_gradient";
const WORKGROUP = 64;

/** The gradient by x of y = adaptiveAvgPool2d(x): dy [N, C, H', W'] -> dx [N, C, ...size]. */
export const adaptiveAvgPool2dGradient = defineKernel({
  name: NAME,
  inputs: ["dy"],
  options: { size: undefined as unknown as Pair },
  wgsl,

  shape({ dy }, { size }) {
    const [batch, channels] = nchw(NAME, dy);
    return [batch, channels, ...pair(`${NAME}: size`, size)];
  },

  cost: ({ shapes: { dy }, y }) => ({ flops: 2 * Math.max(sizeOf(dy), sizeOf(y)) }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { dy }, y: x }) => ({
    count: sizeOf(x),
    x_height: x[2],
    x_width: x[3],
    y_height: dy[2],
    y_width: dy[3],
  }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const gradient: GradientOf<typeof adaptiveAvgPool2d> = ({ inputs: { x }, dy }) => ({
  x: () => adaptiveAvgPool2dGradient(dy, { size: [x.shape[2], x.shape[3]] }),
});

export const reference: ReferenceOf<typeof adaptiveAvgPool2dGradient> = {
  example: { shapes: { dy: [1, 3, 3, 2] }, options: { size: [7, 9] } },

  compute({ dy }, { shapes, y: [batch, channels, height, width] }) {
    const [, , outHeight, outWidth] = shapes.dy;
    const dx = new Float64Array(batch * channels * height * width);
    const span = (i: number, input: number, output: number) => [
      Math.floor((i * input) / output),
      Math.ceil(((i + 1) * input) / output),
    ];
    let out = 0;
    for (let plane = 0; plane < batch * channels; plane++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++, out++) {
          const [top, bottom] = span(i, height, outHeight);
          const [left, right] = span(j, width, outWidth);
          for (let row = top; row < bottom; row++) {
            for (let column = left; column < right; column++) {
              dx[(plane * height + row) * width + column] += dy[out] / ((bottom - top) * (right - left));
            }
          }
        }
      }
    }
    return dx;
  },
};
