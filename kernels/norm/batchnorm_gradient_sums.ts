import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { checkShapes } from "../shapes.ts";
import { wgsl } from "./batchnorm_gradient_sums.wgsl.ts";
import { channelSum, eachPart } from "./batchnorm_statistics.ts";

/**
 * The gradients of a batch normalization by its weight and its bias: dy and x [N, C, ...], statistics [2, C] (means, variances)
 * -> y [2, C], the sums of dy times the normalized x and of dy over each channel, or those of its parts, [parts, 2, C].
 */
export const batchNormGradientSums = defineKernel({
  ...channelSum,
  name: "batchnorm_gradient_sums",
  inputs: ["dy", "x", "statistics"],
  options: { ...channelSum.options, eps: 1e-5 },
  wgsl,

  shape({ dy, x, statistics }, options) {
    checkShapes("batchnorm_gradient_sums", { dy, statistics }, { dy: x, statistics: [2, x[1]] });
    return channelSum.shape(x, options);
  },

  cost: ({ shapes: { x } }) => ({ flops: 4 * sizeOf(x) }),
  params: (call) => ({ ...channelSum.params(call), eps: call.options.eps }),
});

export const reference: ReferenceOf<typeof batchNormGradientSums> = {
  example: { shapes: { dy: [2, 8, 3, 5], x: [2, 8, 3, 5], statistics: [2, 8] } },

  compute({ dy, x, statistics }, call) {
    const channels = call.shapes.x[1];
    const normal = (index: number, c: number) =>
      (x[index] - statistics[c]) / Math.sqrt(statistics[channels + c] + call.options.eps);
    return eachPart(call, (_count, sums) => [
      ...sums((index, c) => dy[index] * normal(index, c)),
      ...sums((index) => dy[index]),
    ]);
  },
};
