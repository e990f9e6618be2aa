import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import type { GradientOf } from "../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { check, isCount, ShapeError } from "../engine/ground/errors.ts";
import { formatShape, sameShape, sizeOf } from "../engine/ground/tensor.ts";
import { type gather, view } from "./gather.ts";
import { wgsl } from "./gather_gradient.wgsl.ts";
import { axis } from "./options.ts";

const WORKGROUP = 64;

/** Adds up what `indices` of a gather along `dim` took from each of the `size` places: indices [I], dy [A, I, B] -> [A, size, B]. */
export const gatherGradient = defineKernel({
  name: "gather_gradient",
  inputs: ["indices", "dy"],
  options: { size: undefined as unknown as number, dim: 0 },
  wgsl,

  shape({ indices, dy }, { size, dim }) {
    check(isCount(size), "gather_gradient: size", size, "a positive integer");
    const d = axis("gather_gradient", "dim", dim, dy.length - indices.length + 1);
    const end = d + indices.length;
    if (sameShape(dy.slice(d, end), indices)) return [...dy.slice(0, d), size, ...dy.slice(end)];
    throw new ShapeError(
      `gather_gradient: dy is ${formatShape(dy)}; from dimension ${d} on it must be ${formatShape(indices)} like indices`,
    );
  },

  cost: ({ shapes, y }) => ({
    flops: sizeOf(shapes.dy),
    bytes: 4 * (sizeOf(y) * (1 + sizeOf(shapes.indices)) + sizeOf(shapes.dy)),
  }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes, y, options }) => ({ count: sizeOf(y), ...view(y, shapes.indices, options.dim) }),
  // A workgroup per element.
  grid: ({ y }) => linearGrid(sizeOf(y), 1),
});

export const reference: ReferenceOf<typeof gatherGradient> = {
  example: { shapes: { indices: [2, 3], dy: [2, 3, 5] }, options: { size: 7 } },

  compute({ indices, dy }, { shapes, y, options }) {
    const { size, picks, inner } = view(y, shapes.indices, options.dim);
    const dx = new Float64Array(sizeOf(y));
    dy.forEach((v, index) => {
      const named = indices[Math.floor(index / inner) % picks];
      const place = Math.trunc(named < 0 ? named + size : named);
      const outer = Math.floor(index / (inner * picks));
      if (place >= 0 && place < size) dx[(outer * size + place) * inner + (index % inner)] += v;
    });
    return dx;
  },
};

export const gradient: GradientOf<typeof gather> = ({ inputs: { x, indices }, options, dy }) => ({
  x() {
    const dim = axis("gather", "dim", options.dim, x.shape.length);
    return gatherGradient(indices, dy, { dim, size: x.shape[dim] });
  },
});
