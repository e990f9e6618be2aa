import type { LayerNode } from "./worker/layer_graph.ts";

// A net's layers as modules within modules, each laid out by what reads what: pure functions.

/** A layer, or a module with what is in it in the order of the graph. */
export interface Part {
  /** Its dotted name; of the whole net "". */
  readonly path: string;
  /** What it is called where it stands. */
  readonly label: string;
  /** All layers in it; one for a layer. */
  readonly layers: readonly LayerNode[];
  /** None of a layer. */
  readonly parts: readonly Part[];
}

/** Where a part stands in its module: from 1, as grids count. */
export interface Cell {
  readonly row: number;
  readonly first: number;
  readonly last: number;
}

/** A net's layers by the modules that their names tell. */
export const treeOf = (layers: readonly LayerNode[]): Part => partOf("", "", layers);

function partOf(path: string, label: string, layers: readonly LayerNode[]): Part {
  if (layers.length === 1 && layers[0].path === path) return { path, label, layers, parts: [] };
  const start = path === "" ? 0 : path.length + 1;
  const groups = new Map<string, LayerNode[]>();
  for (const layer of layers) {
    const end = layer.path.indexOf(".", start);
    const name = end < 0 ? layer.path : layer.path.slice(0, end);
    groups.set(name, [...(groups.get(name) ?? []), layer]);
  }
  // A module of nothing but one module is that.
  const [[only, inside]] = groups;
  if (path !== "" && groups.size === 1) return partOf(only, `${label}${only.slice(path.length)}`, inside);
  const parts = [...groups].map(([name, within]) => partOf(name, name.slice(start), within));
  return { path, label, layers, parts };
}

/** The layer that a part hands on: its last one. */
export const outputOf = ({ layers }: Part): LayerNode => layers[layers.length - 1];

/**
 * Which modules to open at first: level by level, as long as no more than so many parts are seen, and behind that the first
 * ones until branches are seen.
 */
export function openedAtFirst(tree: Part, most: number): Set<string> {
  const open = new Set<string>();
  let [level, seen] = [tree.parts, tree.parts.length];
  for (;;) {
    const modules = level.filter(({ parts }) => parts.length > 0);
    const inside = modules.flatMap(({ parts }) => parts);
    seen += inside.length;
    if (modules.length === 0 || seen > most) break;
    for (const { path } of modules) open.add(path);
    level = inside;
  }
  for (let branching = firstJoining(level); branching; branching = firstJoining(branching.parts)) {
    open.add(branching.path);
    if (sourcesWithin(branching).some(({ length }) => length > 1)) break;
  }
  return open;
}

/** The first module in which layers join. */
const firstJoining = (parts: readonly Part[]): Part | undefined =>
  parts.find(({ parts, layers }) => parts.length > 0 && layers.some(({ reads }) => reads.length > 1));

/** For each part of a module the parts before it that it reads, by their places. */
function sourcesWithin({ parts }: Pick<Part, "parts">): number[][] {
  const partAt = new Map(parts.flatMap(({ layers }, i) => layers.map(({ id }) => [id, i] as const)));
  return parts.map(({ layers }, i) => {
    const sources = new Set(layers.flatMap(({ reads }) => reads.map((read) => partAt.get(read))));
    return [...sources].filter((source): source is number => source !== undefined && source < i);
  });
}

/** Rows by the longest way from the module's input; branches beside each other, and across them what joins them. */
export function arrange(module: Pick<Part, "parts">): Cell[] {
  const cells: Cell[] = [];
  const continued = new Set<number>();
  for (const before of sourcesWithin(module)) {
    const sources = before.map((source) => cells[source]);
    const row = 1 + Math.max(0, ...sources.map((source) => source.row));
    const across = {
      row,
      first: Math.min(...sources.map(({ first }) => first)),
      last: Math.max(...sources.map(({ last }) => last)),
    };
    const goesOn = before.length > 1 || (before.length === 1 && !continued.has(before[0]));
    const isFree = goesOn && !cells.some((other) => overlap(other, across));
    cells.push(isFree ? across : branch(row, cells));
    for (const source of before) continued.add(source);
  }
  return cells;
}

/** The first column where nothing stands from a row on. */
function branch(row: number, cells: readonly Cell[]): Cell {
  const below = cells.filter((other) => other.row >= row);
  let column = 1;
  while (below.some(({ first, last }) => first <= column && column <= last)) column++;
  return { row, first: column, last: column };
}

const overlap = (a: Cell, b: Cell): boolean => a.row === b.row && a.first <= b.last && b.first <= a.last;

/** Which of the parts that are seen read which, from the layers in them: no pair twice, and none within a part. */
export function edgesOf(tree: Part, open: ReadonlySet<string>): (readonly [from: string, to: string])[] {
  const seenAs = new Map<number, string>();
  const visit = (part: Part) => {
    if (part.parts.length > 0 && (part === tree || open.has(part.path))) part.parts.forEach(visit);
    else for (const { id } of part.layers) seenAs.set(id, part.path);
  };
  visit(tree);
  const edges = new Map<string, readonly [string, string]>();
  for (const { id, reads } of tree.layers) {
    for (const read of reads) {
      const [from, to] = [seenAs.get(read), seenAs.get(id)];
      if (from !== undefined && to !== undefined && from !== to) edges.set(`${from}\n${to}`, [from, to]);
    }
  }
  return [...edges.values()];
}
