import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { formatShape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { batchnorm as wgsl } from "../wgsl.ts";

const WORKGROUP = 64;

/**
 * Batch normalization at inference: x [N, C, ...], mean, variance, weight and bias [C] -> y of x's shape.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html in eval mode.
 */
export const batchNorm = defineKernel({
  name: "batchnorm",
  inputs: ["x", "mean", "variance", "weight?", "bias?"],
  options: { eps: 1e-5 },
  wgsl,
  example: { shapes: { x: [2, 8, 3, 5], mean: [8], variance: [8], weight: [8], bias: [8] } },

  shape({ x, ...statistics }, { eps }) {
    if (x.length < 2) throw new ShapeError(`batchnorm takes [N, C, ...], got ${formatShape(x)}`);
    for (const [name, shape] of Object.entries(statistics)) {
      if (shape && !sameShape(shape, [x[1]])) {
        throw new ShapeError(`batchnorm: ${name} is ${formatShape(shape)}; x ${formatShape(x)} wants [${x[1]}]`);
      }
    }
    if (!(eps >= 0 && Number.isFinite(eps))) throw new UsageError(`batchnorm: eps is ${eps}; it must be 0 or more`);
    return x;
  },

  cost: ({ y }) => ({ flops: 4 * sizeOf(y) }),
  consts: ({ shapes }) => ({ WORKGROUP, WEIGHT: shapes.weight !== undefined, BIAS: shapes.bias !== undefined }),
  params: ({ y, options }) => ({ count: sizeOf(y), channels: y[1], inner: sizeOf(y.slice(2)), eps: options.eps }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),

  reference({ x, mean, variance, weight, bias }, { y, options }) {
    const inner = sizeOf(y.slice(2));
    return Float64Array.from(x, (v, index) => {
      const c = Math.floor(index / inner) % y[1];
      return ((v - mean[c]) / Math.sqrt(variance[c] + options.eps)) * (weight ? weight[c] : 1) + (bias ? bias[c] : 0);
    });
  },
});
