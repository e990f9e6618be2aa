import { defineKernel, type KernelSpec, linearGrid, type Variant } from "../engine/graph/kernel.ts";
import { rowsOf } from "../engine/ground/tensor.ts";
import { softmax } from "./softmax.ts";
import { softmax_rows as wgsl } from "./wgsl.ts";

const WORKGROUP = 256;

/** The longest row that a workgroup's registers hold. */
const LONGEST = 16 * WORKGROUP;

/** Rows of fewer elements leave most of a workgroup idle. */
const SHORTEST = 64;

type SoftmaxOptions = typeof softmax.options;

/** Softmax of rows: shapes and reference are those of `softmax` along the last dimension. */
export const softmaxRows = defineKernel<"x", SoftmaxOptions>({
  ...(softmax as unknown as KernelSpec<"x", SoftmaxOptions>),
  name: "softmax_rows",
  wgsl,
  example: { shapes: { x: [3, 100] } },
  consts: ({ options }) => ({ WORKGROUP, LOG: options.log }),
  params: ({ y }) => ({ rows: rowsOf(y), size: y[y.length - 1] }),
  grid: ({ y }) => linearGrid(rowsOf(y), 1),
});

export const softmaxRowsVariant: Variant<"x", SoftmaxOptions> = {
  name: "softmax_rows",
  refuses({ options: { dim }, y }) {
    if (dim !== -1 && dim !== y.length - 1) return "it is not along the last dimension";
    return y[y.length - 1] > LONGEST ? `its rows have more than ${LONGEST} elements` : undefined;
  },
  // A software adapter's barriers cost more than reading twice.
  gains: ({ y }, { software }) => !software && y[y.length - 1] >= SHORTEST,
  build: ({ x }, { options }) => softmaxRows(x, options),
};
