import type { Graph } from "../../engine/graph/graph.ts";
import type { Optimizer, TrainingTable } from "../../engine/graph/training.ts";
import { check, checkOptions, show, UsageError } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { concat } from "../concat.ts";
import { add } from "../elementwise/add.ts";
import { gradientsOf, loadDifferentiable } from "../gradients.ts";
import { anyLayout, averaged } from "../layout/layout.ts";
import { linear } from "../linear/linear.ts";
import { crossEntropy } from "../loss/cross_entropy.ts";
import { slice } from "../slice.ts";
import { sum } from "../sum.ts";
import { adam } from "./adam.ts";
import { dropoutTrain } from "./dropout.ts";
import { flat } from "./flat.ts";
import { packOf } from "./pack.ts";
import { sgd } from "./sgd.ts";
import { squares } from "./squares.ts";

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

/** What the nets have no layer for, and what adds other operators where a weight is over the binding limit. */
const ALWAYS = ["add", "concat", "cross_entropy", "dropout", "slice"];

/** Of what parameters that are derived from others are made. */
const DERIVING = ["gather", "pad"];

/** What training needs of operators, by PyTorch's defaults: those of a graph, or all there are. */
export async function tableFor(graph?: Graph): Promise<TrainingTable> {
  const derives = !graph || graph.nodes.some((node) => node.kind === "param" && node.from);
  const names = graph && [...ALWAYS, ...(derives ? DERIVING : []), ...namesOf(graph)];
  const all = await loadDifferentiable(names);
  const values = Object.values(all);
  return {
    gradients: gradientsOf(all),
    split: { linear: splitLinear },
    forms: Object.fromEntries(Object.entries(all).flatMap(([name, { form }]) => (form ? [[name, form]] : []))),
    optimizers: { sgd: sgdOf, adam: adamOf("adam", false, 0), adamw: adamOf("adamw", true, 0.01) },
    loss: (logits, labels, options) => crossEntropy(logits, labels, options),
    norm: (arenas) =>
      arenas.map((each) => sum(squares(each), { dims: [0], keepDim: true })).reduce((a, b) => add(a, b)),
    dropout: (x, key, p, layer) => dropoutTrain(x, key, { p, layer }),
    pack: packOf,
    variants: Object.assign({ add: [anyLayout, flat], sum: [averaged] }, ...values.map(({ variants }) => variants)),
    slice: (x, start, end) => slice(x.graph.reshape(x, [sizeOf(x.shape)]), { dim: 0, start, end }),
    ...(derives && { gather: (await import("./gather_places.ts")).gatherPlaces }),
  };
}

function namesOf({ nodes }: Graph): string[] {
  const names = nodes.flatMap((node) => (node.kind === "op" ? [node.kernel.name] : []));
  return names.includes("batchnorm") ? [...names, "batchnorm_train"] : names;
}
