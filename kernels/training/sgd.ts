import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { wgsl } from "./sgd.wgsl.ts";

const WORKGROUP = 64;

/**
 * A step of SGD on parameters w, with gradients g and momenta m, [n] each, in place, n a multiple of 4; norm [1] and rates [2]
 * as sgd.wgsl says. What it gives is nothing. Semantics of https://pytorch.org/docs/stable/generated/torch.optim.SGD.html
 */
export const sgd = defineKernel({
  name: "sgd",
  inputs: ["w", "g", "m", "norm", "rates"],
  options: { momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, clipNorm: 0 },
  wgsl,
  shape: () => [1],
  cost: ({ shapes: { w } }) => ({ flops: 8 * w[0] }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { w }, options }) => ({
    count: w[0] / 4,
    momentum: options.momentum,
    dampening: options.dampening,
    decay: options.weightDecay,
    nesterov: Number(options.nesterov),
    most: options.clipNorm,
  }),
  grid: ({ shapes: { w } }) => linearGrid(w[0] / 4, WORKGROUP),
});
