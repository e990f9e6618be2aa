import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { check, ShapeError } from "../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf } from "../engine/ground/tensor.ts";
import { broadcastIndices, broadcastParams, broadcastShape } from "./elementwise/broadcast.ts";
import { wgsl } from "./matmul.wgsl.ts";

const WORKGROUP = 64;

/** Rows and columns of what a thread computes. */
const BLOCK = 4;

/**
 * Matrix product: a [..., M, K], b [..., K, N] -> y [..., M, N], times `scale`. The leading dimensions are broadcast.
 * https://pytorch.org/docs/stable/generated/torch.matmul.html, but for vectors.
 */
export const matmul = defineKernel({
  name: "matmul",
  inputs: ["a", "b"],
  options: { scale: 1 },
  wgsl,

  shape({ a, b }, { scale }) {
    if (!(a.length >= 2 && b.length >= 2 && a.at(-1) === b.at(-2))) {
      throw new ShapeError(`matmul takes [..., M, K] and [..., K, N], got ${formatShape(a)} and ${formatShape(b)}`);
    }
    check(Number.isFinite(scale), "matmul: scale", scale, "a number");
    return [...broadcastShape("matmul", batchOf(a), batchOf(b)), a[a.length - 2], b[b.length - 1]];
  },

  cost: ({ shapes: { a }, y }) => ({
    flops: 2 * sizeOf(y) * a[a.length - 1],
    work: 2 * blocksOf(y) * BLOCK ** 2 * a[a.length - 1],
  }),
  consts: () => ({ WORKGROUP }),
  params({ shapes: { a, b }, y, options }) {
    const [m, k] = a.slice(-2);
    const n = b[b.length - 1];
    const matrices = broadcastParams(batchOf(a), batchOf(b), batchOf(y));
    return { count: blocksOf(y), m, n, k, scale: options.scale, ...matrices };
  },
  grid: ({ y }) => linearGrid(blocksOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof matmul> = {
  example: { shapes: { a: [2, 1, 5, 7], b: [3, 7, 3] } },

  compute({ a, b }, { shapes, y, options }) {
    const [m, k] = shapes.a.slice(-2);
    const n = y[y.length - 1];
    const matrices = broadcastIndices(batchOf(shapes.a), batchOf(shapes.b), batchOf(y));
    return Float64Array.from({ length: sizeOf(y) }, (_, index) => {
      const [i, j] = [Math.floor(index / n) % m, index % n];
      const [left, right] = matrices(Math.floor(index / n / m));
      let sum = 0;
      for (let q = 0; q < k; q++) sum += a[(left * m + i) * k + q] * b[(right * k + q) * n + j];
      return options.scale * sum;
    });
  },
};

const batchOf = (shape: Shape): Shape => shape.slice(0, -2);

const blocksOf = (y: Shape): number =>
  y.slice(-2).reduce((blocks, size) => blocks * Math.ceil(size / BLOCK), sizeOf(batchOf(y)));
