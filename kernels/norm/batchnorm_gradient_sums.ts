import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { checkShapes } from "../shapes.ts";
import { wgsl } from "./batchnorm_gradient_sums.wgsl.ts";
import { channelSum, channelSums } from "./batchnorm_statistics.ts";

/**
 * The gradients of a batch normalization by its bias and its weight: dy and x [N, C, ...], statistics [2, C] (means, variances)
 * -> y [2, C], the sums of dy and of dy times the normalized x over each channel.
 */
export const batchNormGradientSums = defineKernel({
  name: "batchnorm_gradient_sums",
  inputs: ["dy", "x", "statistics"],
  options: { eps: 1e-5 },
  wgsl,

  shape({ dy, x, statistics }) {
    checkShapes("batchnorm_gradient_sums", { dy, statistics }, { dy: x, statistics: [2, x[1]] });
    return [2, x[1]];
  },

  cost: ({ shapes: { x } }) => ({ flops: 4 * sizeOf(x) }),
  ...channelSum,
  params: ({ options: { eps }, ...call }) => ({ ...channelSum.params(call), eps }),
});

export const reference: ReferenceOf<typeof batchNormGradientSums> = {
  example: { shapes: { dy: [2, 8, 3, 5], x: [2, 8, 3, 5], statistics: [2, 8] } },

  compute({ dy, x, statistics }, { shapes, y: [, channels], options: { eps } }) {
    const bias = channelSums(dy, shapes.dy, (d) => d);
    const weight = channelSums(dy, shapes.dy, (d, c, index) => {
      return (d * (x[index] - statistics[c])) / Math.sqrt(statistics[channels + c] + eps);
    });
    return Float64Array.from([...bias, ...weight]);
  },
};
