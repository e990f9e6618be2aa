import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { check, show } from "../engine/ground/errors.ts";
import { type Shape, sizeOf, stridesOf } from "../engine/ground/tensor.ts";
import { axis } from "./options.ts";
import { wgsl } from "./roll.wgsl.ts";
import { coalesce, fields } from "./strides.ts";

const WORKGROUP = 64;

export interface RollOptions {
  readonly shifts: number | readonly number[];
  readonly dims: number | readonly number[];
}

/**
 * Moves the elements of x by `shifts` along `dims`, one for each, and what leaves at one end comes back at the other. Negative
 * shifts go to the front. https://pytorch.org/docs/stable/generated/torch.roll.html, but for x as one row.
 */
export const roll = defineKernel({
  name: "roll",
  inputs: ["x"],
  options: { shifts: undefined, dims: undefined } as unknown as RollOptions,
  wgsl,

  shape({ x }, options) {
    joined(x, options);
    return x;
  },

  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params({ y, options }) {
    const { sizes, from } = joined(y, options);
    return { count: sizeOf(y), ...fields("size", sizes), ...fields("from", from) };
  },
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof roll> = {
  example: { shapes: { x: [2, 5, 7, 3] }, options: { shifts: [-2, 3], dims: [1, 2] } },

  compute({ x }, { y: shape, options }) {
    const shifts = shiftsOf(shape, options);
    const strides = stridesOf(shape);
    const y = new Float64Array(x.length);
    x.forEach((v, index) => {
      const at = shape.map((size, d) => (Math.floor(index / strides[d]) + shifts[d]) % size);
      y[at.reduce((sum, p, d) => sum + p * strides[d], 0)] = v;
    });
    return y;
  },
};

/** For each dimension of x its shift, from 0 to its size. */
export function shiftsOf(x: Shape, { shifts, dims }: RollOptions): number[] {
  const [by, along] = [shifts, dims].map((value) => [value].flat());
  const isOne = by.length === along.length && by.every(Number.isSafeInteger);
  check(isOne, "roll: shifts", shifts, `an integer for each of dims ${show(dims)}`);
  const result = x.map(() => 0);
  for (const [i, dim] of along.entries()) {
    const d = axis("roll", "dims", dim, x.length);
    result[d] = (((result[d] + by[i]) % x[d]) + x[d]) % x[d];
  }
  return result;
}

/** Sizes, and where each is read first; neighbours that are not shifted are joined. */
function joined(x: Shape, options: RollOptions) {
  const shifts = shiftsOf(x, options);
  // No other number is NaN's multiple, so that what is shifted is joined with nothing.
  const { sizes, strides } = coalesce("roll", x, [shifts, shifts.map((shift) => shift && NaN)]);
  return { sizes, from: strides[0].map((shift, d) => shift && sizes[d] - shift) };
}
