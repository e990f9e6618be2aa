import type { Shape } from "../ground/tensor.ts";
import type { Gradients } from "./gradients.ts";
import type { Derivation, Graph } from "./graph.ts";
import type { Value } from "./value.ts";
import type { Variants } from "./variant.ts";

/** How an operator with parameters that are trained runs, where it does not as it stands: batch norm by its batch. */
export type TrainingForm = (
  inputs: Readonly<Record<string, Value>>,
  options: object,
) => {
  readonly y: Value;
  /** Adds what changes its statistics in place, unless `norm`, that of all gradients, is not finite. */
  update?(norm: Value): Value;
};

/** How parameters are changed by their gradients. */
export interface Optimizer {
  readonly name: string;
  /** What it keeps for every parameter, by the names of its kernel's inputs. */
  readonly moments: readonly string[];
  /**
   * Adds a step to a graph, on many parameters at once and in place: of weights w, gradients g and the moments, [n] each, norm,
   * the sum of the squares of all gradients, and rates.
   */
  update(values: Readonly<Record<string, Value>>): Value;
  /** The numbers that differ between steps, of which `step` counts from 1. */
  ratesOf(step: number, learningRate: number): readonly number[];
}

/** Gradients by several parameters, from the first to the last, and the value whose parts they are. */
export interface Together {
  readonly whole: Value;
  readonly names: readonly string[];
}

/** What the engine has to be told of operators to train: kernels/training/table.ts. */
export interface TrainingTable {
  readonly gradients: Gradients;
  /** By the names of the operators that a net has at inference. */
  readonly forms: Readonly<Record<string, TrainingForm>>;
  /**
   * How operators run whose weight is over the device's binding limit, if any is: on pieces [o, ...] of it, one after the other.
   */
  readonly split?: Readonly<
    Record<string, (inputs: Readonly<Record<string, Value>>, pieces: readonly Value[], options: object) => Value>
  >;
  /** By their names; each throws a UsageError for options that make no sense. */
  readonly optimizers: Readonly<Record<string, (options: object) => Promise<Optimizer>>>;
  /** The mean cross entropy of logits [N, K] and labels [N]. */
  loss(logits: Value, labels: Value, options: object): Value;
  /** The sum of the squares of gradients. */
  norm(gradients: readonly Value[]): Value;
  /** `key` is one number that differs from step to step, `layer` one that differs between layers. Where a net drops something. */
  dropout?(x: Value, key: Value, options: { readonly p: number; readonly layer: number }): Value;
  /** Filters [O, C, ...] as fast convolutions want them: see Graph.training. */
  pack(w: Value, tile?: number, columns?: boolean): Value;
  /** Those that only training has. */
  readonly variants: Variants;
  /** The elements of x from `start` on, but for those from `end` on: [end - start]. */
  slice(x: Value, start: number, end: number): Value;
  /** Those of the gradients that together are one value, as they lie in memory: `offsets` says where. Where a net has some. */
  together?(gradients: ReadonlyMap<string, Value>, offsets: ReadonlyMap<string, number>): readonly Together[];
  /**
   * A parameter that is derived from others by ordinary operators, through which gradients go. Throws a UsageError where it is
   * more than elements of its sources. Where a net has some.
   */
  derive?(name: string, shape: Shape, from: Derivation, sources: readonly Value[]): Value;
}

/** Loads what makes the table when somebody trains: for a net, a device that binds so many bytes, and with dropout or without. */
export type LoadTraining = () => Promise<{
  tableFor(graph: Graph, maxBinding: number, drops: boolean): Promise<TrainingTable>;
}>;
