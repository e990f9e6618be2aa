import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { AnyVariant } from "../../engine/graph/variant.ts";
import { check } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { NO_IMAGES, wholeVectors } from "../layout/layout.ts";
import { nhwcVariant, onNhwc } from "../layout/on_nhwc.ts";
import { nchw, type Pair, pair } from "../options.ts";
import { checkShapes } from "../shapes.ts";
import { wgsl } from "./stretch.wgsl.ts";

const NAME = "stretch";
const WORKGROUP = 64;

interface StretchOptions {
  stride: Pair;
  size: Pair;
  /** Parts of x's channels: the p-th stands at the p-th place of the `stride` places of a pixel, and where no part does is 0. */
  phases: number;
}

const strides = (stride: Pair): [number, number] => pair(`${NAME}: stride`, stride);

/**
 * Spreads x [N, phases C, H, W] over an image of `size`, `stride` pixels apart, with zeros between, and adds r of y's shape if
 * given -> y [N, C, ...size].
 */
export const stretch = defineKernel({
  name: NAME,
  inputs: ["x", "r?"],
  options: {
    stride: undefined as unknown as Pair,
    size: undefined as unknown as Pair,
    phases: 1,
  } as StretchOptions,
  wgsl,
  fuses: { sum: "r" },

  shape({ x, r }, { stride, size, phases }) {
    const [batch, channels] = nchw(NAME, x);
    strides(stride);
    const isPart = Number.isInteger(phases) && phases > 0 && channels % phases === 0;
    check(isPart, `${NAME}: phases`, phases, `what divides ${channels}`);
    const y = [batch, channels / phases, ...pair(`${NAME}: size`, size)];
    checkShapes(NAME, { r }, { r: y });
    return y;
  },

  cost: () => ({ flops: 0 }),
  consts({ shapes: { r }, options: { stride } }) {
    const [height, width] = strides(stride);
    return { WORKGROUP, STRIDE_HEIGHT: height, STRIDE_WIDTH: width, CHANNELS: false, RESIDUAL: r !== undefined };
  },
  params: ({ shapes: { x }, y, options: { phases } }) => ({
    count: sizeOf(y),
    channels: y[1],
    phases,
    x_height: x[2],
    x_width: x[3],
    y_height: y[2],
    y_width: y[3],
  }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const stretchNhwc = onNhwc(stretch);

export const stretchNhwcVariant: AnyVariant = {
  ...nhwcVariant(stretchNhwc),
  // Only padding behind all channels is no matter.
  refuses: ({ y, options: { phases } }) => (phases === 1 || wholeVectors(y) ? undefined : NO_IMAGES),
};

export const reference: ReferenceOf<typeof stretch> = {
  example: { shapes: { x: [2, 8, 4, 3], r: [2, 4, 8, 8] }, options: { stride: [2, 3], size: [8, 8], phases: 2 } },

  compute({ x, r }, { shapes, y: shape, options }) {
    const [, channels, height, width] = shapes.x;
    const [down, right] = strides(options.stride);
    const y = r ? Float64Array.from(r) : new Float64Array(sizeOf(shape));
    x.forEach((v, index) => {
      const [i, j] = [Math.floor(index / width) % height, index % width];
      const plane = Math.floor(index / (width * height));
      const [n, phase] = [Math.floor(plane / channels), Math.floor((plane % channels) / shape[1])];
      if (phase >= down * right) return;
      const [row, column] = [i * down + Math.floor(phase / right), j * right + (phase % right)];
      if (row >= shape[2] || column >= shape[3]) return;
      const at = ((n * shape[1] + (plane % shape[1])) * shape[2] + row) * shape[3] + column;
      y[at] = r ? r[at] + v : v;
    });
    return y;
  },
};
