import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import type { GradientOf } from "../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { sizeOf } from "../engine/ground/tensor.ts";
import { checkShapes } from "./shapes.ts";
import { type softmax, view } from "./softmax.ts";
import { wgsl } from "./softmax_gradient.wgsl.ts";

const WORKGROUP = 64;

/** The gradient of a softmax, or of its logarithm with log: its output p and dy, along dimension `dim` -> y of their shape. */
export const softmaxGradient = defineKernel({
  name: "softmax_gradient",
  inputs: ["p", "dy"],
  options: { dim: -1, log: false },
  wgsl,

  shape({ p, dy }, { dim }) {
    checkShapes("softmax_gradient", { dy }, { dy: p });
    view(p, dim);
    return p;
  },

  cost: ({ y }) => ({ flops: 4 * sizeOf(y) }),
  consts: ({ options }) => ({ WORKGROUP, LOG: options.log }),
  params({ y, options }) {
    const { outer, size, inner } = view(y, options.dim);
    return { count: outer * inner, size, inner };
  },
  // A workgroup per sum.
  grid({ y, options }) {
    const { outer, inner } = view(y, options.dim);
    return linearGrid(outer * inner, 1);
  },
});

export const reference: ReferenceOf<typeof softmaxGradient> = {
  example: { shapes: { p: [3, 10], dy: [3, 10] } },

  compute({ p, dy }, { options: { dim, log }, y: shape }) {
    const { outer, size, inner } = view(shape, dim);
    const y = new Float64Array(p.length);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const at = (k: number) => (o * size + k) * inner + i;
        let sum = 0;
        for (let k = 0; k < size; k++) sum += dy[at(k)] * (log ? 1 : p[at(k)]);
        for (let k = 0; k < size; k++) {
          y[at(k)] = log ? dy[at(k)] - Math.exp(p[at(k)]) * sum : p[at(k)] * (dy[at(k)] - sum);
        }
      }
    }
    return y;
  },
};

export const gradient: GradientOf<typeof softmax> = ({ options, y, dy }) => ({
  x: () => softmaxGradient(y, dy, options),
});
