import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { ShapeError } from "../engine/ground/errors.ts";
import { formatShape, type Shape, sameShape, sizeOf } from "../engine/ground/tensor.ts";
import { wgsl } from "./matmul.wgsl.ts";

const WORKGROUP = 64;

/**
 * Matrix product: a [..., M, K], b [..., K, N] -> y [..., M, N]. The leading dimensions agree, or one has none.
 * https://pytorch.org/docs/stable/generated/torch.matmul.html, without its other broadcasting.
 */
export const matmul = defineKernel({
  name: "matmul",
  inputs: ["a", "b"],
  options: {},
  wgsl,

  shape({ a, b }) {
    const [batch, other] = [a.slice(0, -2), b.slice(0, -2)];
    const fits = a.length >= 2 && b.length >= 2 && a.at(-1) === b.at(-2);
    if (!fits || (batch.length && other.length && !sameShape(batch, other))) {
      throw new ShapeError(`matmul takes [..., M, K] and [..., K, N], got ${formatShape(a)} and ${formatShape(b)}`);
    }
    return [...(batch.length ? batch : other), a[a.length - 2], b[b.length - 1]];
  },

  cost: ({ shapes: { a }, y }) => ({ flops: 2 * sizeOf(y) * a[a.length - 1] }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { a, b }, y }) => ({ count: sizeOf(y), ...sizes(a, b) }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof matmul> = {
  example: { shapes: { a: [2, 5, 7], b: [2, 7, 3] } },

  compute({ a, b }, { shapes, y }) {
    const { m, n, k, a_stride, b_stride } = sizes(shapes.a, shapes.b);
    return Float64Array.from({ length: sizeOf(y) }, (_, index) => {
      const i = Math.floor(index / n) % m;
      const batch = Math.floor(index / n / m);
      let sum = 0;
      for (let q = 0; q < k; q++) sum += a[batch * a_stride + i * k + q] * b[batch * b_stride + q * n + (index % n)];
      return sum;
    });
  },
};

function sizes(a: Shape, b: Shape) {
  const [m, k] = a.slice(-2);
  const n = b[b.length - 1];
  return { m, n, k, a_stride: a.length > 2 ? m * k : 0, b_stride: b.length > 2 ? k * n : 0 };
}
