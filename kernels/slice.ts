import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { check, checkCount, ShapeError } from "../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf } from "../engine/ground/tensor.ts";
import { axis } from "./options.ts";
import { wgsl } from "./slice.wgsl.ts";

const WORKGROUP = 64;

export interface SliceOptions {
  readonly dim: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/**
 * x[start:end:step] along dimension `dim`, as Python has it: negative places count from the back, and those beyond an end stand
 * for it. Throws a ShapeError where nothing is left.
 */
export const slice = defineKernel({
  name: "slice",
  inputs: ["x"],
  options: { dim: 1, start: 0, end: Infinity, step: 1 } as SliceOptions,
  wgsl,

  shape({ x }, options) {
    const { dim, start, end, step } = options;
    axis("slice", "dim", dim, x.length);
    check(Number.isInteger(start), "slice: start", start, "an integer");
    check(Number.isInteger(end) || end === Infinity, "slice: end", end, "an integer");
    checkCount("slice: step", step);
    const part = partOf(x, options);
    if (part.size > 0) return x.with(part.d, part.size);
    throw new ShapeError(`slice: from ${start} to ${end} nothing is left of dimension ${part.d} of ${formatShape(x)}`);
  },

  cost: ({ y }) => ({ flops: 0, bytes: 8 * sizeOf(y) }),
  consts: () => ({ WORKGROUP }),
  params({ shapes: { x }, y, options }) {
    const { d, start, size } = partOf(x, options);
    return { count: sizeOf(y), x_size: x[d], size, inner: sizeOf(x.slice(d + 1)), start, step: options.step };
  },
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof slice> = {
  example: { shapes: { x: [2, 9, 4] }, options: { start: 1, end: -1, step: 2 } },

  compute({ x }, { shapes, options }) {
    const { d, start, size } = partOf(shapes.x, options);
    const inner = sizeOf(shapes.x.slice(d + 1));
    const taken = new Set(Array.from({ length: size }, (_, i) => start + i * options.step));
    return Float64Array.from(x).filter((_, index) => taken.has(Math.floor(index / inner) % shapes.x[d]));
  },
};

/** The dimension from the front, where the part begins, and how many there are in it. */
export function partOf(x: Shape, { dim, start, end, step }: SliceOptions) {
  const d = axis("slice", "dim", dim, x.length);
  const place = (value: number) => Math.min(Math.max(value < 0 ? value + x[d] : value, 0), x[d]);
  return { d, start: place(start), size: Math.ceil((place(end) - place(start)) / step) };
}
