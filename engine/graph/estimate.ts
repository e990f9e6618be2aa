import { callOf, type Graph, type OpNode, readsOf } from "./graph.ts";
import { bytesOnce } from "./kernel.ts";
import type { Value } from "./value.ts";
import type { Rates, Setting } from "./variant.ts";

/** The share of a device's arithmetic that a kernel is taken to reach where no rate says so: a plain one. */
const PLAIN = 0.1;

/**
 * Estimated seconds of a kernel on a device: the larger of arithmetic and memory, its dispatch, and its compiling. Infinite
 * for a kernel that is not for devices of this kind.
 */
function secondsOf(graph: Graph, node: OpNode, { flops: peak, bytes: bandwidth, ...rates }: Rates): number {
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

/** What a candidate was found to take. */
export interface Trial {
  readonly value: Value;
  /** Seconds; undefined where nothing is known of the device. */
  readonly seconds: number | undefined;
}

/**
 * Adds the nodes of a candidate to a graph and estimates their time; what is not taken has to be pruned later. A conversion
 * that does not cancel is charged: of an input that is in another layout, and of the output if not all that read it
 * (`inNhwc`) take it as the candidate leaves it.
 */
export function tryOut(graph: Graph, build: () => Value, { rates }: Setting, inNhwc?: boolean): Trial {
  const first = graph.nodes.length;
  const value = build();
  if (!rates) return { value, seconds: undefined };
  const needed = new Set([value.id]);
  const last = graph.nodes[value.id];
  const converted = last.kind === "op" && (last.kernel.converts ?? false);
  let seconds = 0;
  for (let id = graph.nodes.length - 1; id >= 0; id--) {
    const node = graph.nodes[id];
    if (!needed.has(id)) continue;
    if (id >= first) for (const read of readsOf(node)) needed.add(read);
    if (node.kind !== "op") continue;
    // Of what was there before, the conversions of images that this candidate reads as they are not.
    const counts = id >= first ? !(id === value.id && converted && inNhwc !== false) : node.kernel.converts;
    if (counts) seconds += secondsOf(graph, node, rates);
  }
  // An image that is left in NCHW for what would take it in NHWC is converted there.
  const leaves = inNhwc === true && !converted && isLarge(value);
  return { value, seconds: seconds + (leaves ? rates.dispatch + (8 * elements(value)) / rates.bytes : 0) };
}

const elements = ({ shape }: Value): number => shape.reduce((product, size) => product * size, 1);

/** True for an image of more than one pixel, which layouts make a difference to. */
const isLarge = ({ shape }: Value): boolean => shape.length === 4 && shape[2] * shape[3] > 1;

/** The candidate with the smallest estimate; the first where nothing is known of the device. */
export const fastest = <C extends { readonly seconds: number | undefined }>(candidates: readonly C[]): C =>
  candidates.reduce((best, each) => ((each.seconds ?? 0) < (best.seconds ?? 0) ? each : best));
