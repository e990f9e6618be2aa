import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { Gradient, GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { Variants } from "../../engine/graph/variant.ts";
import { check, checkChoice, ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { anyLayout } from "../layout/layout.ts";
import { flat } from "../training/flat.ts";
import { wgsl } from "./activation_gradient.wgsl.ts";
import type { clamp } from "./clamp.ts";
import { normalDensity, normalTail } from "./error_function.ts";

const WORKGROUP = 64;

/** Which functions it knows, by the number that its WGSL knows them by. */
const ACTIVATIONS = [
  "clamp",
  "gelu",
  "hardsigmoid",
  "hardswish",
  "leaky_relu",
  "relu",
  "relu6",
  "sigmoid",
  "silu",
  "tanh",
] as const;

export type Activation = (typeof ACTIVATIONS)[number];

interface Options {
  readonly activation: Activation;
  readonly low: number;
  readonly high: number;
  readonly negativeSlope: number;
}

/**
 * Those whose derivative follows from f(x), which is what they take for x, as PyTorch does: so x need not be kept, and f is
 * applied by the kernel in front.
 */
const BY_OUTPUT: readonly Activation[] = ["relu", "relu6", "sigmoid", "tanh"];

/** dy f'(x) of any shape: the gradient by x from that by f(x). `low` and `high` are clamp's, `negativeSlope` is leaky_relu's. */
export const activationGradient = defineKernel({
  name: "activation_gradient",
  inputs: ["x", "dy"],
  options: { activation: undefined as unknown, low: -Infinity, high: Infinity, negativeSlope: 0.01 } as Options,
  wgsl,

  shape({ x, dy }, { activation, ...numbers }) {
    checkChoice("activation_gradient: activation", activation, ACTIVATIONS);
    for (const [option, value] of Object.entries(numbers)) {
      check(typeof value === "number" && !Number.isNaN(value), `activation_gradient: ${option}`, value, "a number");
    }
    if (sameShape(x, dy)) return x;
    throw new ShapeError(`activation_gradient: dy is ${formatShape(dy)}; it must be ${formatShape(x)} like x`);
  },

  cost: ({ y }) => ({ flops: 10 * sizeOf(y) }),
  consts: ({ options }) => ({ WORKGROUP, ACTIVATION: ACTIVATIONS.indexOf(options.activation) }),
  params: ({ y, options: { low, high, negativeSlope } }) => ({ count: sizeOf(y), low, high, negativeSlope }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

/** Of the activations themselves, too: those whose gradients read x are dispatches of their own in training. */
export const variants: Variants = Object.fromEntries(
  ["activation_gradient", ...ACTIVATIONS].map((name) => [name, [anyLayout, flat]]),
);

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** What they make of dy at x. */
const derivatives: Readonly<Record<Activation, (x: number, dy: number, options: Options) => number>> = {
  clamp: (x, dy, { low, high }) => (x >= low && x <= high ? dy : 0),
  gelu: (x, dy) => dy * (x < 0 ? geluLeft(-x) : 1 - geluLeft(x)),
  hardsigmoid: (x, dy) => (x > -3 && x < 3 ? dy / 6 : 0),
  hardswish: (x, dy) => (x <= -3 ? 0 : x >= 3 ? dy : dy * (x / 3 + 0.5)),
  leaky_relu: (x, dy, { negativeSlope }) => (x > 0 ? dy : dy * negativeSlope),
  relu: (x, dy) => (x <= 0 ? 0 : dy),
  relu6: (x, dy) => (x <= 0 || x >= 6 ? 0 : dy),
  sigmoid: (y, dy) => dy * y * (1 - y),
  silu: (x, dy) => dy * sigmoid(x) * (1 + x * sigmoid(-x)),
  tanh: (y, dy) => dy * (1 - y) * (1 + y),
};

/** The derivative of gelu at -a. */
const geluLeft = (a: number): number => normalTail(a) - a * normalDensity(a);

export const reference: ReferenceOf<typeof activationGradient> = {
  example: { shapes: { x: [2, 3, 5, 7], dy: [2, 3, 5, 7] }, options: { activation: "silu" } },
  compute: ({ x, dy }, { options }) =>
    Float64Array.from(x, (v, i) => derivatives[options.activation](v, dy[i], options)),
};

/** The gradient of the operator of that name, whose options are among those of the kernel. */
export const gradientOf =
  (activation: Activation): Gradient<"x", object> =>
  ({ inputs: { x }, options, y, dy }) => ({
    x: () => activationGradient(BY_OUTPUT.includes(activation) ? y : x, dy, { activation, ...options }),
  });

/** From 0 to 6 it is taken for relu6: PyTorch lets gradients through at the ends of clamp, but not of relu6. */
export const clampGradient: GradientOf<typeof clamp> = (call) => {
  const { low, high } = call.options;
  return gradientOf(low === 0 && high === 6 ? "relu6" : "clamp")(call);
};
