import { OUTPUTS } from "../../../engine/definition.ts";
import { type Graph, type Node, readsOf } from "../../../engine/graph/graph.ts";
import type { Shape } from "../../../engine/ground/tensor.ts";
import type { LayerSummary } from "../../../engine/summary.ts";

/** A layer of a net as the page draws it. */
export interface LayerNode {
  /** Its node in the graph. */
  readonly id: number;
  /** Its dotted name, as the layers around it are called where it has none of its own. */
  readonly path: string;
  readonly operator: string;
  readonly shape: Shape;
  readonly parameters: number;
  readonly multiplyAdds: number;
  /** The layers that it reads, by their ids. */
  readonly reads: readonly number[];
}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf(".")));

/** The input and the layers of a graph, from what summarize() says of them. */
export function layersOf(graph: Graph, summaries: readonly LayerSummary[]): LayerNode[] {
  const names = new Map<number, string>();
  for (const [name, id] of graph.names) if (!names.has(id) && !isOutput(name)) names.set(id, name);
  const modules = modulesOf(graph);
  const summaryOf = new Map(summaries.map((summary) => [summary.node, summary]));
  const ids = [...graph.nodes.keys()].filter((id) => graph.nodes[id].kind === "input" || summaryOf.has(id));
  const paths = new Map<number, string>();
  const taken = new Set(modules);
  // From the end: what has no name belongs to what comes next.
  let parent = "";
  for (const id of ids.toReversed()) {
    const name = names.get(id);
    const operator = summaryOf.get(id)?.operator;
    if (operator === undefined) {
      paths.set(id, "input");
      continue;
    }
    const within = name === undefined ? parent : modules.has(name) ? name : undefined;
    const path = within === undefined ? (name as string) : unique(within ? `${within}.${operator}` : operator, taken);
    taken.add(path);
    paths.set(id, path);
    parent = parentOf(path);
  }
  return ids.map((id) => {
    const { shape } = graph.nodes[id];
    const { operator = "input", parameters = 0, multiplyAdds = 0 } = summaryOf.get(id) ?? {};
    const reads = [...new Set(sourcesOf(graph, id, paths))];
    return { id, path: paths.get(id) as string, operator, shape, parameters, multiplyAdds, reads };
  });
}

const isOutput = (name: string): boolean => (OUTPUTS as readonly string[]).includes(name) || name.includes(":");

/** Every name that others begin with. */
function modulesOf(graph: Graph): ReadonlySet<string> {
  const modules = new Set<string>();
  for (const name of graph.names.keys()) {
    for (let module = parentOf(name); module !== ""; module = parentOf(module)) modules.add(module);
  }
  return modules;
}

function unique(path: string, taken: ReadonlySet<string>): string {
  let [free, i] = [path, 2];
  while (taken.has(free)) free = `${path}_${i++}`;
  return free;
}

/** What a node reads that is shown. A list that grows is one concat after the other: it reads all that was put into it. */
function sourcesOf(graph: Graph, id: number, shown: ReadonlyMap<number, string>): number[] {
  return readsOf(graph.nodes[id]).flatMap((read): number[] => {
    const source = graph.nodes[read];
    if (source.kind === "param") return [];
    if (!shown.has(read) || isGrown(graph.nodes[id], source)) return sourcesOf(graph, read, shown);
    return [read];
  });
}

const isGrown = (list: Node, part: Node): boolean =>
  list.kind === "op" &&
  part.kind === "op" &&
  list.kernel.name === "concat" &&
  part.kernel.name === "concat" &&
  JSON.stringify(list.options) === JSON.stringify(part.options);
