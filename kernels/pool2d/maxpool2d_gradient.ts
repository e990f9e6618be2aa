import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { Variants } from "../../engine/graph/variant.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nhwcVariant, onNhwc } from "../layout/on_nhwc.ts";
import { type Pair, pair } from "../options.ts";
import { checkShapes } from "../shapes.ts";
import { poolGeometry, poolShape } from "./geometry.ts";
import { imageParams, windowConsts } from "./gradient_geometry.ts";
import { type MaxPool2dOptions, maxPool2d } from "./maxpool2d.ts";
import { wgsl } from "./maxpool2d_gradient.wgsl.ts";
import { maxPool2dIndices, maxPool2dIndicesNhwc } from "./maxpool2d_indices.ts";

const NAME = "maxpool2d_gradient";
const WORKGROUP = 64;

interface MaxPool2dGradientOptions extends MaxPool2dOptions {
  /** [height, width] of x, which a stride leaves open. */
  size: Pair;
}

/** The gradient by x of y = maxPool2d(x): what maxPool2dIndices makes of x, and dy, [N, C, H', W'] -> dx [N, C, ...size]. */
export const maxPool2dGradient = defineKernel({
  name: NAME,
  inputs: ["indices", "dy"],
  options: { ...maxPool2d.options, size: undefined as unknown as Pair } as MaxPool2dGradientOptions,
  wgsl,

  shape({ indices, dy }, { size, ...options }) {
    const x = [...dy.slice(0, 2), ...pair(`${NAME}: size`, size)];
    const y = poolShape(NAME, x, options);
    checkShapes(NAME, { indices, dy }, { indices: y, dy: y });
    return x;
  },

  cost({ y, options }) {
    const { kernel, stride } = poolGeometry(NAME, options);
    return { flops: (2 * sizeOf(y) * kernel[0] * kernel[1]) / (stride[0] * stride[1]) };
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
  params: ({ shapes: { dy }, options, y: x }) => imageParams(NAME, x, dy, options),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const maxPool2dGradientNhwc = onNhwc(maxPool2dGradient);

export const variants: Variants = {
  maxpool2d_indices: [nhwcVariant(maxPool2dIndicesNhwc)],
  maxpool2d_gradient: [nhwcVariant(maxPool2dGradientNhwc)],
};

export const gradient: GradientOf<typeof maxPool2d> = ({ inputs: { x }, options, dy }) => ({
  x: () => maxPool2dGradient(maxPool2dIndices(x, options), dy, { ...options, size: [x.shape[2], x.shape[3]] }),
});

export const reference: ReferenceOf<typeof maxPool2dGradient> = {
  example: {
    shapes: { indices: [1, 2, 5, 4], dy: [1, 2, 5, 4] },
    options: { kernel: 3, stride: 2, padding: 1, size: [9, 7] },
  },

  compute({ indices, dy }, { shapes, options, y: shape }) {
    const [batch, channels, height, width] = shape;
    const [, , outHeight, outWidth] = shapes.dy;
    const { kernel, stride, padding, dilation } = poolGeometry(NAME, options);
    const dx = new Float64Array(sizeOf(shape));
    let out = 0;
    for (let plane = 0; plane < batch * channels; plane++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++, out++) {
          const tap = indices[out];
          const row = i * stride[0] - padding[0] + Math.floor(tap / kernel[1]) * dilation[0];
          const column = j * stride[1] - padding[1] + (tap % kernel[1]) * dilation[1];
          // Those that are none, and those outside of the image, take nothing.
          const exists = Number.isInteger(tap) && tap >= 0 && tap < kernel[0] * kernel[1];
          if (!exists || row < 0 || row >= height || column < 0 || column >= width) continue;
          dx[(plane * height + row) * width + column] += dy[out];
        }
      }
    }
    return dx;
  },
};
