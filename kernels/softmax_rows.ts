import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import type { Variant } from "../engine/graph/variant.ts";
import { rowsOf } from "../engine/ground/tensor.ts";
import { softmax } from "./softmax.ts";
import { wgsl } from "./softmax_rows.wgsl.ts";

const WORKGROUP = 256;

/** The longest row that a workgroup's registers hold. */
const LONGEST = 16 * WORKGROUP;

/** Rows of fewer elements leave most of a workgroup idle. */
const SHORTEST = 64;

type SoftmaxOptions = typeof softmax.options;

/** Softmax of rows: shapes and reference are those of `softmax` along the last dimension. */
export const softmaxRows = defineKernel<"x", SoftmaxOptions>({
  ...softmax,
  name: "softmax_rows",
  wgsl,
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
