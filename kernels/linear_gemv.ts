import { defineKernel, type KernelSpec, linearGrid, type Variant } from "../engine/kernel.ts";
import { sizeOf } from "../engine/tensor.ts";
import { linear_gemv as wgsl } from "./wgsl.ts";

const ROWS = 4;

/** Smaller weights are read in no time by any kernel; one pipeline less is compiled. */
const LEAST_WEIGHTS = 1e5;

export interface LinearOptions {
  relu: boolean;
}

type Inputs = "x" | "w" | "b?";

/** The variant of `linear` for small batches, with its shapes and reference. */
export function linearGemv(plain: KernelSpec<Inputs, LinearOptions>): Variant<Inputs, LinearOptions> {
  const imagesOf = (batch: number) => Math.min(batch, 4);
  const kernel = defineKernel<Inputs, LinearOptions & { subgroup: number }>({
    ...plain,
    name: "linear_gemv",
    options: { ...plain.options, subgroup: 8 },
    wgsl,
    variants: undefined,
    example: { shapes: { x: [3, 20], w: [5, 20], b: [5] } },
    fuses: undefined,
    consts: ({ shapes: { b }, options, y }) => ({
      SUBGROUP: options.subgroup,
      ROWS,
      IMAGES: imagesOf(sizeOf(y.slice(0, -1))),
      BIAS: b !== undefined,
      RELU: options.relu,
    }),
    params: ({ shapes: { w }, y }, { start, count }) => ({
      batch: sizeOf(y.slice(0, -1)),
      first: start,
      rows: count,
      in_features: w[1] / 4,
      out_features: w[0],
    }),
    grid({ y }, { count }) {
      const batch = sizeOf(y.slice(0, -1));
      const [width, height] = linearGrid(count, ROWS);
      return [width, height, Math.ceil(batch / imagesOf(batch))];
    },
  });
  return {
    name: "linear_gemv",
    refuses({ shapes: { w } }, { subgroupSize }) {
      if (subgroupSize < 4) return "the device has no subgroups of one size of at least 4";
      return w[1] % 4 === 0 ? undefined : `its ${w[1]} input features are no multiple of 4`;
    },
    gains: ({ shapes: { w } }) => sizeOf(w) >= LEAST_WEIGHTS,
    build: ({ x, w, b }, { options }, { subgroupSize }) => kernel(x, w, b, { ...options, subgroup: subgroupSize }),
  };
}
