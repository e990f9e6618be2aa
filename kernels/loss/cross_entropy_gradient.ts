import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { checkShapes } from "../shapes.ts";
import {
  type CrossEntropyOptions,
  checkTargets,
  type crossEntropy,
  FEW,
  logSoftmax,
  targetsOf,
} from "./cross_entropy.ts";
import { wgsl } from "./cross_entropy_gradient.wgsl.ts";

const WORKGROUP = 64;

/** Threads for a row. */
const lanesOf = (classes: number): number => (classes > FEW ? WORKGROUP : 1);

/** The gradient of a cross entropy by its logits [N, K]: these, labels [N], dy [], weight [K] -> y [N, K]. */
export const crossEntropyGradient = defineKernel({
  name: "cross_entropy_gradient",
  inputs: ["logits", "labels", "dy", "weight?"],
  options: { labelSmoothing: 0 } as CrossEntropyOptions,
  wgsl,

  shape({ dy, ...shapes }, options) {
    checkTargets("cross_entropy_gradient", shapes, options);
    checkShapes("cross_entropy_gradient", { dy }, { dy: [] });
    return shapes.logits;
  },

  cost: ({ y }) => ({ flops: 8 * sizeOf(y) }),
  consts: ({ shapes: { weight }, y }) => ({ WORKGROUP, LANES: lanesOf(y[1]), WEIGHT: weight !== undefined }),
  params: ({ y: [rows, classes], options }) => ({ rows, classes, smoothing: options.labelSmoothing }),
  grid: ({ y: [rows, classes] }) => linearGrid(rows * lanesOf(classes), WORKGROUP),
});

export const reference: ReferenceOf<typeof crossEntropyGradient> = {
  example: { shapes: { logits: [4, 10], labels: [4], dy: [] } },

  compute({ logits, labels, dy, weight }, { y: [rows, classes], options }) {
    const { targets, total } = targetsOf(labels, weight, [rows, classes], options);
    const logs = logSoftmax(logits, [rows, classes]);
    const all = new Float64Array(rows);
    targets.forEach((target, index) => {
      all[Math.floor(index / classes)] += target;
    });
    return targets.map((target, index) => {
      return (dy[0] / total) * (Math.exp(logs[index]) * all[Math.floor(index / classes)] - target);
    });
  },
};

export const gradient: GradientOf<typeof crossEntropy> = ({ inputs: { logits, labels, weight }, options, dy }) => ({
  logits: () => crossEntropyGradient(logits, labels, dy, weight, options),
});
