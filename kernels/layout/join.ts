import { type Graph, type OpNode, readsOf } from "../../engine/graph/graph.ts";
import { type AnyKernel, defineKernel } from "../../engine/graph/kernel.ts";
import type { AnyVariant } from "../../engine/graph/variant.ts";
import { joined } from "./layout.ts";

// NHWC images that are joined along their channels need no copies where the kernels that make them write into the rows of the
// joined image, each its own channels: those can whose Params have y_pitch and y_first. A part that is read elsewhere, too, as
// all are in a DenseNet, must begin the row, and be read by kernels that step over what follows: those can whose Params have
// x_pitch.

type Params = Readonly<Record<string, number>>;

const withParams = (kernel: AnyKernel, change: (params: Params) => Params): AnyKernel =>
  defineKernel({
    ...kernel,
    params(call, part) {
      const params = kernel.params(call, part);
      return { ...params, ...change(params) };
    },
  });

const hasParam = ({ reflection }: AnyKernel, field: string): boolean =>
  reflection.params.some(({ name }) => name === field);

/** A part of the rows of a joined image, in elements. */
interface Place {
  /** From one row to the next. */
  readonly pitch: number;
  readonly first: number;
}

/** A use of a value as an input of an operator, by itself or by a view. */
interface Use {
  readonly reader: number;
  readonly name: string;
  readonly id: number;
}

function usesOf(graph: Graph): Map<number, Use[]> {
  const uses = new Map<number, Use[]>();
  graph.nodes.forEach((node, reader) => {
    if (node.kind !== "op") return;
    for (const [name, id] of Object.entries(node.inputs)) {
      const root = graph.root(id);
      uses.set(root, [...(uses.get(root) ?? []), { reader, name, id }]);
    }
  });
  return uses;
}

function joinInPlace(graph: Graph, outputs: readonly string[]): void {
  const { nodes } = graph;
  const kept = new Set(outputs.map((name) => graph.root(graph.find(name))));
  const uses = usesOf(graph);
  const places = new Map<number, Place>();
  const opAt = (id: number) => nodes[id] as OpNode;
  const channelsOf = (id: number): number => nodes[id].shape[nodes[id].shape.length - 1];

  /** What else reads a part of a joined image; undefined where it cannot be written there. */
  function othersOf(id: number, into: number, first: number): Use[] | undefined {
    const part = nodes[id];
    if (part.kind !== "op" || !hasParam(part.kernel, "y_pitch") || "r" in part.inputs || kept.has(id)) return undefined;
    const all = uses.get(id) ?? [];
    const others = all.filter((use) => use.reader !== into);
    const canStep = ({ reader, name, id: view }: Use) =>
      name === "x" &&
      hasParam(opAt(reader).kernel, "x_pitch") &&
      nodes[view].shape.length === 2 &&
      channelsOf(view) === channelsOf(id);
    const once = all.length === others.length + 1;
    // No dispatch can read and write one buffer.
    const home = graph.root(into);
    const apart = [...readsOf(part), ...others.map(({ reader }) => reader)].every((each) => graph.root(each) !== home);
    return once && apart && (others.length === 0 || first === 0) && others.every(canStep) ? others : undefined;
  }

  // The last first, since it may be what others are parts of.
  for (let id = nodes.length - 1; id >= 0; id--) {
    const node = nodes[id];
    if (node.kind !== "op" || node.kernel.name !== "concat") continue;
    if ((node.options as { dim: number }).dim !== node.shape.length - 1) continue;
    const { pitch, first: start } = places.get(id) ?? { pitch: channelsOf(id), first: 0 };
    const written = new Set<string>();
    let first = start;
    for (const [name, input] of Object.entries(node.inputs)) {
      const channels = channelsOf(input);
      const others = othersOf(input, id, first);
      if (others) {
        const place = { pitch, first };
        const part = opAt(input);
        const kernel = withParams(part.kernel, ({ y_pitch, y_first }) => ({
          y_pitch: (y_pitch / channels) * place.pitch,
          y_first: y_first + (y_pitch / channels) * place.first,
        }));
        nodes[input] = { ...part, kernel, into: id };
        for (const { reader } of others) {
          const steps = withParams(opAt(reader).kernel, ({ x_pitch }) => ({ x_pitch: (x_pitch / channels) * pitch }));
          nodes[reader] = { ...opAt(reader), kernel: steps };
        }
        places.set(input, place);
        written.add(name);
      }
      first += channels;
    }
    if (written.size === 0) continue;
    const { kernel } = node;
    const parts: AnyKernel["parts"] = (call) =>
      (kernel.parts?.(call) ?? []).filter(({ input = "" }) => !written.has(input));
    nodes[id] = { ...node, kernel: defineKernel({ ...kernel, parts }) };
  }
}

/** The variant of concat that leaves as much as possible to the kernels that make its inputs. */
export const joinedInPlace: AnyVariant = { ...joined, finish: joinInPlace };
