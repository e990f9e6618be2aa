import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { rowsOf, type Shape } from "../../engine/ground/tensor.ts";
import { activationCode, activationConsts } from "../activation.ts";
import { type LinearOptions, linear } from "./linear.ts";
import { wgsl } from "./linear_gemv.wgsl.ts";

const ROWS = 4;

const imagesOf = (y: Shape): number => Math.min(rowsOf(y), 4);

export interface GemvOptions extends LinearOptions {
  /** Threads that share a row: a power of two from 8 to 256. */
  threads: number;
}

/** The fully connected layer for small batches; shapes and reference are those of `linear`. K is a multiple of 4. */
export const linearGemv = defineKernel<"x" | "w" | "b?", GemvOptions>({
  ...linear,
  name: "linear_gemv",
  options: { ...linear.options, threads: 64 } as GemvOptions,
  wgsl,
  fuses: undefined,
  consts: ({ options, y }) => ({ THREADS: options.threads, IMAGES: imagesOf(y), ...activationConsts(options) }),
  params: ({ shapes: { w, b }, options, y }, { start, count }) => ({
    batch: rowsOf(y),
    first: start,
    rows: count,
    in_features: w[1] / 4,
    out_features: w[0],
    bias: Number(b !== undefined),
    activation: activationCode(options.activation),
  }),
  grid({ y }, { count }) {
    const [width, height] = linearGrid(count, ROWS);
    return [width, height, Math.ceil(rowsOf(y) / imagesOf(y))];
  },
});
