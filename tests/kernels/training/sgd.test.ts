import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import { open, refuses } from "../../harness.ts";
import { checkOptimizer, checkUnchanged, type Rule } from "./optimizer.ts";

const training = await tableFor();

const gpu = await open();

/** https://pytorch.org/docs/stable/generated/torch.optim.SGD.html */
const rule =
  ({ momentum = 0, dampening = 0, weightDecay = 0, nesterov = false }): Rule =>
  (state, g, t, lr) => {
    let step = g + weightDecay * state.w;
    if (momentum !== 0) {
      state.m = t > 1 ? momentum * state.m + (1 - dampening) * step : step;
      step = nesterov ? step + momentum * state.m : state.m;
    }
    state.w -= lr * step;
  };

for (const options of [
  {},
  { weightDecay: 0.3 },
  { momentum: 0.9 },
  { momentum: 0.9, dampening: 0.4 },
  { momentum: 0.5, nesterov: true },
  { momentum: 0.9, nesterov: true, weightDecay: 0.1 },
  { clipNorm: 0.5 },
  { clipNorm: 1e6, momentum: 0.9 },
  { clipNorm: 0.25, momentum: 0.9, dampening: 0.1, weightDecay: 0.5 },
]) {
  test(`five steps with ${JSON.stringify(options)}`, () => checkOptimizer(gpu, "sgd", options, rule(options)));
}

test("a step whose gradients are not finite changes nothing", async () => {
  for (const options of [{}, { momentum: 0.9, weightDecay: 0.1 }, { momentum: 0.9, clipNorm: 1 }]) {
    await checkUnchanged(gpu, "sgd", options);
  }
});

test("options that make no sense are refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => training.optimizers.sgd(options), UsageError, "USAGE", message);
  await refusesUse(
    { beta1: 0.9 },
    /no option "beta1"; its options are momentum, dampening, weightDecay, nesterov, clip/,
  );
  await refusesUse({ momentum: 1 }, /sgd: momentum is 1; it must be at least 0 and below 1/);
  await refusesUse({ momentum: NaN }, /sgd: momentum is NaN/);
  await refusesUse({ momentum: "0.9" }, /sgd: momentum is "0.9"/);
  await refusesUse({ momentum: undefined }, /sgd: momentum is undefined/);
  await refusesUse({ dampening: -1 }, /sgd: dampening is -1; it must be a number of at least 0/);
  await refusesUse({ weightDecay: Infinity }, /sgd: weightDecay is Infinity/);
  await refusesUse({ clipNorm: -1 }, /sgd: clipNorm is -1/);
  await refusesUse({ nesterov: 1 }, /sgd: nesterov is 1; it must be true or false/);
  await refusesUse({ nesterov: true }, /sgd: nesterov needs a momentum and no dampening; got 0 and 0/);
  await refusesUse({ nesterov: true, momentum: 0.9, dampening: 0.1 }, /nesterov .*; got 0.9 and 0.1/);
});

test.run();
