import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { checkShapes } from "../shapes.ts";
import { type LrnOptions, lrn } from "./lrn.ts";
import { wgsl } from "./lrn_gradient.wgsl.ts";

/** The gradient of a local response normalization: dy and x [N, C, ...] -> y of their shape. Options are those of `lrn`. */
export const lrnGradient = defineKernel<"dy" | "x", LrnOptions>({
  name: "lrn_gradient",
  inputs: ["dy", "x"],
  options: lrn.options,
  wgsl,

  shape({ dy, x }, options) {
    checkShapes("lrn_gradient", { dy }, { dy: x });
    return lrn.shape({ x }, options);
  },

  cost: ({ y, options: { size } }) => ({ flops: sizeOf(y) * size * (2 * size + 6) }),
  consts: lrn.consts,
  params: lrn.params,
  grid: lrn.grid,
});

export const reference: ReferenceOf<typeof lrnGradient> = {
  example: { shapes: { dy: [2, 8, 3, 5], x: [2, 8, 3, 5] }, options: { alpha: 1 } },

  compute({ dy, x }, { y: [, channels, ...image], options: { size, alpha, beta, k } }) {
    const inner = sizeOf(image);
    const y = new Float64Array(x.length);
    x.forEach((v, index) => {
      const c = Math.floor(index / inner) % channels;
      const first = Math.max(c - Math.floor(size / 2), 0);
      const last = Math.min(c + Math.floor((size - 1) / 2), channels - 1);
      const neighbours = Array.from({ length: last - first + 1 }, (_, q) => index + (first + q - c) * inner);
      const scale = k + (alpha / size) * neighbours.reduce((sum, at) => sum + x[at] ** 2, 0);
      y[index] += dy[index] / scale ** beta;
      for (const at of neighbours) y[at] -= (((2 * alpha * beta) / size) * x[at] * dy[index] * v) / scale ** (beta + 1);
    });
    return y;
  },
};

export const gradient: GradientOf<typeof lrn> = ({ inputs: { x }, options, dy }) => ({
  x: () => lrnGradient(dy, x, options),
});
