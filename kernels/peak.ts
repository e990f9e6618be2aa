import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { ShapeError, show, UsageError } from "../engine/ground/errors.ts";
import { formatShape, sameShape } from "../engine/ground/tensor.ts";
import { wgsl } from "./peak.wgsl.ts";

const WORKGROUP = 64;
/** Numbers per thread. */
const CHAINS = 8;
/** The WGSL does 32 at a time. */
const REPEATS = 128;
const ROUNDS = 32 * REPEATS;

/**
 * Multiply-adds in registers: x = [factor, term] -> y [threads], each the sum of eight numbers that went through
 * v = v * factor + term 4096 times. A measure of arithmetic, see roofline.ts.
 */
export const peak = defineKernel({
  name: "peak",
  inputs: ["x"],
  options: { threads: WORKGROUP },
  wgsl,
  shape({ x }, { threads }) {
    if (!sameShape(x, [2])) throw new ShapeError(`peak takes x of [2], factor and term, got ${formatShape(x)}`);
    if (Number.isInteger(threads) && threads > 0 && threads % WORKGROUP === 0) return [threads];
    throw new UsageError(`peak: threads is ${show(threads)}; it must be a positive multiple of ${WORKGROUP}`);
  },
  cost: ({ y: [threads] }) => ({ flops: 2 * threads * CHAINS * ROUNDS }),
  consts: () => ({ WORKGROUP, REPEATS }),
  params: ({ y: [count] }) => ({ count }),
  grid: ({ y: [threads] }) => linearGrid(threads, WORKGROUP),
});

export const reference: ReferenceOf<typeof peak> = {
  example: { shapes: { x: [2] } },

  compute({ x: [factor, term] }, { y: [threads] }) {
    return Float64Array.from({ length: threads }, (_, thread) => {
      let sum = 0;
      for (let chain = 0; chain < CHAINS; chain++) {
        let v = (thread % WORKGROUP) + chain;
        for (let round = 0; round < ROUNDS; round++) v = v * factor + term;
        sum += v;
      }
      return sum;
    });
  },
};
