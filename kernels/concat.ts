import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { ShapeError } from "../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf } from "../engine/ground/tensor.ts";
import { wgsl } from "./concat.wgsl.ts";
import { axis } from "./options.ts";

const WORKGROUP = 64;

/**
 * Joins any number of tensors along dimension `dim`, in which alone they may differ.
 * https://pytorch.org/docs/stable/generated/torch.cat.html
 */
export const concat = defineKernel({
  name: "concat",
  inputs: ["x..."],
  options: { dim: 1 },
  wgsl,

  shape(shapes, { dim }) {
    const [first, ...others] = Object.values<Shape>(shapes);
    const d = axis("concat", "dim", dim, first.length);
    for (const x of others) {
      if (x.length !== first.length || x.some((size, i) => i !== d && size !== first[i])) {
        throw new ShapeError(`concat: ${formatShape(first)} and ${formatShape(x)} differ in more than dimension ${d}`);
      }
    }
    return first.with(
      d,
      Object.values<Shape>(shapes).reduce((sum, x) => sum + x[d], 0),
    );
  },

  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),

  parts({ shapes, options }) {
    let start = 0;
    return Object.entries<Shape>(shapes).map(([input, x]) => {
      const count = x[axis("concat", "dim", options.dim, x.length)];
      start += count;
      return { input, start: start - count, count };
    });
  },

  params({ y, options }, { start, count }) {
    const { outer, inner } = around(y, options.dim);
    return {
      count: outer * count * inner,
      size_inner: count * inner,
      y_pitch: sizeOf(y) / outer,
      y_first: start * inner,
    };
  },

  grid({ y, options }, { count }) {
    const { outer, inner } = around(y, options.dim);
    return linearGrid(outer * count * inner, WORKGROUP);
  },
});

export const reference: ReferenceOf<typeof concat> = {
  example: { shapes: { x0: [2, 3, 4, 5], x1: [2, 1, 4, 5], x2: [2, 6, 4, 5] } },

  compute(inputs, { shapes, y: shape, options }) {
    const { outer } = around(shape, options.dim);
    const y = new Float64Array(sizeOf(shape));
    let offset = 0;
    for (const [name, x] of Object.entries<Float32Array>(inputs)) {
      const length = sizeOf((shapes as Record<string, Shape>)[name]) / outer;
      for (let o = 0; o < outer; o++)
        y.set(x.subarray(o * length, (o + 1) * length), (o * sizeOf(shape)) / outer + offset);
      offset += length;
    }
    return y;
  },
};

function around(y: Shape, dim: number) {
  const d = axis("concat", "dim", dim, y.length);
  return { outer: sizeOf(y.slice(0, d)), inner: sizeOf(y.slice(d + 1)) };
}
