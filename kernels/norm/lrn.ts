import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { ShapeError, show, UsageError } from "../../engine/ground/errors.ts";
import { formatShape, sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./lrn.wgsl.ts";

const WORKGROUP = 64;

export interface LrnOptions {
  size: number;
  alpha: number;
  beta: number;
  k: number;
}

/**
 * Local response normalization over channels: x [N, C, ...] -> y of x's shape. Alpha is divided by size.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html, with its defaults; from
 * A. Krizhevsky, I. Sutskever, G. Hinton: "ImageNet classification with deep convolutional neural networks", 2012.
 */
export const lrn = defineKernel({
  name: "lrn",
  inputs: ["x"],
  options: { size: 5, alpha: 1e-4, beta: 0.75, k: 1 },
  wgsl,

  shape({ x }, options) {
    if (x.length < 3) throw new ShapeError(`lrn takes [N, C, ...] of three dimensions or more, got ${formatShape(x)}`);
    if (!(Number.isInteger(options.size) && options.size > 0)) {
      throw new UsageError(`lrn: size is ${show(options.size)}; it must be a positive integer`);
    }
    for (const name of ["alpha", "beta", "k"] as const) {
      if (!Number.isFinite(options[name]))
        throw new UsageError(`lrn: ${name} is ${show(options[name])}; it must be a number`);
    }
    return x;
  },

  cost: ({ y, options }) => ({ flops: sizeOf(y) * (2 * options.size + 4) }),
  consts: () => ({ WORKGROUP }),
  params: ({ y, options: { size, alpha, beta, k } }) => ({
    count: sizeOf(y),
    channels: y[1],
    inner: sizeOf(y.slice(2)),
    size,
    alpha: alpha / size,
    beta,
    k,
  }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof lrn> = {
  example: { shapes: { x: [2, 8, 3, 5] }, options: { alpha: 1 } },

  compute({ x }, { y, options: { size, alpha, beta, k } }) {
    const inner = sizeOf(y.slice(2));
    return Float64Array.from(x, (v, index) => {
      const c = Math.floor(index / inner) % y[1];
      let sum = 0;
      for (let q = c - Math.floor(size / 2); q <= c + Math.floor((size - 1) / 2); q++) {
        if (q >= 0 && q < y[1]) sum += x[index + (q - c) * inner] ** 2;
      }
      return v / (k + (alpha / size) * sum) ** beta;
    });
  },
};
