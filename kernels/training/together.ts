import type { OpNode } from "../../engine/graph/graph.ts";
import type { Together } from "../../engine/graph/training.ts";
import type { Value } from "../../engine/graph/value.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { partOf, type SliceOptions, slice } from "../slice.ts";

/** Those of the gradients that are the rows of one value, if they follow each other in memory as these do. */
export function together(gradients: ReadonlyMap<string, Value>, offsets: ReadonlyMap<string, number>): Together[] {
  const rows = new Map<number, { name: string; whole: Value; start: number }[]>();
  for (const [name, { graph, id }] of gradients) {
    const node = graph.nodes[graph.root(id)] as Partial<OpNode>;
    if (node.kernel?.name !== slice.name) continue;
    const whole = graph.value((node as OpNode).inputs.x);
    const { d, start } = partOf(whole.shape, node.options as SliceOptions);
    if (d > 0 || (node.options as SliceOptions).step > 1) continue;
    const others = rows.get(whole.id) ?? [];
    rows.set(whole.id, [...others, { name, whole, start: start * sizeOf(whole.shape.slice(1)) }]);
  }
  return [...rows.values()].flatMap((parts) => {
    const [{ whole }] = parts;
    const names = parts.sort((a, b) => a.start - b.start).map(({ name }) => name);
    const size = names.reduce((sum, name) => sum + sizeOf((gradients.get(name) as Value).shape), 0);
    const starts = parts.map(({ name, start }) => (offsets.get(name) as number) - start);
    return size === sizeOf(whole.shape) && starts.every((start) => start === starts[0]) ? { whole, names } : [];
  });
}
