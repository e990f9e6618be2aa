import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { check } from "../../engine/ground/errors.ts";
import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { nchw, type Pair, pair } from "../options.ts";
import { wgsl } from "./flip_filters.wgsl.ts";

const NAME = "flip_filters";
const WORKGROUP = 64;

export interface FlipOptions {
  groups: number;
  /** The first row and column of taps that are taken, and from one to the next. */
  start: Pair;
  stride: Pair;
}

const steps = ({ start, stride }: Readonly<FlipOptions>) => ({
  start: pair(`${NAME}: start`, start, 0),
  stride: pair(`${NAME}: stride`, stride),
});

/** [KH', KW'], how many taps of the filters x [O, C, KH, KW] are taken. */
export function tapsOf(x: Shape, options: Readonly<FlipOptions>): [number, number] {
  const { start, stride } = steps(options);
  const [height, width] = [0, 1].map((d) => Math.ceil((x[2 + d] - start[d]) / stride[d]));
  check(Math.min(height, width) > 0, `${NAME}: start`, start, `a tap of ${x.slice(2).join("x")}`);
  return [height, width];
}

/** Where the last of these taps is among a filter's, and from one to the one before it, along rows and columns. */
export function turned(x: Shape, options: Readonly<FlipOptions>) {
  const { start, stride } = steps(options);
  const [height, width] = tapsOf(x, options);
  const last = (start[0] + stride[0] * (height - 1)) * x[3] + start[1] + stride[1] * (width - 1);
  return { last, step_height: -stride[0] * x[3], step_width: -stride[1] };
}

/**
 * Filters x [O, C, KH, KW] of a convolution -> those of the one that takes its gradients back, turned: y [C, O, KH', KW'], or in
 * groups [C groups, O / groups, KH', KW']. All taps, or those that gradients take which are a stride apart.
 */
export const flipFilters = defineKernel({
  name: NAME,
  inputs: ["x"],
  options: { groups: 1, start: 0, stride: 1 } as FlipOptions,
  wgsl,

  shape({ x }, options) {
    const { groups } = options;
    const [outChannels, channels] = nchw(NAME, x);
    check(groups > 0 && outChannels % groups === 0, `${NAME}: groups`, groups, `what divides ${outChannels}`);
    return [channels * groups, outChannels / groups, ...tapsOf(x, options)];
  },

  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x }, y, options }) => ({
    count: sizeOf(y),
    outputs: y[1],
    inputs: x[1],
    x_area: x[2] * x[3],
    y_height: y[2],
    y_width: y[3],
    ...turned(x, options),
  }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof flipFilters> = {
  example: { shapes: { x: [4, 3, 3, 2] }, options: { groups: 2, start: [1, 0], stride: [1, 2] } },

  compute({ x }, { shapes, y: shape, options }) {
    const [, inputs, height, width] = shapes.x;
    const [, outputs, rows, columns] = shape;
    const { start, stride } = steps(options);
    return Float64Array.from({ length: sizeOf(shape) }, (_, index) => {
      const [l, k] = [index % columns, Math.floor(index / columns) % rows];
      const plane = Math.floor(index / (columns * rows));
      const [o, c] = [plane % outputs, Math.floor(plane / outputs)];
      const out = Math.floor(c / inputs) * outputs + o;
      const row = start[0] + stride[0] * (rows - 1 - k);
      const column = start[1] + stride[1] * (columns - 1 - l);
      return x[((out * inputs + (c % inputs)) * height + row) * width + column];
    });
  },
};
