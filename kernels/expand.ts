import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { check, ShapeError } from "../engine/ground/errors.ts";
import { checkShape, formatShape, type Shape, sameShape, sizeOf } from "../engine/ground/tensor.ts";
import { broadcastReference, broadcastShape, broadcastStrides } from "./elementwise/broadcast.ts";
import { wgsl } from "./expand.wgsl.ts";
import { coalesce, fields } from "./strides.ts";

const WORKGROUP = 64;

interface ExpandOptions {
  readonly shape: Shape;
  readonly scale: number;
}

/**
 * `scale` times x, broadcast to `shape`: what goes back through a sum, a mean or a factor.
 * https://pytorch.org/docs/stable/generated/torch.Tensor.expand.html
 */
export const expand = defineKernel({
  name: "expand",
  inputs: ["x"],
  options: { shape: undefined, scale: 1 } as unknown as ExpandOptions,
  wgsl,

  shape({ x }, { shape, scale }) {
    check(Number.isFinite(scale), "expand: scale", scale, "a number");
    if (sameShape(broadcastShape("expand", x, checkShape(shape, "what expand makes")), shape)) return shape;
    throw new ShapeError(`expand: ${formatShape(x)} cannot be broadcast to ${formatShape(shape)}`);
  },

  cost: ({ y }) => ({ flops: sizeOf(y) }),
  consts: () => ({ WORKGROUP }),
  params({ shapes: { x }, y, options }) {
    const { sizes, strides } = coalesce("expand", y, [broadcastStrides(x, y)]);
    return { count: sizeOf(y), ...fields("size", sizes, 1), ...fields("x", strides[0]), scale: options.scale };
  },
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof expand> = {
  example: { shapes: { x: [3, 1, 5] }, options: { shape: [2, 3, 4, 5], scale: 0.25 } },

  compute({ x }, { shapes, y, options }) {
    const view = { shape: shapes.x, data: x };
    return broadcastReference(view, view, y, (v) => options.scale * v);
  },
};
