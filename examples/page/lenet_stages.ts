// LeNet-5 as a chain of stages, and what each of their values is made of: pure functions of the net's own tensors.
import type { Tensor } from "../../engine/ground/tensor.ts";

/** How a stage's values come about: products with a filter, a function of one value, or a mean. */
export type Step =
  | { readonly kind: "input" }
  | { readonly kind: "sum"; readonly from: string; readonly kernel: number }
  | { readonly kind: "tanh"; readonly from: string }
  | { readonly kind: "mean"; readonly from: string; readonly kernel: number };

export interface Stage {
  /** How many maps, and the side of each. */
  readonly maps: number;
  readonly side: number;
  readonly step: Step;
}

/** By the names that the library has for its layers, which are those of the weights of sums, too. */
export const STAGES: Readonly<Record<string, Stage>> = {
  input: { maps: 1, side: 32, step: { kind: "input" } },
  conv1: { maps: 6, side: 28, step: { kind: "sum", from: "input", kernel: 5 } },
  tanh1: { maps: 6, side: 28, step: { kind: "tanh", from: "conv1" } },
  pool1: { maps: 6, side: 14, step: { kind: "mean", from: "tanh1", kernel: 2 } },
  conv2: { maps: 16, side: 10, step: { kind: "sum", from: "pool1", kernel: 5 } },
  tanh2: { maps: 16, side: 10, step: { kind: "tanh", from: "conv2" } },
  pool2: { maps: 16, side: 5, step: { kind: "mean", from: "tanh2", kernel: 2 } },
  conv3: { maps: 120, side: 1, step: { kind: "sum", from: "pool2", kernel: 5 } },
  tanh3: { maps: 120, side: 1, step: { kind: "tanh", from: "conv3" } },
  linear1: { maps: 84, side: 1, step: { kind: "sum", from: "tanh3", kernel: 1 } },
  tanh4: { maps: 84, side: 1, step: { kind: "tanh", from: "linear1" } },
  linear2: { maps: 10, side: 1, step: { kind: "sum", from: "tanh4", kernel: 1 } },
};

/** One value of a stage. */
export interface Unit {
  readonly stage: string;
  readonly map: number;
  readonly y: number;
  readonly x: number;
}

/** Every stage's values and every weight of the net, by their names. */
export type Tensors = ReadonlyMap<string, Tensor>;

/** A part of a map and the part of a filter that it is multiplied with. */
export interface Term {
  readonly map: number;
  /** [kernel, kernel] each. */
  readonly patch: readonly number[];
  readonly filter: readonly number[];
  /** Of all products. */
  readonly sum: number;
}

export interface Explanation {
  /** The stage that the patches are of. */
  readonly from: string;
  readonly kernel: number;
  readonly terms: readonly Term[];
  /** Nothing where only a mean is taken. */
  readonly bias?: number;
  /** The bias and all products. */
  readonly sum: number;
  /** What that becomes, where it goes through a function. */
  readonly tanh?: number;
}

/** A square part of a stage: of one map, or of all of them. */
export interface Field {
  readonly stage: string;
  readonly map?: number;
  readonly y: number;
  readonly x: number;
  readonly side: number;
}

/** What the net computed for a unit. */
export function valueAt(tensors: Tensors, { stage, map, y, x }: Unit): number {
  const { side } = STAGES[stage];
  return tensors.get(stage)?.data[(map * side + y) * side + x] ?? Number.NaN;
}

/** The stage whose weights and patches make a unit: that before its tanh, if it has one. */
export function summing(stage: string): string {
  const { step } = STAGES[stage];
  return step.kind === "tanh" ? step.from : stage;
}

/** A unit's value once more, in float64, from what it is made of; nothing for the input. */
export function explain(tensors: Tensors, unit: Unit): Explanation | undefined {
  const stage = summing(unit.stage);
  const { step } = STAGES[stage];
  if (step.kind !== "sum" && step.kind !== "mean") return undefined;
  const { from, kernel } = step;
  const terms = sourcesOf(step, unit.map).map((map) => termOf(tensors, stage, map, unit));
  const bias = step.kind === "sum" ? tensors.get(`${stage}.bias`)?.data[unit.map] : undefined;
  const sum = terms.reduce((total, term) => total + term.sum, bias ?? 0);
  return { from, kernel, terms, bias, sum, ...(stage !== unit.stage && { tanh: Math.tanh(sum) }) };
}

/** The maps that a map is made of. */
function sourcesOf(step: Step, map: number): number[] {
  if (step.kind !== "sum") return [map];
  return Array.from({ length: STAGES[step.from].maps }, (_, source) => source);
}

function termOf(tensors: Tensors, stage: string, map: number, unit: Unit): Term {
  const { step } = STAGES[stage];
  if (step.kind !== "sum" && step.kind !== "mean") throw new Error(`${stage} has no filters`);
  const { from, kernel, kind } = step;
  const stride = kind === "mean" ? kernel : 1;
  const cells = Array.from({ length: kernel * kernel }, (_, i) => [Math.floor(i / kernel), i % kernel]);
  const patch = cells.map(([y, x]) =>
    valueAt(tensors, { stage: from, map, y: stride * unit.y + y, x: stride * unit.x + x }),
  );
  const weights = tensors.get(`${stage}.weight`)?.data ?? [];
  const first = (unit.map * STAGES[from].maps + map) * kernel * kernel;
  const filter = cells.map((_, i) => (kind === "mean" ? 1 / kernel ** 2 : weights[first + i]));
  return { map, patch, filter, sum: patch.reduce((sum, value, i) => sum + value * filter[i], 0) };
}

/** What a unit can see of every stage before it, nearest first; the last is its receptive field on the input. */
export function fieldsOf({ stage, map, y, x }: Unit): Field[] {
  const fields: Field[] = [];
  let field: Field = { stage, map, y, x, side: 1 };
  for (;;) {
    const { step } = STAGES[field.stage];
    if (step.kind === "input") return fields;
    const kernel = step.kind === "tanh" ? 1 : step.kernel;
    const stride = step.kind === "mean" ? kernel : 1;
    field = {
      stage: step.from,
      map: step.kind === "sum" ? undefined : field.map,
      y: stride * field.y,
      x: stride * field.x,
      side: stride * (field.side - 1) + kernel,
    };
    fields.push(field);
  }
}
