import { type Graph, readsOf } from "./graph.ts";
import type { Value } from "./value.ts";
import type { Setting } from "./variant.ts";

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
  // A set is walked with what is added meanwhile.
  for (const id of needed) {
    const node = graph.nodes[id];
    if (id >= first) for (const read of readsOf(node)) needed.add(read);
    if (node.kind !== "op") continue;
    // Of what was there before, the conversions of images that this candidate reads as they are not.
    const counts = id >= first ? !(id === value.id && converted && inNhwc !== false) : node.kernel.converts;
    if (counts) seconds += rates.secondsOf(graph, node, rates);
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
