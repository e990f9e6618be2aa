import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import {
  type Activated,
  activate,
  activationCode,
  activationConsts,
  activationFlops,
  checkActivation,
  SHORTHANDS,
} from "../activation.ts";
import { wgsl } from "./linear.wgsl.ts";

const WORKGROUP = 64;

export type LinearOptions = Activated;

/**
 * Fully connected layer: x [..., K], w [O, K], b [O] -> y [..., O].
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.Linear.html, with an optional activation.
 */
export const linear = defineKernel({
  name: "linear",
  inputs: ["x", "w", "b?"],
  options: { activation: "none" } as LinearOptions,
  wgsl,
  split: "w",
  fuses: { activation: "activation" },
  shorthands: SHORTHANDS,

  shape({ x, w, b }, { activation }) {
    checkActivation("linear", activation);
    if (w.length !== 2) throw new ShapeError(`linear: w must be [O, K], got ${formatShape(w)}`);
    const [outFeatures, inFeatures] = w;
    if (x.length < 1 || x[x.length - 1] !== inFeatures) {
      throw new ShapeError(
        `linear: x is ${formatShape(x)}; w ${formatShape(w)} wants a last dimension of ${inFeatures}`,
      );
    }
    if (b && !sameShape(b, [outFeatures])) {
      throw new ShapeError(`linear: b is ${formatShape(b)}; w ${formatShape(w)} wants [${outFeatures}]`);
    }
    return [...x.slice(0, -1), outFeatures];
  },

  cost: ({ shapes: { w, b }, options, y }) => ({
    flops: sizeOf(y) * (2 * w[1] + (b ? 1 : 0) + activationFlops(options.activation)),
  }),
  consts: ({ options }) => ({ WORKGROUP, ...activationConsts(options) }),
  params: ({ shapes: { w, b }, options, y }, { start, count }) => ({
    count: (sizeOf(y) / w[0]) * count,
    first: start,
    rows: count,
    in_features: w[1],
    out_features: w[0],
    bias: Number(b !== undefined),
    activation: activationCode(options.activation),
  }),
  grid: ({ shapes: { w }, y }, { count }) => linearGrid((sizeOf(y) / w[0]) * count, WORKGROUP),
});

export const reference: ReferenceOf<typeof linear> = {
  example: { shapes: { x: [3, 20], w: [5, 20], b: [5] } },

  compute({ x, w, b }, { shapes, options, y: shape }) {
    const [outFeatures, inFeatures] = shapes.w;
    return Float64Array.from({ length: sizeOf(shape) }, (_, index) => {
      const n = Math.floor(index / outFeatures);
      const o = index % outFeatures;
      let sum = b ? b[o] : 0;
      for (let k = 0; k < inFeatures; k++) sum += x[n * inFeatures + k] * w[o * inFeatures + k];
      return activate[options.activation](sum);
    });
  },
};
