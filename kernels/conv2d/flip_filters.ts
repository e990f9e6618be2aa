import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { check } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nchw } from "../options.ts";
import { wgsl } from "./flip_filters.wgsl.ts";

const WORKGROUP = 64;

/**
 * Filters x [O, C, KH, KW] of a convolution -> those of the one that takes its gradients back, turned: y [C, O, KH, KW], or in
 * groups [C groups, O / groups, KH, KW].
 */
export const flipFilters = defineKernel({
  name: "flip_filters",
  inputs: ["x"],
  options: { groups: 1 },
  wgsl,

  shape({ x }, { groups }) {
    const [outChannels, channels, height, width] = nchw("flip_filters", x);
    check(groups > 0 && outChannels % groups === 0, "flip_filters: groups", groups, `what divides ${outChannels}`);
    return [channels * groups, outChannels / groups, height, width];
  },

  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x }, y }) => ({ count: sizeOf(y), outputs: y[1], inputs: x[1], area: y[2] * y[3] }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof flipFilters> = {
  example: { shapes: { x: [4, 3, 3, 2] }, options: { groups: 2 } },

  compute({ x }, { shapes, y: [, outputs, height, width] }) {
    const [, inputs] = shapes.x;
    const area = height * width;
    return Float64Array.from(x, (_, index) => {
      const [k, o] = [index % area, Math.floor(index / area) % outputs];
      const c = Math.floor(index / (area * outputs));
      const out = Math.floor(c / inputs) * outputs + o;
      return x[(out * inputs + (c % inputs)) * area + area - 1 - k];
    });
  },
};
