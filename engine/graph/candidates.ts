import { mapValues } from "../ground/records.ts";
import { callOf, type Graph, isParam, type OpNode, readsOf } from "./graph.ts";
import type { Named } from "./kernel.ts";
import type { Value } from "./value.ts";
import type { Setting, Variants } from "./variant.ts";

/** A way to compute an operator: its own kernel, or one of its variants. */
export interface Candidate {
  readonly name: string;
  /** What it adds to the error: see Variant. */
  readonly error: number;
  readonly layoutOnly: boolean;
  /** Why it cannot take the call; undefined if it can. */
  readonly reason: string | undefined;
  /** Whether it may gain anything over the operator's own kernel. Asked only where it can take the call. */
  gains(): boolean;
  /** Adds its nodes to the graph of its inputs. */
  make(): Value;
}

/** All ways to compute an operator on these inputs, its own kernel first, then its variants in the order of the table. */
export function candidatesOf(
  graph: Graph,
  node: OpNode,
  inputs: Readonly<Record<string, Value>>,
  variants: Variants,
  setting: Setting,
): readonly [Candidate, ...Candidate[]] {
  const { kernel, options } = node;
  const call = callOf(graph, node);
  const named = inputs as Named<string, Value>;
  const first = Object.values(inputs)[0];
  const plain: Candidate = {
    name: kernel.name,
    error: 0,
    layoutOnly: false,
    reason: undefined,
    gains: () => false,
    make: () => first.graph.add(kernel, inputs, options),
  };
  const others = (variants[kernel.name] ?? []).map((variant) => ({
    name: variant.name,
    error: variant.error?.[setting.dtype] ?? 0,
    layoutOnly: variant.layoutOnly ?? false,
    reason: variant.refuses(call, setting, named),
    gains: () => variant.gains?.(call, setting, named) ?? true,
    make: () => variant.build(named, call, setting, kernel),
  }));
  return [plain, ...others];
}

/** For every value whether all that reads it takes it in NHWC; false for what is read as it is, or not at all. */
export function readInNhwc(graph: Graph, outputs: readonly string[], variants: Variants, setting: Setting): boolean[] {
  const asIs = new Set(outputs.map((name) => graph.find(name)));
  const read = new Set<number>();
  for (const node of graph.nodes) {
    for (const id of readsOf(node)) read.add(id);
    if (node.kind === "op" && takesNhwc(graph, node, variants, setting)) continue;
    for (const id of readsOf(node)) asIs.add(id);
  }
  return graph.nodes.map((_, id) => read.has(id) && !asIs.has(id));
}

function takesNhwc(graph: Graph, node: OpNode, variants: Variants, setting: Setting): boolean {
  const inputs = mapValues(node.inputs, (id) => graph.value(id));
  const images = Object.values(inputs).filter((value) => !isParam(value));
  if (images.length === 0) return false;
  const call = callOf(graph, node);
  return (variants[node.kernel.name] ?? []).some(
    (variant) => variant.nhwc && variant.refuses(call, setting, inputs) === undefined,
  );
}
