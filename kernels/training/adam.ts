import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { wgsl } from "./adam.wgsl.ts";

const WORKGROUP = 64;

/**
 * A step of Adam, or of AdamW if `decoupled`, on parameters w, with gradients g and moments m and v, [n] each, in place, n a
 * multiple of 4; norm [1] and rates [3] as adam.wgsl says. What it gives is nothing.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html
 */
export const adam = defineKernel({
  name: "adam",
  inputs: ["w", "g", "m", "v", "norm", "rates"],
  options: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, decoupled: false, clipNorm: 0 },
  wgsl,
  shape: () => [1],
  cost: ({ shapes: { w } }) => ({ flops: 14 * w[0] }),
  consts: ({ options }) => ({ WORKGROUP, DECOUPLED: options.decoupled }),
  params: ({ shapes: { w }, options: { beta1, beta2, eps, weightDecay, clipNorm } }) => ({
    count: w[0] / 4,
    beta1,
    rest1: 1 - beta1,
    beta2,
    rest2: 1 - beta2,
    eps,
    decay: weightDecay,
    most: clipNorm,
  }),
  grid: ({ shapes: { w } }) => linearGrid(w[0] / 4, WORKGROUP),
});
