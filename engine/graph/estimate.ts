import { type Graph, type OpNode, readsOf, type Value } from "./graph.ts";
import { bytesOnce, type Rates, type Traits } from "./kernel.ts";

/** Estimated seconds of an operator on a device: the larger of arithmetic and memory, its dispatch, and its compiling. */
function secondsOf(graph: Graph, node: OpNode, { flops: peak, bytes: bandwidth, ...rates }: Rates): number {
  const { kernel } = node;
  const call = graph.callOf(node);
  const { flops, work = flops, bytes = bytesOnce(call) } = kernel.cost(call);
  const count = kernel.split ? graph.nodes[node.inputs[kernel.split]].shape[0] : 1;
  const [x, y, z] = kernel.grid(call, { start: 0, count });
  const consts = kernel.consts(call);
  const threads = kernel.reflection.threads.reduce(
    (product, factor) => product * (Number(consts[factor] ?? factor) || 1),
    1,
  );
  const share = Math.min(1, (x * y * z * Math.min(1, threads / rates.lanes)) / rates.cores);
  const arithmetic = work / (peak * share * (rates.efficiency[kernel.name] ?? 0.1));
  const compiling = rates.compiling?.[kernel.name] ?? 0;
  return compiling + rates.dispatch + Math.max(arithmetic, bytes / (bandwidth * share));
}

/** Changes of layout cost the same whatever is between them, and mostly cancel. */
export const CONVERSIONS = ["to_nhwc", "to_nchw"];

/**
 * Adds the nodes of a candidate to a graph and estimates their time; `seconds` is undefined where nothing is known of the
 * device. What is not taken has to be pruned later.
 */
export function tryOut(graph: Graph, build: () => Value, { rates }: Traits) {
  const first = graph.nodes.length;
  const value = build();
  const needed = new Set([value.id]);
  let seconds = 0;
  for (let id = graph.nodes.length - 1; id >= first && rates; id--) {
    const node = graph.nodes[id];
    if (!needed.has(id)) continue;
    for (const read of readsOf(node)) needed.add(read);
    if (node.kind === "op" && !CONVERSIONS.includes(node.kernel.name)) seconds += secondsOf(graph, node, rates);
  }
  return { value, seconds: rates && seconds };
}

/** The candidate with the smallest estimate; the first where nothing is known of the device. */
export const fastest = <C extends { readonly seconds: number | undefined }>(candidates: readonly C[]): C =>
  candidates.reduce((best, each) => ((each.seconds ?? 0) < (best.seconds ?? 0) ? each : best));
