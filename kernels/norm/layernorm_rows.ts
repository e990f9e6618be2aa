import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { AnyVariant } from "../../engine/graph/variant.ts";

/** Threads for a row: the whole workgroup. */
const LANES = 64;

/** The plain kernel with a workgroup per row, for GPUs: a software adapter's barriers cost ten times what they save. */
export const layerNormRowsVariant: AnyVariant = {
  name: "layernorm_rows",
  refuses: () => undefined,
  gains: (_call, { software }) => !software,
  build({ x, weight, bias }, { options }, _setting, plain) {
    const rows = defineKernel({
      ...plain,
      name: "layernorm_rows",
      consts: (call) => ({ ...plain.consts(call), LANES }),
      grid: (call, part) => linearGrid(plain.params(call, part).rows, 1),
    });
    return rows(x, weight, bias, options);
  },
};
