import { checkChoice, UsageError } from "../ground/errors.ts";
import type { Dtype } from "../ground/options.ts";
import { formatShape } from "../ground/tensor.ts";
import { type Candidate, candidatesOf, readInNhwc } from "./candidates.ts";
import { fastest, tryOut } from "./estimate.ts";
import { callOf, explain, type Graph, layerOf } from "./graph.ts";
import type { AnyCall } from "./kernel.ts";
import { prune, rewrite } from "./passes.ts";
import type { Value } from "./value.ts";
import type { Setting, Traits, Variants } from "./variant.ts";

/** A variant per operator that must be taken, such as `{ conv2d: "conv2d" }` for the plain kernel. */
export type Forced = Readonly<Record<string, string>>;

/** What variants are chosen for. */
export interface Target {
  readonly traits: Traits;
  readonly variants: Variants;
  /** Variants that were measured to be best on this device, by callKey(): see tune.ts. */
  readonly tuned?: ReadonlyMap<string, string>;
}

export interface LowerOptions {
  readonly forced?: Forced;
  /**
   * What variants that round more than the plain kernels may add to the error of the outputs, over their rms; 0 is to go
   * without them. Errors of layers are taken to be independent: their squares add up. Where that is too much, those with the
   * largest are left out.
   */
  readonly tolerance?: number;
  /** What one of them may add at most; the tolerance if not said. */
  readonly most?: number;
  /** How tensors are stored; f32 if not said. */
  readonly dtype?: Dtype;
}

/**
 * The default of LowerOptions.tolerance: about what float32 itself costs a deep net. Of float16, which costs ResNet-18 5e-4, ten
 * times as much.
 */
export const TOLERANCE: Readonly<Record<Dtype, number>> = { f32: 2e-5, f16: 5e-3 };

/** A candidate, and its value where it was tried out. */
type Picked = Pick<Candidate, "name" | "error" | "make"> & { readonly value?: Value };

/**
 * Replaces operators by their best variants that take the call on this device: one that is asked for, else the one that
 * was measured to be fastest, else the one with the smallest estimate. The graph computes the same values as before.
 * Throws a UsageError when a variant that is asked for does not exist or does not apply.
 */
export function lower(graph: Graph, outputs: readonly string[], target: Target, options: LowerOptions = {}): Graph {
  const { traits, variants, tuned } = target;
  const { forced = {}, dtype = "f32", tolerance = TOLERANCE[dtype], most = tolerance } = options;
  const setting: Setting = { ...traits, dtype };
  const inNhwc = readInNhwc(graph, outputs, variants, setting);
  let squaredError = 0;
  const lowered = rewrite(graph, (node, id, next) => {
    if (node.kind !== "op" || !Object.hasOwn(variants, node.kernel.name)) return "keep";
    const { kernel } = node;
    const candidates = candidatesOf(graph, node, next.inputsOf(node), variants, setting);
    const applicable = candidates.filter(({ reason }) => reason === undefined);

    const first = next.graph.nodes.length;
    const pick = ({ name, error, make, value = make() }: Picked, why: string) => {
      explain(next.graph, first, { layer: layerOf(graph, id), operator: kernel.name, variant: name, why });
      squaredError += error ** 2;
      return value;
    };

    const wanted = forced[kernel.name];
    if (wanted !== undefined) {
      const names = candidates.map(({ name }) => name);
      checkChoice(`${kernel.name}: the variant`, wanted, names);
      const asked = candidates[names.indexOf(wanted)];
      if (asked.reason === undefined) return pick({ ...asked, error: 0 }, "asked for");
      throw new UsageError(
        `${kernel.name} cannot be run as asked for: ${wanted}: ${asked.reason}; here it can be run as ${listOf(applicable)}`,
      );
    }
    const precise = applicable.filter(({ error }) => error <= most);
    const measured = tuned?.get(callKey(kernel.name, callOf(graph, node), dtype));
    const best = precise.find(({ name }) => name === measured);
    if (best) return pick(best, "measured on this adapter");
    const [plain] = candidates;
    const gaining = precise.filter((candidate) => candidate.gains());
    const rivals = gaining.every(({ layoutOnly }) => layoutOnly) ? [plain, ...gaining] : gaining;
    if (gaining.length === 0) return pick(plain, "none gains here");
    if (rivals.length === 1) return pick(gaining[0], "the only one that gains");
    if (!traits.rates) return pick(gaining[0], "the first that applies");
    const tried = rivals.map((rival) => ({ ...rival, ...tryOut(next.graph, rival.make, setting, inNhwc[id]) }));
    const possible = tried.filter(({ seconds }) => seconds !== Infinity);
    if (possible.length === 0) return pick(plain, "none is for this kind of device");
    const winner = fastest(possible);
    if (winner.name === plain.name) return pick(winner, "none gains here");
    if (gaining.length === 1) return pick(winner, "the only one that gains");
    if (possible.length === 1) return pick(winner, "the only one for this kind of device");
    const estimates = possible.map(({ name, seconds = 0 }) => `${name} ${(seconds * 1e3).toPrecision(3)} ms`);
    return pick(winner, `estimated: ${estimates.join(", ")}`);
  });
  // Too much together: without those that add the most.
  if (squaredError > tolerance ** 2) return lower(graph, outputs, target, { ...options, most: most / 3 });
  const result = prune(lowered, outputs);
  for (const variant of Object.values(variants).flat()) variant.finish?.(result, outputs);
  return result;
}

const listOf = (all: readonly { readonly name: string }[]): string => all.map(({ name }) => name).join(", ");

/** What the speed of an operator depends on: its name, the shapes of its inputs, its options, how tensors are stored. */
export function callKey(operator: string, { shapes, options }: AnyCall, dtype: Dtype = "f32"): string {
  const inputs = Object.entries(shapes).map(([name, shape]) => `${name} ${formatShape(shape)}`);
  return `${operator} ${inputs.join(", ")} ${JSON.stringify(options)}${dtype === "f32" ? "" : ` ${dtype}`}`;
}
