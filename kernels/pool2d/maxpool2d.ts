import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import type { Pair } from "../options.ts";
import { type PoolOptions, poolGeometry, poolParams, poolShape } from "./geometry.ts";
import { wgsl } from "./maxpool2d.wgsl.ts";

const WORKGROUP = 64;

export interface MaxPool2dOptions extends PoolOptions {
  dilation: Pair;
}

/**
 * 2D max pooling: x [N, C, H, W] -> y [N, C, H', W']. Padding never wins; NaN does.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html.
 */
export const maxPool2d = defineKernel({
  name: "maxpool2d",
  inputs: ["x"],
  options: {
    kernel: undefined as unknown as PoolOptions["kernel"],
    stride: null,
    padding: 0,
    dilation: 1,
    ceilMode: false,
  } as MaxPool2dOptions,
  wgsl,

  shape: ({ x }, options) => poolShape("maxpool2d", x, options),

  cost({ options, y }) {
    const { kernel } = poolGeometry("maxpool2d", options);
    return { flops: sizeOf(y) * kernel[0] * kernel[1] };
  },

  consts: () => ({ WORKGROUP }),

  params({ shapes: { x }, options, y }) {
    const { dilation } = poolGeometry("maxpool2d", options);
    const params = poolParams("maxpool2d", x, y, options);
    return { ...params, dilation_height: dilation[0], dilation_width: dilation[1] };
  },

  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof maxPool2d> = {
  example: { shapes: { x: [1, 2, 9, 7] }, options: { kernel: 3, stride: 2, padding: 1 } },

  compute({ x }, { shapes, options, y: shape }) {
    const [batch, channels, outHeight, outWidth] = shape;
    const [, , height, width] = shapes.x;
    const { kernel, stride, padding, dilation } = poolGeometry("maxpool2d", options);
    const y = new Float64Array(sizeOf(shape));
    let out = 0;
    for (let plane = 0; plane < batch * channels; plane++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++) {
          let largest = -Infinity;
          for (let k = 0; k < kernel[0]; k++) {
            for (let l = 0; l < kernel[1]; l++) {
              const row = i * stride[0] - padding[0] + k * dilation[0];
              const column = j * stride[1] - padding[1] + l * dilation[1];
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              // Math.max hands NaN on.
              largest = Math.max(largest, x[(plane * height + row) * width + column]);
            }
          }
          y[out++] = largest;
        }
      }
    }
    return y;
  },
};
