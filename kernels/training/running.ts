import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { wgsl } from "./running.wgsl.ts";

const WORKGROUP = 64;

/**
 * Moves running statistics mean and variance [C] towards those of a batch, statistics [2, C], in place: by `momentum` of the
 * difference, with `count` values per channel in the batch; not where norm [1] is not finite. What it gives is nothing.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
 */
export const running = defineKernel({
  name: "running",
  inputs: ["statistics", "mean", "variance", "norm"],
  options: { momentum: 0.1, count: undefined as unknown as number },
  wgsl,
  shape: () => [1],
  cost: ({ shapes: { mean } }) => ({ flops: 7 * mean[0] }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { mean }, options: { momentum, count } }) => ({
    count: mean[0],
    momentum,
    rest: 1 - momentum,
    correction: count / (count - 1),
  }),
  grid: ({ shapes: { mean } }) => linearGrid(mean[0], WORKGROUP),
});
