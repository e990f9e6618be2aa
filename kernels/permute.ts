import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { show, UsageError } from "../engine/ground/errors.ts";
import { permuteShape, permute as permuteTensor, type Shape, sizeOf, stridesOf } from "../engine/ground/tensor.ts";
import { axis } from "./options.ts";
import { wgsl } from "./permute.wgsl.ts";
import { coalesce, fields } from "./strides.ts";

const WORKGROUP = 64;
const RANK = 6;

/**
 * The dimensions of x in the order of `dims` (negative: from the back). Up to six dimensions, of which those that stay side
 * by side count as one. https://pytorch.org/docs/stable/generated/torch.permute.html
 */
export const permute = defineKernel({
  name: "permute",
  inputs: ["x"],
  options: { dims: undefined as unknown as readonly number[] },
  wgsl,

  shape({ x }, { dims }) {
    const order = orderOf(x, dims);
    coalesced(x, order);
    return permuteShape(x, order);
  },

  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params({ shapes: { x }, y, options }) {
    const { sizes, strides } = coalesced(x, orderOf(x, options.dims));
    return { count: sizeOf(y), ...fields("size", sizes, 1), ...fields("x", strides[0]) };
  },
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof permute> = {
  example: { shapes: { x: [2, 3, 4, 5, 6] }, options: { dims: [2, 0, 3, 1, 4] } },

  compute: ({ x }, { shapes, options }) =>
    Float64Array.from(permuteTensor(x, shapes.x, orderOf(shapes.x, options.dims))),
};

/** `dims` counted from the front. */
export function orderOf(x: Shape, dims: readonly number[]): number[] {
  const order = Array.isArray(dims) ? dims.map((dim) => axis("permute", "dims", dim, x.length)) : [];
  if (order.length === x.length && new Set(order).size === x.length) return order;
  throw new UsageError(`permute: dims is ${show(dims)}; it must have each of x's ${x.length} dimensions once`);
}

const coalesced = (x: Shape, order: readonly number[]) =>
  coalesce("permute", permuteShape(x, order), [permuteShape(stridesOf(x), order)], RANK);
