import { UsageError } from "./errors.ts";
import type { Graph, OpNode } from "./graph.ts";
import type { AnyVariant, Traits, Variants } from "./kernel.ts";
import { prune, rewrite } from "./passes.ts";

/** A variant per operator that must be taken, such as `{ conv2d: "conv2d" }` for the plain kernel. */
export type Forced = Readonly<Record<string, string>>;

/**
 * Replaces operators by the first of their variants that takes the call on this device and gains by it. The graph
 * computes the same values as before. Throws a UsageError when a forced variant does not exist or does not apply.
 */
export function lower(
  graph: Graph,
  outputs: readonly string[],
  { traits, variants }: { readonly traits: Traits; readonly variants: Variants },
  forced: Forced = {},
): Graph {
  const lowered = rewrite(graph, (node, _id, next) => {
    if (node.kind !== "op") return "copy";
    const known = variants[node.kernel.name] ?? [];
    const call = graph.callOf(node);
    const inputs = next.inputsOf(node);
    const wanted = forced[node.kernel.name];
    if (wanted === node.kernel.name) return "copy";
    checkForced(node, known, wanted);
    const reasons: string[] = [];
    for (const variant of known) {
      if (wanted !== undefined && variant.name !== wanted) continue;
      if (wanted === undefined && variant.gains?.(call, traits, inputs) === false) continue;
      const reason = variant.refuses(call, traits, inputs);
      if (reason === undefined) return variant.build(inputs, call, traits);
      reasons.push(`${variant.name}: ${reason}`);
    }
    if (wanted !== undefined)
      throw new UsageError(`${node.kernel.name} cannot be run as asked for: ${reasons.join("; ")}`);
    return "copy";
  });
  return prune(lowered, outputs);
}

function checkForced({ kernel }: OpNode, known: readonly AnyVariant[], wanted: string | undefined): void {
  const names = [kernel.name, ...known.map(({ name }) => name)];
  if (wanted === undefined || names.includes(wanted)) return;
  throw new UsageError(`${kernel.name} has no variant "${wanted}"; it has ${names.join(", ")}`);
}
