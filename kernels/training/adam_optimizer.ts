import type { Optimizer } from "../../engine/graph/training.ts";
import { adam } from "./adam.ts";
import { optionsOf } from "./optimizer_options.ts";

/** torch.optim.Adam, or AdamW with its weight decay `decoupled`. */
export function adamOf(name: string, decoupled: boolean, weightDecay: number, given: object): Optimizer {
  const { decoupled: _, ...defaults } = adam.options;
  const options = optionsOf(name, { ...defaults, weightDecay }, given);
  return {
    name,
    moments: ["m", "v"],
    update: ({ w, g, m, v, norm, rates }) => adam(w, g, m, v, norm, rates, { ...options, decoupled }),
    ratesOf: (step, rate) => [rate, rate / (1 - options.beta1 ** step), Math.sqrt(1 - options.beta2 ** step)],
  };
}
