import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { type Shape, sizeOf } from "../engine/ground/tensor.ts";
import { wgsl } from "./gather.wgsl.ts";
import { axis } from "./options.ts";

const WORKGROUP = 64;

/**
 * The places along dimension `dim` of x that `indices` name, negative ones from the back: x [A, size, B] and indices [I] ->
 * y [A, I, B], each of A, I and B standing for any number of dimensions. A place that x has not gives NaN. With "f16" only
 * indices up to 2048 are exact. As https://onnx.ai/onnx/operators/onnx__Gather.html and numpy.take; PyTorch's index_select.
 */
export const gather = defineKernel({
  name: "gather",
  inputs: ["x", "indices"],
  options: { dim: 0 },
  wgsl,

  shape({ x, indices }, { dim }) {
    const d = axis("gather", "dim", dim, x.length);
    return [...x.slice(0, d), ...indices, ...x.slice(d + 1)];
  },

  cost: ({ shapes, y }) => ({ flops: 0, bytes: 4 * (2 * sizeOf(y) + sizeOf(shapes.indices)) }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes, y, options }) => ({ count: sizeOf(y), ...view(shapes.x, shapes.indices, options.dim) }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof gather> = {
  example: { shapes: { x: [7, 5], indices: [2, 3] } },

  compute({ x, indices }, { shapes, y, options }) {
    const { size, picks, inner } = view(shapes.x, shapes.indices, options.dim);
    return Float64Array.from({ length: sizeOf(y) }, (_, index) => {
      const named = indices[Math.floor(index / inner) % picks];
      const place = Math.trunc(named < 0 ? named + size : named);
      const outer = Math.floor(index / (inner * picks));
      return place >= 0 && place < size ? x[(outer * size + place) * inner + (index % inner)] : NaN;
    });
  },
};

/** x as [outer, size, inner], and how many places of it are taken. */
export function view(x: Shape, indices: Shape, dim: number) {
  const d = axis("gather", "dim", dim, x.length);
  return { size: x[d], picks: sizeOf(indices), inner: sizeOf(x.slice(d + 1)) };
}
