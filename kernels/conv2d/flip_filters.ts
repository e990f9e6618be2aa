import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nchw } from "../options.ts";
import { wgsl } from "./flip_filters.wgsl.ts";

const WORKGROUP = 64;

/** Filters x [O, C, KH, KW] of a convolution -> those of the one that takes its gradients back: y [C, O, KH, KW], turned. */
export const flipFilters = defineKernel({
  name: "flip_filters",
  inputs: ["x"],
  options: {},
  wgsl,

  shape({ x }) {
    const [outChannels, channels, height, width] = nchw("flip_filters", x);
    return [channels, outChannels, height, width];
  },

  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params: ({ y }) => ({ count: sizeOf(y), outputs: y[1], inputs: y[0], area: y[2] * y[3] }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof flipFilters> = {
  example: { shapes: { x: [4, 3, 3, 2] } },

  compute({ x }, { y: [channels, outChannels, height, width] }) {
    const area = height * width;
    return Float64Array.from(x, (_, index) => {
      const [k, o] = [index % area, Math.floor(index / area) % outChannels];
      const c = Math.floor(index / (area * outChannels));
      return x[(o * channels + c) * area + area - 1 - k];
    });
  },
};
