import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { type Shape, sizeOf } from "../engine/ground/tensor.ts";
import { axis } from "./options.ts";
import { wgsl } from "./softmax.wgsl.ts";

const WORKGROUP = 64;

/**
 * Softmax along dimension `dim` (negative: from the back): y has x's shape and sums to 1 along it. Its logarithm with log.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.Softmax.html.
 */
export const softmax = defineKernel({
  name: "softmax",
  inputs: ["x"],
  options: { dim: -1, log: false },
  wgsl,

  shape({ x }, { dim }) {
    axis("softmax", "dim", dim, x.length);
    return x;
  },

  cost: ({ y }) => ({ flops: 4 * sizeOf(y) }),
  consts: ({ options }) => ({ WORKGROUP, LOG: options.log }),
  params({ y, options }) {
    const { outer, size, inner } = view(y, options.dim);
    return { count: outer * inner, size, inner };
  },
  grid({ y, options }) {
    const { outer, inner } = view(y, options.dim);
    return linearGrid(outer * inner, WORKGROUP);
  },
});

export const reference: ReferenceOf<typeof softmax> = {
  example: { shapes: { x: [3, 10] } },

  compute({ x }, { options: { dim, log }, y: shape }) {
    const { outer, size, inner } = view(shape, dim);
    const y = new Float64Array(x.length);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const at = (k: number) => (o * size + k) * inner + i;
        let largest = -Infinity;
        let sum = 0;
        for (let k = 0; k < size; k++) largest = Math.max(largest, x[at(k)]);
        for (let k = 0; k < size; k++) sum += Math.exp(x[at(k)] - largest);
        for (let k = 0; k < size; k++) {
          y[at(k)] = log ? x[at(k)] - largest - Math.log(sum) : Math.exp(x[at(k)] - largest) / sum;
        }
      }
    }
    return y;
  },
};

/** The tensor seen as [outer, size, inner] around dimension `dim`. */
export function view(shape: Shape, dim: number) {
  const d = axis("softmax", "dim", dim, shape.length);
  return { outer: sizeOf(shape.slice(0, d)), size: shape[d], inner: sizeOf(shape.slice(d + 1)) };
}
