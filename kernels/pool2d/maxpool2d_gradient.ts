import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { Variants } from "../../engine/graph/variant.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { checkShapes } from "../shapes.ts";
import { poolGeometry, poolShape } from "./geometry.ts";
import { imageParams, windowConsts } from "./gradient_geometry.ts";
import { nhwcVariant, onNhwc } from "./gradient_nhwc.ts";
import { maxPool2d } from "./maxpool2d.ts";
import { wgsl } from "./maxpool2d_gradient.wgsl.ts";

const NAME = "maxpool2d_gradient";
const WORKGROUP = 64;

/** The gradient by x of y = maxPool2d(x): x [N, C, H, W], dy [N, C, H', W'] -> dx of x's shape. */
export const maxPool2dGradient = defineKernel({
  name: NAME,
  inputs: ["x", "dy"],
  options: maxPool2d.options,
  wgsl,

  shape({ x, dy }, options) {
    checkShapes(NAME, { dy }, { dy: poolShape(NAME, x, options) });
    return x;
  },

  cost({ y, options }) {
    const { kernel, stride } = poolGeometry(NAME, options);
    const taps = kernel[0] * kernel[1];
    return { flops: (sizeOf(y) * taps * taps) / (stride[0] * stride[1]) };
  },

  consts({ options }) {
    const { dilation } = poolGeometry(NAME, options);
    return {
      WORKGROUP,
      ...windowConsts(NAME, options),
      DILATION_HEIGHT: dilation[0],
      DILATION_WIDTH: dilation[1],
    };
  },
  params: ({ shapes: { x, dy }, options }) => imageParams(NAME, x, dy, options),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const maxPool2dGradientNhwc = onNhwc(maxPool2dGradient);

export const variants: Variants = { maxpool2d_gradient: [nhwcVariant(maxPool2dGradientNhwc)] };

export const gradient: GradientOf<typeof maxPool2d> = ({ inputs: { x }, options, dy }) => ({
  x: () => maxPool2dGradient(x, dy, options),
});

export const reference: ReferenceOf<typeof maxPool2dGradient> = {
  example: { shapes: { x: [1, 2, 9, 7], dy: [1, 2, 5, 4] }, options: { kernel: 3, stride: 2, padding: 1 } },

  compute({ x, dy }, { shapes, options, y: shape }) {
    const [batch, channels, height, width] = shape;
    const [, , outHeight, outWidth] = shapes.dy;
    const { kernel, stride, padding, dilation } = poolGeometry(NAME, options);
    const dx = new Float64Array(sizeOf(shape));
    let out = 0;
    for (let plane = 0; plane < batch * channels; plane++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++) {
          let largest = -Infinity;
          let at = -1;
          for (let k = 0; k < kernel[0]; k++) {
            for (let l = 0; l < kernel[1]; l++) {
              const row = i * stride[0] - padding[0] + k * dilation[0];
              const column = j * stride[1] - padding[1] + l * dilation[1];
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              const index = (plane * height + row) * width + column;
              if (at >= 0 && !(x[index] > largest || Number.isNaN(x[index]))) continue;
              largest = x[index];
              at = index;
            }
          }
          if (at >= 0) dx[at] += dy[out];
          out++;
        }
      }
    }
    return dx;
  },
};
