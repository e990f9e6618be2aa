import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { Variants } from "../../engine/graph/variant.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nhwcVariant, onNhwc } from "../layout/on_nhwc.ts";
import type { Pair } from "../options.ts";
import { pair } from "../options.ts";
import { checkShapes } from "../shapes.ts";
import { type AvgPool2dOptions, avgPool2d } from "./avgpool2d.ts";
import { wgsl } from "./avgpool2d_gradient.wgsl.ts";
import { poolGeometry } from "./geometry.ts";
import { imageParams, windowConsts } from "./gradient_geometry.ts";

const NAME = "avgpool2d_gradient";
const WORKGROUP = 64;

interface AvgPool2dGradientOptions extends AvgPool2dOptions {
  /** [height, width] of x, which a stride leaves open. */
  size: Pair;
}

/** The gradient by x of y = avgPool2d(x): dy [N, C, H', W'] -> dx [N, C, ...size]. */
export const avgPool2dGradient = defineKernel({
  name: NAME,
  inputs: ["dy"],
  options: { ...avgPool2d.options, size: undefined as unknown as Pair } as AvgPool2dGradientOptions,
  wgsl,

  shape({ dy }, { size, ...options }) {
    const x = [...dy.slice(0, 2), ...pair(`${NAME}: size`, size)];
    checkShapes(NAME, { dy }, { dy: avgPool2d.shape({ x }, options) });
    return x;
  },

  cost({ y, options }) {
    const { kernel, stride } = poolGeometry(NAME, options);
    return { flops: (2 * sizeOf(y) * kernel[0] * kernel[1]) / (stride[0] * stride[1]) };
  },

  consts({ options }) {
    const { kernel, stride } = poolGeometry(NAME, options);
    return { WORKGROUP, ...windowConsts(NAME, options), OVERLAP: kernel.some((size, d) => size > stride[d]) };
  },
  params: ({ shapes: { dy }, options, y: x }) => ({
    ...imageParams(NAME, x, dy, options),
    divisor: options.divisorOverride ?? 0,
    count_include_pad: Number(options.countIncludePad),
  }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const avgPool2dGradientNhwc = onNhwc(avgPool2dGradient);

export const variants: Variants = { avgpool2d_gradient: [nhwcVariant(avgPool2dGradientNhwc)] };

export const gradient: GradientOf<typeof avgPool2d> = ({ inputs: { x }, options, dy }) => ({
  x: () => avgPool2dGradient(dy, { ...options, size: [x.shape[2], x.shape[3]] }),
});

export const reference: ReferenceOf<typeof avgPool2dGradient> = {
  example: {
    shapes: { dy: [2, 3, 4, 5] },
    options: { kernel: 3, stride: 2, padding: 1, ceilMode: true, size: [7, 9] },
  },

  compute({ dy }, { shapes, options, y: shape }) {
    const [batch, channels, height, width] = shape;
    const [, , outHeight, outWidth] = shapes.dy;
    const { kernel, stride, padding } = poolGeometry(NAME, options);
    const dx = new Float64Array(sizeOf(shape));
    let out = 0;
    for (let plane = 0; plane < batch * channels; plane++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++, out++) {
          const [top, left] = [i * stride[0] - padding[0], j * stride[1] - padding[1]];
          const [bottom, right] = [
            Math.min(top + kernel[0], height + padding[0]),
            Math.min(left + kernel[1], width + padding[1]),
          ];
          const rows = [Math.max(top, 0), Math.min(bottom, height)];
          const columns = [Math.max(left, 0), Math.min(right, width)];
          const inside = (rows[1] - rows[0]) * (columns[1] - columns[0]);
          const counted = options.countIncludePad ? (bottom - top) * (right - left) : inside;
          for (let row = rows[0]; row < rows[1]; row++) {
            for (let column = columns[0]; column < columns[1]; column++) {
              dx[(plane * height + row) * width + column] += dy[out] / (options.divisorOverride ?? counted);
            }
          }
        }
      }
    }
    return dx;
  },
};
