import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { check, ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import {
  type Activated,
  activate,
  activationCode,
  activationConsts,
  activationFlops,
  checkActivation,
  SHORTHANDS,
} from "../activation.ts";
import { wgsl } from "./batchnorm.wgsl.ts";

const WORKGROUP = 64;

/** Images that a thread goes through. Those of NHWC images are their pixels: see channelsInVectors. */
const ROWS = 4;

const threads = (y: Shape): number => Math.ceil(y[0] / ROWS) * sizeOf(y.slice(1));

/**
 * Batch normalization at inference: x [N, C, ...], mean, variance, weight and bias [C] -> y of x's shape.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html in eval mode, with an optional activation;
 * only training reads `momentum`.
 */
export const batchNorm = defineKernel({
  name: "batchnorm",
  inputs: ["x", "mean", "variance", "weight?", "bias?"],
  options: { eps: 1e-5, momentum: 0.1, activation: "none" } as Activated & { eps: number; momentum: number },
  wgsl,
  fuses: { activation: "activation" },
  shorthands: SHORTHANDS,

  shape({ x, ...statistics }, { eps, activation }) {
    checkActivation("batchnorm", activation);
    if (x.length < 2) throw new ShapeError(`batchnorm takes [N, C, ...], got ${formatShape(x)}`);
    for (const [name, shape] of Object.entries(statistics)) {
      if (shape && !sameShape(shape, [x[1]])) {
        throw new ShapeError(`batchnorm: ${name} is ${formatShape(shape)}; x ${formatShape(x)} wants [${x[1]}]`);
      }
    }
    check(Number.isFinite(eps) && eps >= 0, "batchnorm: eps", eps, "0 or more");
    return x;
  },

  cost: ({ y, options }) => ({ flops: (4 + activationFlops(options.activation)) * sizeOf(y) }),
  consts: ({ shapes, options }) => ({
    WORKGROUP,
    ROWS,
    WEIGHT: Boolean(shapes.weight),
    BIAS: Boolean(shapes.bias),
    ...activationConsts(options),
  }),
  params: ({ y, options }) => ({
    count: threads(y),
    images: y[0],
    x_pitch: sizeOf(y.slice(1)),
    channels: y[1],
    inner: sizeOf(y.slice(2)),
    eps: options.eps,
    activation: activationCode(options.activation),
  }),
  grid: ({ y }) => linearGrid(threads(y), WORKGROUP),

  affine({ mean, variance, weight, bias }, { eps }) {
    const scale = Float64Array.from(variance, (v, c) => (weight?.[c] ?? 1) / Math.sqrt(v + eps));
    return { scale, offset: scale.map((factor, c) => (bias?.[c] ?? 0) - mean[c] * factor) };
  },
});

export const reference: ReferenceOf<typeof batchNorm> = {
  example: { shapes: { x: [2, 8, 3, 5], mean: [8], variance: [8], weight: [8], bias: [8] } },

  compute({ x, mean, variance, weight, bias }, { y, options }) {
    const inner = sizeOf(y.slice(2));
    return Float64Array.from(x, (v, index) => {
      const c = Math.floor(index / inner) % y[1];
      const normal = (v - mean[c]) / Math.sqrt(variance[c] + options.eps);
      return activate[options.activation](normal * (weight ? weight[c] : 1) + (bias ? bias[c] : 0));
    });
  },
};
