import type { Gradients } from "../engine/graph/gradients.ts";
import { add } from "./elementwise/add.ts";
import { gradient as drop } from "./training/drop.ts";

/** The gradients of operators by their names; each stands beside its operator. */
export const gradients: Gradients = {
  of: {
    drop,
  },
  sum: (a, b) => add(a, b),
};
