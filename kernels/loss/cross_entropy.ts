import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import { check, ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { checkShapes } from "../shapes.ts";
import { wgsl } from "./cross_entropy.wgsl.ts";

/** Classes of which one thread takes a row. */
export const FEW = 32;

export interface CrossEntropyOptions {
  /** The part of every target, from 0 to 1, that is spread over all classes. */
  readonly labelSmoothing: number;
}

/**
 * The cross entropy of classes, the mean over a batch: logits [N, K], labels [N] (places of classes, as numbers) -> y []. With
 * weight [K], one per class, it is the weighted mean. NaN for a label that is no class.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html.
 */
export const crossEntropy = defineKernel({
  name: "cross_entropy",
  inputs: ["logits", "labels", "weight?"],
  options: { labelSmoothing: 0 } as CrossEntropyOptions,
  wgsl,

  shape(shapes, options) {
    checkTargets("cross_entropy", shapes, options);
    return [];
  },

  cost: ({ shapes: { logits } }) => ({ flops: 4 * sizeOf(logits) }),
  consts: ({ shapes: { logits, weight } }) => ({
    ...(logits[1] > FEW ? { WORKGROUP: 256, LANES: 16 } : { WORKGROUP: 64, LANES: 1 }),
    WEIGHT: weight !== undefined,
  }),
  params: ({ shapes: { logits }, options }) => ({
    rows: logits[0],
    classes: logits[1],
    smoothing: options.labelSmoothing,
  }),
  grid: () => [1, 1, 1],
});

/** Throws a ShapeError or UsageError unless there is a label for each row, and a weight for each class. */
export function checkTargets(
  kernel: string,
  { logits, labels, weight }: { logits: Shape; labels: Shape; weight?: Shape },
  { labelSmoothing }: CrossEntropyOptions,
): void {
  if (logits.length !== 2) throw new ShapeError(`${kernel} takes logits [N, K], got ${formatShape(logits)}`);
  checkShapes(kernel, { labels, weight }, { labels: [logits[0]], weight: [logits[1]] });
  const isPart = Number.isFinite(labelSmoothing) && labelSmoothing >= 0 && labelSmoothing <= 1;
  check(isPart, `${kernel}: labelSmoothing`, labelSmoothing, "from 0 to 1");
}

export const reference: ReferenceOf<typeof crossEntropy> = {
  example: { shapes: { logits: [4, 10], labels: [4] } },

  compute({ logits, labels, weight }, { shapes, options }) {
    const { targets, total } = targetsOf(labels, weight, shapes.logits, options);
    const logs = logSoftmax(logits, shapes.logits);
    return Float64Array.of(targets.reduce((sum, target, i) => sum - (target === 0 ? 0 : target * logs[i]), 0) / total);
  },
};

/** For references: the weighted targets of each row's classes, and the sum of the weights of the labels. */
export function targetsOf(
  labels: Float32Array,
  weight: Float32Array | undefined,
  [, classes]: Shape,
  { labelSmoothing }: CrossEntropyOptions,
): { targets: Float64Array; total: number } {
  const weights = weight ?? new Float32Array(classes).fill(1);
  const targets = new Float64Array(labels.length * classes);
  let total = 0;
  labels.forEach((label, row) => {
    weights.forEach((w, k) => {
      targets[row * classes + k] = w * (labelSmoothing / classes + (k === label ? 1 - labelSmoothing : 0));
    });
    total += weights[label] ?? NaN;
  });
  return { targets, total };
}

/** For references: the logarithms of the probabilities of logits [N, K]. */
export function logSoftmax(logits: Float32Array, [, classes]: Shape): Float64Array {
  const logs = new Float64Array(logits.length);
  for (let first = 0; first < logits.length; first += classes) {
    const row = Float64Array.from(logits.subarray(first, first + classes));
    const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const log = Math.log(row.reduce((sum, v) => sum + Math.exp(v - most), 0));
    logs.set(
      row.map((v) => v - most - log),
      first,
    );
  }
  return logs;
}
