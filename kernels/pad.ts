import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { check } from "../engine/ground/errors.ts";
import { sizeOf } from "../engine/ground/tensor.ts";
import { nchw, type Padding, sides } from "./options.ts";
import { wgsl } from "./pad.wgsl.ts";

const WORKGROUP = 64;

/**
 * Puts a constant around images, or takes rows and columns off where the padding is negative: x [N, C, H, W] -> y [N, C, top +
 * H + bottom, left + W + right].
 * https://pytorch.org/docs/stable/generated/torch.nn.functional.pad.html (which counts left, right, top, bottom).
 */
export const pad = defineKernel({
  name: "pad",
  inputs: ["x"],
  options: { padding: undefined as unknown as Padding, value: 0 },
  wgsl,

  shape({ x }, { padding, value }) {
    const [batch, channels, height, width] = nchw("pad", x);
    const [top, left, bottom, right] = around(padding);
    check(Number.isFinite(value), "pad: value", value, "a number");
    return [batch, channels, top + height + bottom, left + width + right];
  },

  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params({ shapes: { x }, y, options }) {
    const [top, left] = around(options.padding);
    const size = { x_height: x[2], x_width: x[3], y_height: y[2], y_width: y[3] };
    return { count: sizeOf(y), ...size, top, left, value: options.value };
  },
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof pad> = {
  example: { shapes: { x: [1, 2, 4, 5] }, options: { padding: [1, 0, 2, 3], value: -1 } },

  compute({ x }, { shapes, y: shape, options }) {
    const [, , height, width] = shapes.x;
    const [, , outHeight, outWidth] = shape;
    const [top, left] = around(options.padding);
    return Float64Array.from({ length: sizeOf(shape) }, (_, index) => {
      const column = (index % outWidth) - left;
      const row = (Math.floor(index / outWidth) % outHeight) - top;
      const plane = Math.floor(index / (outWidth * outHeight));
      const inside = row >= 0 && row < height && column >= 0 && column < width;
      return inside ? x[(plane * height + row) * width + column] : options.value;
    });
  },
};

/** [top, left, bottom, right], which may be negative. */
export const around = (padding: Padding) => sides("pad: padding", padding, 1 - 2 ** 31);
