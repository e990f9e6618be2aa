import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import { check, ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, sizeOf } from "../../engine/ground/tensor.ts";
import {
  type Activated,
  activate,
  activationCode,
  activationConsts,
  activationFlops,
  checkActivation,
} from "../activation.ts";
import { checkShapes } from "../shapes.ts";
import { batchNormStatistics, channelsOf, stepsOf } from "./batchnorm_statistics.ts";
import { wgsl } from "./batchnorm_train.wgsl.ts";

const WORKGROUP = 64;

/**
 * Normalizes x [N, C, ...] by its own statistics [2, C], those of `batchNormStatistics`, then applies weight and bias [C], adds
 * r of x's shape, and applies an activation, each if asked for. Its gradient by x takes in what x changes in the statistics.
 */
export const batchNormBy = defineKernel({
  name: "batchnorm_train",
  inputs: ["x", "statistics", "weight?", "bias?", "r?"],
  options: { eps: 1e-5, activation: "none" } as Activated & { eps: number },
  wgsl,
  fuses: { activation: "activation", sum: "r" },

  shape({ x, ...others }, { eps, activation }) {
    checkActivation("batchnorm_train", activation);
    if (x.length < 2) throw new ShapeError(`batchnorm_train takes [N, C, ...], got ${formatShape(x)}`);
    checkShapes("batchnorm_train", others, { statistics: [2, x[1]], weight: [x[1]], bias: [x[1]], r: x });
    check(Number.isFinite(eps) && eps >= 0, "batchnorm_train: eps", eps, "0 or more");
    return x;
  },

  cost: ({ y, options }) => ({ flops: (4 + activationFlops(options.activation)) * sizeOf(y) }),
  consts: ({ shapes: { weight, bias, r }, options }) => ({
    WORKGROUP,
    WEIGHT: weight !== undefined,
    BIAS: bias !== undefined,
    RESIDUAL: r !== undefined,
    ...activationConsts(options),
  }),
  params: ({ y, options: { eps, activation } }) => ({
    ...stepsOf(y),
    eps,
    activation: activationCode(activation),
  }),
  grid: ({ y }) => linearGrid(stepsOf(y).step, WORKGROUP),
});

export const reference: ReferenceOf<typeof batchNormBy> = {
  example: { shapes: { x: [2, 8, 3, 5], statistics: [2, 8], weight: [8], bias: [8], r: [2, 8, 3, 5] } },

  compute({ x, statistics, weight, bias, r }, { y, options: { eps, activation } }) {
    const { channels, inner } = channelsOf(y);
    return Float64Array.from(x, (v, index) => {
      const c = Math.floor(index / inner) % channels;
      const normal = (v - statistics[c]) / Math.sqrt(statistics[channels + c] + eps);
      return activate[activation](normal * (weight ? weight[c] : 1) + (bias ? bias[c] : 0) + (r ? r[index] : 0));
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
  return { y: batchNormBy(x, statistics, weight, bias, undefined, options), statistics };
}
