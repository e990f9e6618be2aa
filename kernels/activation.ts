import { checkChoice } from "../engine/ground/errors.ts";

/** The functions y = f(x) that kernels can apply to what they write, by the number that their WGSL knows them by. */
export const ACTIVATIONS = ["none", "relu", "relu6", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh"] as const;

export type Activation = (typeof ACTIVATIONS)[number];

/** The field `activation` of `struct Params`. */
export const activationCode = (activation: Activation): number => ACTIVATIONS.indexOf(activation);

/** The WGSL's specialization constants: the activation that is compiled in, none for those that all kernels have. */
export const activationConsts = ({ activation = "none" }: Readonly<Partial<Activated>>) => ({
  BEYOND_RELU: activation === "relu" ? 0 : activationCode(activation),
});

/** Throws a UsageError unless it is one. */
export const checkActivation = (kernel: string, activation: Activation): void =>
  checkChoice(`${kernel}: activation`, activation, ACTIVATIONS);

/** Operations per element, as a reader of the WGSL counts them. */
export const activationFlops = (activation: Activation): number => [0, 1, 2, 4, 5, 4, 4, 8][activationCode(activation)];

/** Options of a kernel that applies an activation to what it writes. */
export interface Activated {
  activation: Activation;
  /** Short for `activation: "relu"`. */
  relu?: boolean;
}

export const SHORTHANDS = { relu: (on: boolean): Activated => ({ activation: on ? "relu" : "none" }) };

/** What an error in front of an activation may be behind it: none is steeper than 1.1, and smooth ones round themselves. */
export const errorBehind = (activation: Activation, error: number): number =>
  ["none", "relu", "relu6"].includes(activation) ? error : 1.1 * error + 16 * 2 ** -23;

/** The functions themselves, in float64. */
export const activate: Readonly<Record<Activation, (x: number) => number>> = {
  none: (x) => x,
  relu: (x) => Math.max(x, 0),
  relu6: (x) => Math.min(Math.max(x, 0), 6),
  silu: (x) => x / (1 + Math.exp(-x)),
  hardswish: (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6,
  hardsigmoid: (x) => Math.min(Math.max(x + 3, 0), 6) / 6,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};
