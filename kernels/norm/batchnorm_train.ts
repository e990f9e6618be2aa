import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import { check, ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, sizeOf } from "../../engine/ground/tensor.ts";
import { checkShapes } from "../shapes.ts";
import { batchNormStatistics, channelsOf } from "./batchnorm_statistics.ts";
import { wgsl } from "./batchnorm_train.wgsl.ts";

const WORKGROUP = 64;

/**
 * Normalizes x [N, C, ...] by its own statistics [2, C], those of `batchNormStatistics`, then applies weight and bias [C].
 * Its gradient by x takes in what x changes in the statistics.
 */
export const batchNormBy = defineKernel({
  name: "batchnorm_train",
  inputs: ["x", "statistics", "weight?", "bias?"],
  options: { eps: 1e-5 },
  wgsl,

  shape({ x, ...others }, { eps }) {
    if (x.length < 2) throw new ShapeError(`batchnorm_train takes [N, C, ...], got ${formatShape(x)}`);
    checkShapes("batchnorm_train", others, { statistics: [2, x[1]], weight: [x[1]], bias: [x[1]] });
    check(Number.isFinite(eps) && eps >= 0, "batchnorm_train: eps", eps, "0 or more");
    return x;
  },

  cost: ({ y }) => ({ flops: 4 * sizeOf(y) }),
  consts: ({ shapes: { weight, bias } }) => ({ WORKGROUP, WEIGHT: weight !== undefined, BIAS: bias !== undefined }),
  params: ({ y, options: { eps } }) => ({ count: sizeOf(y), ...channelsOf(y), eps }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof batchNormBy> = {
  example: { shapes: { x: [2, 8, 3, 5], statistics: [2, 8], weight: [8], bias: [8] } },

  compute({ x, statistics, weight, bias }, { y, options: { eps } }) {
    const { channels, inner } = channelsOf(y);
    return Float64Array.from(x, (v, index) => {
      const c = Math.floor(index / inner) % channels;
      const normal = (v - statistics[c]) / Math.sqrt(statistics[channels + c] + eps);
      return normal * (weight ? weight[c] : 1) + (bias ? bias[c] : 0);
    });
  },
};

/**
 * Batch normalization in training: x [N, C, ...], weight and bias [C] -> y of x's shape, and the statistics [2, C] of the batch:
 * means, and variances divided by the count of values (running ones are of one less). Throws a ShapeError for one value per
 * channel. Semantics of https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html in train mode.
 */
export function batchNormTrain(
  x: Value,
  weight: Value | undefined,
  bias: Value | undefined,
  options: { readonly eps?: number } = {},
): { y: Value; statistics: Value } {
  const statistics = batchNormStatistics(x);
  return { y: batchNormBy(x, statistics, weight, bias, options), statistics };
}
