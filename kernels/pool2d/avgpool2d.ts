import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { show, UsageError } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./avgpool2d.wgsl.ts";
import { type PoolOptions, poolGeometry, poolParams, poolShape } from "./geometry.ts";

const WORKGROUP = 64;

export interface AvgPool2dOptions extends PoolOptions {
  /** Whether padded zeros count in the average. */
  countIncludePad: boolean;
  /** Divides by this in place of the window's size. */
  divisorOverride: number | null;
}

/**
 * 2D average pooling: x [N, C, H, W] -> y [N, C, H', W'].
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html.
 */
export const avgPool2d = defineKernel({
  name: "avgpool2d",
  inputs: ["x"],
  options: {
    kernel: undefined as unknown as PoolOptions["kernel"],
    stride: null,
    padding: 0,
    ceilMode: false,
    countIncludePad: true,
    divisorOverride: null,
  } as AvgPool2dOptions,
  wgsl,

  shape({ x }, options) {
    const { divisorOverride: divisor } = options;
    if (divisor !== null && !(Number.isInteger(divisor) && divisor > 0)) {
      throw new UsageError(`avgpool2d: divisorOverride is ${show(divisor)}; it must be a positive integer or null`);
    }
    return poolShape("avgpool2d", x, options);
  },

  cost({ options, y }) {
    const { kernel } = poolGeometry("avgpool2d", options);
    return { flops: sizeOf(y) * (kernel[0] * kernel[1] + 1) };
  },

  consts: () => ({ WORKGROUP }),

  params: ({ shapes: { x }, options, y }) => ({
    ...poolParams("avgpool2d", x, y, options),
    divisor: options.divisorOverride ?? 0,
    count_include_pad: Number(options.countIncludePad),
  }),

  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof avgPool2d> = {
  example: { shapes: { x: [2, 3, 7, 9] }, options: { kernel: 3, stride: 2, padding: 1, ceilMode: true } },

  compute({ x }, { shapes, options, y: shape }) {
    const [batch, channels, outHeight, outWidth] = shape;
    const [, , height, width] = shapes.x;
    const { kernel, stride, padding } = poolGeometry("avgpool2d", options);
    const y = new Float64Array(sizeOf(shape));
    let out = 0;
    for (let plane = 0; plane < batch * channels; plane++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++) {
          let sum = 0;
          let inside = 0;
          let padded = 0;
          for (let k = 0; k < kernel[0]; k++) {
            for (let l = 0; l < kernel[1]; l++) {
              const row = i * stride[0] - padding[0] + k;
              const column = j * stride[1] - padding[1] + l;
              if (row >= height + padding[0] || column >= width + padding[1]) continue;
              padded++;
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              inside++;
              sum += x[(plane * height + row) * width + column];
            }
          }
          y[out++] = sum / (options.divisorOverride ?? (options.countIncludePad ? padded : inside));
        }
      }
    }
    return y;
  },
};
