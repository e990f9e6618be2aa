import { UsageError } from "../ground/errors.ts";
import { formatShape } from "../ground/tensor.ts";
import { fastest, tryOut } from "./estimate.ts";
import type { Graph, Value } from "./graph.ts";
import type { AnyVariant, Call, Dtype, Traits, Variants } from "./kernel.ts";
import { prune, rewrite } from "./passes.ts";

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
   * without them. Errors of layers are taken to be independent: their squares add up.
   */
  readonly tolerance?: number;
}

/** The default of LowerOptions.tolerance: about what float32 itself costs a deep net. */
export const TOLERANCE = 2e-5;

/**
 * Replaces operators by their best variants that take the call on this device: one that is asked for, else the one that
 * was measured to be fastest, else the one with the smallest estimate. The graph computes the same values as before.
 * Throws a UsageError when a variant that is asked for does not exist or does not apply.
 */
export function lower(
  graph: Graph,
  outputs: readonly string[],
  { traits, variants, tuned }: Target,
  { forced = {}, tolerance = TOLERANCE }: LowerOptions = {},
): Graph {
  let squaredError = 0;
  const lowered = rewrite(graph, (node, id, next) => {
    const known = (node.kind === "op" && variants[node.kernel.name]) || [];
    if (node.kind !== "op" || known.length === 0) return "copy";
    const { kernel } = node;
    const call = graph.callOf(node);
    const inputs = next.inputsOf(node);
    const candidates = known.map((variant) => ({
      ...variant,
      reason: variant.refuses(call, traits, inputs),
      make: () => variant.build(inputs, call, traits, kernel),
    }));
    const plain = {
      name: kernel.name,
      error: 0,
      reason: undefined,
      make: () => next.graph.add(kernel, inputs, node.options),
    };
    const applicable = [plain, ...candidates.filter(({ reason }) => reason === undefined)];

    const first = next.graph.nodes.length;
    const pick = (
      { name, error = 0, make }: Pick<AnyVariant, "name" | "error"> & { make(): Value },
      why: string,
      value = make(),
    ) => {
      next.graph.explain(first, { layer: graph.layerOf(id), operator: kernel.name, variant: name, why });
      squaredError += error ** 2;
      return value;
    };

    const wanted = forced[kernel.name];
    if (wanted !== undefined) {
      const asked = [plain, ...candidates].find(({ name }) => name === wanted);
      if (!asked)
        throw new UsageError(`${kernel.name} has no variant "${wanted}"; it has ${listOf([plain, ...known])}`);
      if (asked.reason === undefined) return pick({ ...asked, error: 0 }, "asked for");
      throw new UsageError(
        `${kernel.name} cannot be run as asked for: ${wanted}: ${asked.reason}; here it can be run as ${listOf(applicable)}`,
      );
    }
    const precise = applicable.filter(({ error = 0 }) => error <= tolerance);
    const measured = tuned?.get(callKey(kernel.name, call, traits.dtype));
    const best = precise.find(({ name }) => name === measured);
    if (best) return pick(best, "measured on this adapter");
    const gaining = candidates.filter(
      (variant) => precise.includes(variant) && variant.gains?.(call, traits, inputs) !== false,
    );
    if (gaining.length < 2)
      return pick(gaining[0] ?? plain, gaining[0] ? "the only one that gains" : "none gains here");
    if (!traits.rates) return pick(gaining[0], "the first that applies");
    const tried = gaining.map((variant) => ({ ...variant, ...tryOut(next.graph, variant.make, traits) }));
    const estimates = tried.map(({ name, seconds = 0 }) => `${name} ${(seconds * 1e3).toPrecision(3)} ms`);
    const winner = fastest(tried);
    return pick(winner, `estimated: ${estimates.join(", ")}`, winner.value);
  });
  if (Math.sqrt(squaredError) <= tolerance) return prune(lowered, outputs);
  return lower(graph, outputs, { traits, variants, tuned }, { forced, tolerance: 0 });
}

const listOf = (all: readonly { readonly name: string }[]): string => all.map(({ name }) => name).join(", ");

/** What the speed of an operator depends on: its name, the shapes of its inputs, its options, how tensors are stored. */
export function callKey(operator: string, { shapes, options }: Call<string, object>, dtype: Dtype = "f32"): string {
  const inputs = Object.entries(shapes).map(([name, shape]) => `${name} ${formatShape(shape)}`);
  return `${operator} ${inputs.join(", ")} ${JSON.stringify(options)}${dtype === "f32" ? "" : ` ${dtype}`}`;
}
