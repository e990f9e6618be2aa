import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape } from "../../engine/ground/tensor.ts";
import { wgsl } from "./batchnorm_merged.wgsl.ts";

const WORKGROUP = 64;

/**
 * Mean and variance of each channel of `terms` values, from those of its parts of `part` values, of which the last may have
 * less: x [parts, 2, C] -> y [2, C].
 */
export const batchNormMerged = defineKernel({
  name: "batchnorm_merged",
  inputs: ["x"],
  options: { terms: 0, part: 1 },
  wgsl,

  shape({ x }, { terms, part }) {
    const parts = Math.ceil(terms / part);
    if (x.length === 3 && x[0] === parts && x[1] === 2) return x.slice(1);
    throw new ShapeError(`batchnorm_merged: x is ${formatShape(x)}; it must be [${parts}, 2, C]`);
  },

  cost: ({ shapes: { x } }) => ({ flops: 4 * x[0] * x[2] }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x }, options }) => ({ channels: x[2], ...options }),
  grid: ({ shapes: { x } }) => linearGrid(x[2], WORKGROUP),
});

export const reference: ReferenceOf<typeof batchNormMerged> = {
  example: { shapes: { x: [3, 2, 8] }, options: { terms: 10, part: 4 } },

  compute({ x }, { shapes, options: { terms, part } }) {
    const [parts, , channels] = shapes.x;
    const mean = (of: (at: number) => number, c: number) => {
      let sum = 0;
      for (let p = 0; p < parts; p++) sum += Math.min(part, terms - p * part) * of(2 * p * channels + c);
      return sum / terms;
    };
    const means = Array.from({ length: channels }, (_, c) => mean((at) => x[at], c));
    const variances = means.map((whole, c) => mean((at) => x[at + channels] + (x[at] - whole) ** 2, c));
    return Float64Array.from([...means, ...variances]);
  },
};
