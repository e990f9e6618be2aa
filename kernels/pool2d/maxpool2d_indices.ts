import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { onNhwc } from "../layout/on_nhwc.ts";
import { poolGeometry, poolShape } from "./geometry.ts";
import { maxPool2d } from "./maxpool2d.ts";
import { wgsl } from "./maxpool2d_indices.wgsl.ts";

const NAME = "maxpool2d_indices";

/**
 * Which element of its window each output of maxPool2d is, counted row by row: x [N, C, H, W] -> y [N, C, H', W'], -1 where a
 * window sees padding alone. It is the first maximum, or the last NaN, as with return_indices of
 * https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html.
 */
export const maxPool2dIndices = defineKernel({
  ...maxPool2d,
  name: NAME,
  wgsl,
  shape: ({ x }, options) => poolShape(NAME, x, options),
  consts: (call) => ({ ...maxPool2d.consts(call), CHANNELS: false }),
  params: (call, part) => ({ ...maxPool2d.params(call, part), channels: 1 }),
});

export const maxPool2dIndicesNhwc = onNhwc(maxPool2dIndices);

export const reference: ReferenceOf<typeof maxPool2dIndices> = {
  example: { shapes: { x: [1, 2, 9, 7] }, options: { kernel: 3, stride: 2, padding: 1 } },

  compute({ x }, { shapes, options, y: shape }) {
    const [batch, channels, outHeight, outWidth] = shape;
    const [, , height, width] = shapes.x;
    const { kernel, stride, padding, dilation } = poolGeometry(NAME, options);
    const y = new Float64Array(sizeOf(shape)).fill(-1);
    let out = 0;
    for (let plane = 0; plane < batch * channels; plane++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++, out++) {
          let largest = -Infinity;
          for (let k = 0; k < kernel[0]; k++) {
            for (let l = 0; l < kernel[1]; l++) {
              const row = i * stride[0] - padding[0] + k * dilation[0];
              const column = j * stride[1] - padding[1] + l * dilation[1];
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              const v = x[(plane * height + row) * width + column];
              if (y[out] >= 0 && !(v > largest || Number.isNaN(v))) continue;
              largest = v;
              y[out] = k * kernel[1] + l;
            }
          }
        }
      }
    }
    return y;
  },
};
