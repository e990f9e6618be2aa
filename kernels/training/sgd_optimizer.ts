import type { Optimizer } from "../../engine/graph/training.ts";
import { show, UsageError } from "../../engine/ground/errors.ts";
import { optionsOf } from "./optimizer_options.ts";
import { sgd } from "./sgd.ts";

/** torch.optim.SGD by a kernel of its own. */
export function sgdOf(given: object): Optimizer {
  const options = optionsOf("sgd", sgd.options, given);
  if (options.nesterov && (options.momentum === 0 || options.dampening !== 0)) {
    throw new UsageError(
      `sgd: nesterov needs a momentum and no dampening; got ${show(options.momentum)} and ${show(options.dampening)}`,
    );
  }
  return {
    name: "sgd",
    moments: ["m"],
    update: ({ w, g, m, norm, rates }) => sgd(w, g, m, norm, rates, options),
    ratesOf: (step, rate) => [rate, step === 1 ? 1 : 0],
  };
}
