import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import { open, refuses } from "../../harness.ts";
import { checkOptimizer, checkUnchanged, type Rule } from "./optimizer.ts";

const training = await tableFor();

const gpu = await open();

/** https://pytorch.org/docs/stable/generated/torch.optim.Adam.html, and AdamW.html, whose decay is no part of the moments. */
const rule =
  (decoupled: boolean, { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = decoupled ? 0.01 : 0 }): Rule =>
  (state, g, t, lr) => {
    if (decoupled) state.w *= 1 - lr * weightDecay;
    const step = decoupled ? g : g + weightDecay * state.w;
    state.m = beta1 * state.m + (1 - beta1) * step;
    state.v = beta2 * state.v + (1 - beta2) * step ** 2;
    const mean = state.m / (1 - beta1 ** t);
    const square = state.v / (1 - beta2 ** t);
    state.w -= (lr * mean) / (Math.sqrt(square) + eps);
  };

for (const name of ["adam", "adamw"]) {
  for (const options of [
    {},
    { weightDecay: 0.5 },
    { weightDecay: 0 },
    { beta1: 0.5, beta2: 0.9 },
    { beta1: 0, eps: 0.1 },
    { beta2: 0, eps: 1 },
    { clipNorm: 0.5, eps: 0.01, weightDecay: 0.1 },
  ]) {
    test(`five steps of ${name} with ${JSON.stringify(options)}`, () =>
      checkOptimizer(gpu, name, options, rule(name === "adamw", options)));
  }

  test(`a step of ${name} whose gradients are not finite changes nothing`, async () => {
    for (const options of [{}, { weightDecay: 0.1, clipNorm: 1 }]) await checkUnchanged(gpu, name, options);
  });

  test(`options of ${name} that make no sense are refused`, async () => {
    const refusesUse = (options: object, message: RegExp) =>
      refuses(() => training.optimizers[name](options), UsageError, "USAGE", message);
    await refusesUse(
      { momentum: 0.9 },
      /no option "momentum"; its options are beta1, beta2, eps, weightDecay, clipNorm/,
    );
    await refusesUse({ decoupled: true }, /no option "decoupled"/);
    await refusesUse({ beta1: 1 }, /: beta1 is 1; it must be at least 0 and below 1/);
    await refusesUse({ beta2: -0.1 }, /: beta2 is -0.1; it must be at least 0 and below 1/);
    await refusesUse({ eps: NaN }, /: eps is NaN; it must be a number of at least 0/);
    await refusesUse({ weightDecay: "1" }, /: weightDecay is "1"/);
  });
}

test.run();
