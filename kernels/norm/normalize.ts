import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { check, ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, rowsOf, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./normalize.wgsl.ts";

const WORKGROUP = 64;

/**
 * Divides the rows of x [..., D], which are its last dimension, by their length, or by `eps` where that is shorter. Of x [..., R, D]
 * each of R rows may have a factor: scale [R, 1].
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html for p = 2 and dim = -1.
 */
export const normalize = defineKernel({
  name: "normalize",
  inputs: ["x", "scale?"],
  options: { eps: 1e-12 },
  wgsl,

  shape({ x, scale }, { eps }) {
    if (x.length < 1 || (scale && !sameShape(scale, [x.at(-2) ?? 0, 1]))) {
      const factors = scale && ` and a scale of ${formatShape(scale)}`;
      throw new ShapeError(`normalize takes x [..., R, D] and scale [R, 1], got ${formatShape(x)}${factors ?? ""}`);
    }
    check(Number.isFinite(eps) && eps >= 0, "normalize: eps", eps, "0 or more");
    return x;
  },

  cost: ({ y }) => ({ flops: 3 * sizeOf(y) }),
  consts: ({ shapes: { scale } }) => ({ WORKGROUP, SCALE: scale !== undefined }),
  params: ({ shapes: { scale }, y, options: { eps } }) => ({
    rows: rowsOf(y),
    size: y.at(-1) as number,
    factors: sizeOf(scale ?? []),
    eps,
  }),
  grid: ({ y }) => linearGrid(rowsOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof normalize> = {
  example: { shapes: { x: [2, 3, 10], scale: [3, 1] } },

  compute({ x, scale }, { options: { eps }, y: shape }) {
    const size = shape[shape.length - 1];
    return Float64Array.from(x, (v, index) => {
      const row = Math.floor(index / size);
      const length = Math.sqrt(x.subarray(row * size, (row + 1) * size).reduce((sum, each) => sum + each ** 2, 0));
      return (v / Math.max(length, eps)) * (scale ? scale[row % scale.length] : 1);
    });
  },
};
