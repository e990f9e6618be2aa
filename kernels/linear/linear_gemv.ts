import { defineKernel, type KernelSpec, linearGrid } from "../../engine/graph/kernel.ts";
import { rowsOf, type Shape } from "../../engine/ground/tensor.ts";
import { linear_gemv as wgsl } from "../wgsl.ts";
import { type LinearOptions, linear } from "./linear.ts";

const ROWS = 4;

type Inputs = "x" | "w" | "b?";

const imagesOf = (y: Shape): number => Math.min(rowsOf(y), 4);

/** The fully connected layer for small batches; shapes and reference are those of `linear`. K is a multiple of 4. */
export const linearGemv = defineKernel<Inputs, LinearOptions & { subgroup: number }>({
  ...(linear as unknown as KernelSpec<Inputs, LinearOptions>),
  name: "linear_gemv",
  options: { ...linear.options, subgroup: 8 },
  wgsl,
  example: { shapes: { x: [3, 20], w: [5, 20], b: [5] } },
  fuses: undefined,
  consts: ({ options, y }) => ({ SUBGROUP: options.subgroup, ROWS, IMAGES: imagesOf(y) }),
  params: ({ shapes: { w, b }, options, y }, { start, count }) => ({
    batch: rowsOf(y),
    first: start,
    rows: count,
    in_features: w[1] / 4,
    out_features: w[0],
    bias: Number(b !== undefined),
    relu: Number(options.relu),
  }),
  grid({ y }, { count }) {
    const [width, height] = linearGrid(count, ROWS);
    return [width, height, Math.ceil(rowsOf(y) / imagesOf(y))];
  },
});
