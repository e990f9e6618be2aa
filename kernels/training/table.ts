import type { Optimizer, TrainingForm, TrainingTable } from "../../engine/graph/training.ts";
import { check, checkOptions, show, UsageError } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { concat } from "../concat.ts";
import { conv2d } from "../conv2d/conv2d.ts";
import type { Conv2dOptions } from "../conv2d/geometry.ts";
import { add } from "../elementwise/add.ts";
import { gather } from "../gather.ts";
import { gradients } from "../gradients.ts";
import { linear } from "../linear/linear.ts";
import { crossEntropy } from "../loss/cross_entropy.ts";
import type { batchNorm } from "../norm/batchnorm.ts";
import { batchNormTrain } from "../norm/batchnorm_train.ts";
import { pad } from "../pad.ts";
import { slice } from "../slice.ts";
import { sum } from "../sum.ts";
import { adam } from "./adam.ts";
import { dropoutTrain } from "./dropout.ts";
import { packOf } from "./pack.ts";
import { running } from "./running.ts";
import { sgd } from "./sgd.ts";
import { squares } from "./squares.ts";
import { variants } from "./variants.ts";

/** Batch norm by the statistics of its batch, which move the running ones. */
const batchNormForm: TrainingForm = ({ x, mean, variance, weight, bias }, options) => {
  const { eps, momentum } = options as typeof batchNorm.options;
  const { y, statistics } = batchNormTrain(x, weight, bias, { eps });
  const count = sizeOf(x.shape) / x.shape[1];
  return { y, update: (norm) => running(statistics, mean, variance, norm, { momentum, count }) };
};

/** The fast kernels pad filters with zeros to a multiple of 4, but no bias that changes: that is added behind them. */
const conv2dForm: TrainingForm = ({ x, w, b, r }, given) => {
  const options = given as Conv2dOptions;
  const [channels] = w.shape;
  if (!b || r || options.activation !== "none" || channels % 4 === 0) return { y: conv2d(x, w, b, r, options) };
  return { y: add(conv2d(x, w, options), b.graph.reshape(b, [channels, 1, 1])) };
};

/** Outputs beside each other, each with its part of the bias. */
const splitLinear: TrainingTable["split"][string] = ({ x, b }, pieces, options) => {
  let first = 0;
  const parts = pieces.map((w) => {
    const bias = b && slice(b, { dim: 0, start: first, end: first + w.shape[0] });
    first += w.shape[0];
    return linear(x, w, bias, options);
  });
  return concat(...parts, { dim: -1 });
};

/** Options filled with defaults; throws a UsageError for others, and for what is no number of the range. */
function optionsOf<O extends object>(name: string, defaults: O, given: object): O {
  checkOptions(`the optimizer "${name}"`, given, Object.keys(defaults));
  const options = { ...defaults, ...given };
  for (const [key, value] of Object.entries(options)) {
    const what = `${name}: ${key}`;
    if (typeof defaults[key as keyof O] === "boolean") check(typeof value === "boolean", what, value, "true or false");
    else {
      const [most, wanted] = /^(beta|momentum)/.test(key)
        ? [1, "at least 0 and below 1"]
        : [Infinity, "a number of at least 0"];
      check(typeof value === "number" && value >= 0 && value < most, what, value, wanted);
    }
  }
  return options;
}

const sgdOf = (given: object): Optimizer => {
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
};

const adamOf = (name: string, decoupled: boolean, weightDecay: number) => (given: object) => {
  const { decoupled: _, ...defaults } = adam.options;
  const options = optionsOf(name, { ...defaults, weightDecay }, given);
  return {
    name,
    moments: ["m", "v"],
    update: ({ w, g, m, v, norm, rates }) => adam(w, g, m, v, norm, rates, { ...options, decoupled }),
    ratesOf: (step, rate) => [rate, rate / (1 - options.beta1 ** step), Math.sqrt(1 - options.beta2 ** step)],
  } satisfies Optimizer;
};

/** What training needs of operators. PyTorch's defaults. */
export const training: TrainingTable = {
  gradients,
  split: { linear: splitLinear },
  forms: { batchnorm: batchNormForm, conv2d: conv2dForm },
  optimizers: { sgd: sgdOf, adam: adamOf("adam", false, 0), adamw: adamOf("adamw", true, 0.01) },
  loss: (logits, labels, options) => crossEntropy(logits, labels, options),
  norm: (all) => all.map((each) => sum(squares(each), { dims: [0], keepDim: true })).reduce((a, b) => add(a, b)),
  dropout: (x, key, p, layer) => dropoutTrain(x, key, { p, layer }),
  pack: packOf,
  variants,
  slice: (x, start, end) => slice(x.graph.reshape(x, [sizeOf(x.shape)]), { dim: 0, start, end }),
  gather: (x, places) =>
    gather(pad(x.graph.reshape(x, [1, 1, 1, sizeOf(x.shape)]), { padding: [0, 1, 0, 0] }), places, { dim: 3 }),
};
