import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { mul } from "../elementwise/mul.ts";
import { checkShapes } from "../shapes.ts";
import { sumTo } from "../sum.ts";
import { normalize } from "./normalize.ts";
import { wgsl } from "./normalize_gradient.wgsl.ts";

const WORKGROUP = 64;

/** The gradient of a normalization of rows by x: dy and x [..., R, D], scale [R, 1] -> y of x's shape. */
export const normalizeGradient = defineKernel({
  name: "normalize_gradient",
  inputs: ["dy", "x", "scale?"],
  options: normalize.options,
  wgsl,

  shape({ dy, x, scale }, options) {
    checkShapes("normalize_gradient", { dy }, { dy: x });
    return normalize.shape({ x, scale }, options);
  },

  cost: ({ y }) => ({ flops: 8 * sizeOf(y) }),
  consts: ({ shapes: { scale } }) => ({ WORKGROUP, SCALE: scale !== undefined }),
  params: ({ shapes: { scale }, y, options: { eps } }) => ({
    rows: rowsOf(y),
    size: y[y.length - 1],
    factors: sizeOf(scale ?? []),
    eps,
  }),
  // A workgroup per row.
  grid: ({ y }) => linearGrid(rowsOf(y), 1),
});

export const reference: ReferenceOf<typeof normalizeGradient> = {
  example: { shapes: { dy: [2, 3, 10], x: [2, 3, 10], scale: [3, 1] } },

  compute({ dy, x, scale }, { options: { eps }, y: shape }) {
    const size = shape[shape.length - 1];
    const y = new Float64Array(x.length);
    for (let first = 0; first < x.length; first += size) {
      const row = Float64Array.from(x.subarray(first, first + size));
      const length = Math.sqrt(row.reduce((sum, v) => sum + v ** 2, 0));
      const along = row.reduce((sum, v, i) => sum + v * dy[first + i], 0) / length ** 2;
      const factor = scale ? scale[(first / size) % scale.length] : 1;
      row.forEach((v, i) => {
        y[first + i] = factor * (length < eps ? dy[first + i] / eps : (dy[first + i] - v * along) / length);
      });
    }
    return y;
  },
};

export const gradient: GradientOf<typeof normalize> = ({ inputs: { x, scale }, options, dy }) => ({
  x: () => normalizeGradient(dy, x, scale, options),
  ...(scale && { scale: () => sumTo(mul(dy, normalize(x, options)), scale.shape) }),
});
