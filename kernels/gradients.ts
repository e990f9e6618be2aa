import type { AnyGradient, Gradients } from "../engine/graph/gradients.ts";
import type { Graph } from "../engine/graph/graph.ts";
import type { TrainingForm } from "../engine/graph/training.ts";
import type { Variants } from "../engine/graph/variant.ts";
import type { Activation } from "./elementwise/activation_gradient.ts";
import { add } from "./elementwise/add.ts";

/** What training loads of an operator. */
export interface Differentiable {
  readonly gradient: AnyGradient;
  /** How it runs where its parameters are trained, if not as it stands. */
  readonly form?: TrainingForm;
  /** Of the operators that its gradient adds. */
  readonly variants?: Variants;
}

/** For a graph, or for any. */
type Load = (graph?: Graph) => Promise<Differentiable>;

/** Of a module that has more than one. */
const part =
  <M>(load: () => Promise<M>, pick: (module: M) => Differentiable): Load =>
  async () =>
    pick(await load());

const activation = (name: Activation): Load =>
  part(
    () => import("./elementwise/activation_gradient.ts"),
    ({ gradientOf, variants }) => ({ gradient: gradientOf(name), variants }),
  );

/** Every operator that has a gradient, which stands beside it: a net that is trained loads those that it has. */
const rows: Readonly<Record<string, Load>> = {
  adaptive_avgpool2d: () => import("./pool2d/adaptive_avgpool2d_gradient.ts"),
  add: () => import("./elementwise/add_gradient.ts"),
  avgpool2d: () => import("./pool2d/avgpool2d_gradient.ts"),
  batchnorm: () => import("./norm/batchnorm_gradient.ts"),
  batchnorm_train: part(
    () => import("./norm/batchnorm_gradient.ts"),
    ({ trainGradient }) => ({ gradient: trainGradient }),
  ),
  channel_shuffle: () => import("./channel_shuffle_gradient.ts"),
  clamp: part(
    () => import("./elementwise/activation_gradient.ts"),
    ({ clampGradient, variants }) => ({ gradient: clampGradient, variants }),
  ),
  concat: () => import("./concat_gradient.ts"),
  conv2d: convolution,
  copy: () => import("./copy_gradient.ts"),
  cross_entropy: () => import("./loss/cross_entropy_gradient.ts"),
  dropout: () => import("./training/dropout.ts"),
  gather: () => import("./gather_gradient.ts"),
  gelu: activation("gelu"),
  hardsigmoid: activation("hardsigmoid"),
  hardswish: activation("hardswish"),
  layernorm: () => import("./norm/layernorm_gradient.ts"),
  leaky_relu: activation("leaky_relu"),
  linear: () => import("./linear/linear_gradient.ts"),
  lrn: () => import("./norm/lrn_gradient.ts"),
  matmul: () => import("./matmul_gradient.ts"),
  maxpool2d: () => import("./pool2d/maxpool2d_gradient.ts"),
  mean: part(
    () => import("./reduce_gradient.ts"),
    ({ meanGradient }) => ({ gradient: meanGradient }),
  ),
  mul: () => import("./elementwise/mul_gradient.ts"),
  normalize: () => import("./norm/normalize_gradient.ts"),
  pad: () => import("./pad_gradient.ts"),
  permute: () => import("./permute_gradient.ts"),
  relu: activation("relu"),
  roll: () => import("./roll_gradient.ts"),
  sigmoid: activation("sigmoid"),
  silu: activation("silu"),
  slice: () => import("./slice_gradient.ts"),
  softmax: () => import("./softmax_gradient.ts"),
  sum: part(
    () => import("./reduce_gradient.ts"),
    ({ sumGradient }) => ({ gradient: sumGradient }),
  ),
  tanh: activation("tanh"),
};

/** Only strides, and padding beyond the filters, need more than convolutions with the filters turned. */
async function convolution(graph?: Graph): Promise<Differentiable> {
  const { gradientBy, isPlain, variants } = await import("./conv2d/conv2d_gradient.ts");
  if (graph && isPlain(graph)) return { gradient: gradientBy(), variants };
  const strided = await import("./conv2d/conv2d_strided_gradient.ts");
  return { gradient: gradientBy(strided.byInput), variants: { ...variants, ...strided.variants } };
}

/**
 * What training needs of operators by their names, in a graph if given; all there are, if not said. Those without a gradient are
 * left out.
 */
export async function loadDifferentiable(
  names: Iterable<string> = Object.keys(rows),
  graph?: Graph,
): Promise<Readonly<Record<string, Differentiable>>> {
  const known = [...new Set(names)].filter((name) => Object.hasOwn(rows, name));
  return Object.fromEntries(await Promise.all(known.map(async (name) => [name, await rows[name](graph)] as const)));
}

/** The gradients among them. */
export const gradientsOf = (all: Readonly<Record<string, Differentiable>>): Gradients => ({
  of: Object.fromEntries(Object.entries(all).map(([name, { gradient }]) => [name, gradient])),
  sum: (a, b) => add(a, b),
});

/** The gradients of operators by their names; of all there are, if not said. */
export const loadGradients = async (names?: Iterable<string>): Promise<Gradients> =>
  gradientsOf(await loadDifferentiable(names));
