import { callOf, type Graph, type OpNode } from "./graph.ts";
import { bytesOnce } from "./kernel.ts";
import type { Rates } from "./variant.ts";

/** The share of a device's arithmetic that a kernel is taken to reach where no rate says so: a plain one. */
const PLAIN = 0.1;

/**
 * Estimated seconds of a kernel on a device: the larger of arithmetic and memory, its dispatch, and its compiling. Infinite
 * for a kernel that is not for devices of this kind.
 */
export function secondsOf(graph: Graph, node: OpNode, { flops: peak, bytes: bandwidth, ...rates }: Rates): number {
  const { kernel } = node;
  const call = callOf(graph, node);
  const { flops, work = flops, bytes = bytesOnce(call) } = kernel.cost(call);
  const efficiency = rates.efficiency[kernel.name] ?? PLAIN;
  const count = kernel.split ? graph.nodes[node.inputs[kernel.split]].shape[0] : 1;
  const [x, y, z] = kernel.grid(call, { start: 0, count });
  const consts = kernel.consts(call);
  const threads = kernel.reflection.threads.reduce(
    (product, factor) => product * (Number(consts[factor] ?? factor) || 1),
    1,
  );
  const share = Math.min(1, (x * y * z * Math.min(1, threads / rates.lanes)) / rates.cores);
  const arithmetic = work === 0 ? 0 : work / (peak * share * efficiency);
  const compiling = rates.compiling?.[kernel.name] ?? 0;
  return compiling + rates.dispatch + Math.max(arithmetic, bytes / (bandwidth * share));
}
