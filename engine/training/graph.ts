import { optimize } from "../graph/compile.ts";
import { differentiate } from "../graph/gradients.ts";
import { Graph, type Node, type OpNode, paramShapes, readsOf } from "../graph/graph.ts";
import { lower, type Target } from "../graph/lower.ts";
import { rewrite } from "../graph/passes.ts";
import { type Limits, makePlan, type Plan } from "../graph/plan.ts";
import type { Optimizer, TrainingTable } from "../graph/training.ts";
import type { Value } from "../graph/value.ts";
import type { Traits } from "../graph/variant.ts";
import { GpuError, show, UsageError } from "../ground/errors.ts";
import { type Shape, sizeOf } from "../ground/tensor.ts";
import { type Arena, arenaName, layOut, link, type Piece, piecesOf } from "./arena.ts";

/** A step of training on a device, and where it keeps its tensors. */
export interface TrainingStep {
  /** Inputs: x, labels, one (of 1), rates, key where something is dropped. Outputs: loss, logits, norm. */
  readonly plan: Plan;
  /** Of weights, gradients and moments alike. */
  readonly weights: readonly Arena[];
  /** Of the running statistics of batch norms. */
  readonly statistics: readonly Arena[];
  /** Parameters that are to be trained, and that the loss does not depend on. */
  readonly unused: readonly string[];
}

/** What every step is given. */
const FED = ["x", "labels", "one", "rates", "key"];

/** Names that no layer has. */
const LOSS = "/loss";
const NORM = "/norm";
const gradientOf = (name: string): string => `/gradient of ${name}`;
const updateOf = (i: number): string => `/update ${i}`;

/** Whether a net has something that is dropped in training. */
export function hasDropout(trace: (graph: Graph) => Graph): boolean {
  const graph = new Graph();
  let drops = false;
  const dropout = (x: Value, p: number) => {
    drops ||= p > 0;
    return x;
  };
  graph.training = { dropout, pack: (w) => w };
  trace(graph);
  return drops;
}

/** A net's graph as it is trained: with dropout if asked for. Its input `key` is there only where something is dropped. */
export function traceTraining(trace: (graph: Graph) => Graph, drops: boolean, table: TrainingTable): Graph {
  const graph = new Graph();
  let key: Value | undefined;
  let layers = 0;
  const dropout = (x: Value, p: number) => {
    if (!drops || p === 0 || !table.dropout) return x;
    key ??= graph.input("key", [1]);
    return table.dropout(x, key, { p, layer: layers++ });
  };
  graph.training = { dropout, pack: table.pack };
  return trace(graph);
}

/**
 * Makes a step of training from a net's graph: its loss, the gradients by the parameters that `trains` names, the update of
 * these and of the statistics of batch norms among them. What is frozen runs as at inference.
 */
export function compileStep(
  forward: Graph,
  trains: (name: string) => boolean,
  optimizer: Optimizer,
  loss: object,
  table: TrainingTable,
  target: Target & { readonly limits: Limits },
): TrainingStep {
  const { maxBinding: limit } = target.traits;
  const { weights: wanted, statistics: running, formed } = statesOf(forward, trains, table);
  const changes: ((norm: Value) => Value)[] = [];
  const states = statesIn(forward, new Map([...wanted, ...running]), limit, table);
  const graph = rewrite(forward, (node, id, next) => {
    const state = states.visit(node, id, next);
    if (state !== "keep" || !formed(node)) return state;
    const { y, update } = table.forms[node.kernel.name](next.inputsOf(node), node.options);
    if (update) changes.push(update);
    return y;
  });
  const logits = graph.value(graph.find("logits"));
  const cost = graph.name(LOSS, table.loss(logits, graph.input("labels", [logits.shape[0]]), loss));

  const inputs = new Map(
    graph.nodes.flatMap((node, id) => (node.kind === "input" ? [[node.name, graph.value(id)]] : [])),
  );
  const all = states.piecesOf(wanted);
  const found = differentiate(
    [[cost, graph.input("one", cost.shape)]],
    [...all.keys()].map((name) => inputs.get(name) as Value),
    table.gradients,
  );
  const gradients = new Map<string, Value>();
  for (const [i, name] of [...all.keys()].entries()) {
    const gradient = found[i];
    if (gradient) gradients.set(name, gradient);
  }
  if (gradients.size === 0) throw new UsageError("the loss depends on none of the parameters that are to be trained");
  const trained = new Map([...all].filter(([name]) => gradients.has(name)));
  const weights = layOut(trained, limit);
  const written = new Map<string, Shape>();
  const write = (name: string, value: Value) => {
    graph.name(gradientOf(name), value);
    written.set(gradientOf(name), value.shape);
  };
  const together = table.together?.(gradients, offsetsIn(weights)) ?? [];
  for (const { whole, names } of together) {
    write(names[0], whole);
    for (const name of names) gradients.delete(name);
  }
  const taken = new Set<number>();
  for (const [name, gradient] of gradients) {
    // In memory of its own, which nothing else reads or writes.
    const owner = graph.root(gradient.id);
    const isShared = taken.has(owner) || graph.nodes[owner].kind !== "op" || isRead(graph, owner);
    taken.add(owner);
    const { shape } = gradient;
    write(name, isShared ? graph.reshape(table.slice(gradient, 0, sizeOf(shape)), shape) : gradient);
  }

  const arenas = (kind: string) => weights.map(({ size }, i) => graph.input(arenaName(kind, i), [size]));
  const g = arenas("gradients");
  const norm = graph.name(NORM, table.norm(g));
  const rates = graph.input("rates", [optimizer.ratesOf(1, 0).length]);
  const w = arenas("weights");
  const moments = optimizer.moments.map((kind) => [kind, arenas(kind)] as const);
  const momentsOf = (i: number) => Object.fromEntries(moments.map(([kind, values]) => [kind, values[i]]));
  const updates = [
    ...changes.map((change) => change(norm)),
    ...weights.map((_, i) => optimizer.update({ w: w[i], g: g[i], ...momentsOf(i), norm, rates })),
  ].map((value, i) => {
    graph.name(updateOf(i), value);
    return updateOf(i);
  });

  const outputs = [LOSS, "logits", NORM];
  const kept = [...outputs, ...written.keys(), ...updates];
  const variants = { ...target.variants, ...table.variants };
  const lowered = lower(
    optimize(graph, kept),
    kept,
    { traits: overManySteps(target.traits), tuned: target.tuned, variants },
    { tolerance: 0 },
  );
  keepAsParams(lowered, new Set(FED));
  for (const [name, shape] of written) {
    const owner = lowered.root(lowered.find(name));
    const { id: into } = lowered.param(name, shape);
    lowered.nodes[owner] = { ...(lowered.nodes[owner] as OpNode), into };
  }
  const plan = makePlan(lowered, kept, target.limits);
  const statistics = layOut(states.piecesOf(running), limit);
  const homes = new Map([
    ...homesOf("weights", weights),
    ...homesOf("statistics", statistics),
    ...homesOf("gradients", weights, gradientOf),
  ]);
  const linked = link(plan, (name) => homes.get(name));
  return {
    plan: {
      ...linked,
      outputs: linked.outputs.flatMap((output) =>
        outputs.includes(output.name) ? { ...output, name: output.name.replace("/", "") } : [],
      ),
    },
    weights,
    statistics,
    unused: [...all.keys()].filter((name) => !trained.has(name)),
  };
}

/**
 * What changes is an input while variants are chosen, since parameters may be packed and folded when they are loaded, and never
 * again, and what is derived from it is computed by operators; a weight over the binding limit is several.
 */
function statesIn(
  graph: Graph,
  states: ReadonlyMap<string, Shape>,
  limit: number,
  { split = {}, derive }: TrainingTable,
) {
  const params = new Map(graph.nodes.flatMap((node, id) => (node.kind === "param" ? [[node.name, id] as const] : [])));
  const pieces = new Map([...states].map(([name, shape]) => [name, piecesOf(name, shape, limit)]));
  const piecesAt = (id: number): ReadonlyMap<string, Piece> | undefined => {
    const node = graph.nodes[id];
    return node.kind === "param" ? pieces.get(node.name) : undefined;
  };
  const isSplit = (id: number): boolean => (piecesAt(id)?.size ?? 0) > 1;
  const visit: Parameters<typeof rewrite>[1] = (node, id, next) => {
    const inputsAt = (param: number) =>
      [...(piecesAt(param) ?? [])].map(([piece, { shape }]) => next.graph.input(piece, shape));
    if (node.kind === "param") {
      const { name, shape, from } = node;
      if (pieces.has(name)) return isSplit(id) ? "drop" : inputsAt(id)[0];
      if (!from?.sources.some((source) => pieces.has(source))) return "keep";
      const sources = from.sources.map((source) => next.value(params.get(source) as number));
      return (derive as Required<TrainingTable>["derive"])(name, shape, from, sources);
    }
    if (node.kind !== "op") return "keep";
    const [weight, ...others] = Object.entries(node.inputs).filter(([, input]) => isSplit(input));
    if (!weight) return "keep";
    const [name, input] = weight;
    const { kernel } = node;
    const param = graph.nodes[input] as Extract<Node, { kind: "param" }>;
    if (others.length > 0 || name !== kernel.split || !Object.hasOwn(split, kernel.name)) {
      throw new GpuError(
        "LIMIT",
        `${kernel.name} cannot be trained with ${show(param.name)}, over the device's binding limit`,
      );
    }
    return split[kernel.name](next.inputsOf(node), inputsAt(input), node.options);
  };
  const of = (names: ReadonlyMap<string, unknown>) =>
    new Map([...names.keys()].flatMap((name) => [...(pieces.get(name) ?? [])]));
  return { piecesOf: of, visit };
}

/** Turns inputs, but for these, into parameters: memory that outlives a run. */
function keepAsParams({ nodes }: Graph, inputs: ReadonlySet<string>): void {
  for (const [id, node] of nodes.entries()) {
    if (node.kind !== "input" || inputs.has(node.name)) continue;
    nodes[id] = { kind: "param", name: node.name, shape: node.shape, role: "trained" };
  }
}

/** A net that was traced for training on what a step trains, with the running statistics unless its graph has others. */
export function compileForward(
  forward: Graph,
  { weights, statistics }: Pick<TrainingStep, "weights" | "statistics">,
  table: TrainingTable,
  target: Target & { readonly limits: Limits },
  outputs: readonly string[] = ["logits"],
): Plan {
  const homes = new Map([...homesOf("weights", weights), ...homesOf("statistics", statistics)]);
  const held = new Set([...weights, ...statistics].flatMap(({ parts }) => [...parts.values()].map(({ of }) => of)));
  const states = new Map([...paramShapes(forward)].filter(([name]) => held.has(name)));
  const { visit } = statesIn(forward, states, target.traits.maxBinding, table);
  const { formed } = statesOf(forward, (name) => held.has(name), table);
  const graph = rewrite(forward, (node, id, next) => {
    const state = visit(node, id, next);
    if (state !== "keep" || !formed(node)) return state;
    const { y, update } = table.forms[node.kernel.name](next.inputsOf(node), node.options);
    // Statistics are the running ones here.
    return update ? "keep" : y;
  });
  const lowered = lower(optimize(graph, outputs), outputs, target, { tolerance: 0 });
  keepAsParams(lowered, new Set(FED));
  return link(makePlan(lowered, outputs, target.limits), (name) => homes.get(name));
}

/** Of thousands of steps none is charged for compiling. */
const overManySteps = ({ rates, ...traits }: Traits): Traits => ({
  ...traits,
  rates: rates && { ...rates, compiling: undefined },
});

/** Where tensors are in the arenas of a kind, by their names there. */
export function homesOf(kind: string, arenas: readonly Arena[], rename = (name: string) => name) {
  return arenas.flatMap(({ size, parts }, i) =>
    [...parts].map(([name, { offset }]) => [rename(name), { arena: arenaName(kind, i), size, offset }] as const),
  );
}

/** Where tensors begin, by their names, in memory that has all arenas, though none beside another. */
function offsetsIn(arenas: readonly Arena[]): Map<string, number> {
  let base = 0;
  return new Map(
    arenas.flatMap(({ size, parts }) => {
      const start = base;
      base += size + 1;
      return [...parts].map(([name, { offset }]) => [name, start + offset] as const);
    }),
  );
}

/** What a step changes: the parameters that are trained, the statistics beside them, and the operators that change these. */
export function statesOf(graph: Graph, trains: (name: string) => boolean, { forms }: TrainingTable) {
  const weights = new Map<string, Shape>();
  const statistics = new Map<string, Shape>();
  const isTrained = (node: Node) => node.kind === "param" && node.role === "trained" && !node.from && trains(node.name);
  const formed = (node: Node): node is OpNode =>
    node.kind === "op" &&
    Object.hasOwn(forms, node.kernel.name) &&
    Object.values(node.inputs).some((id) => isTrained(graph.nodes[id]));
  for (const node of graph.nodes) {
    if (node.kind === "param" && isTrained(node)) weights.set(node.name, node.shape);
    if (!formed(node)) continue;
    for (const id of Object.values(node.inputs)) {
      const param = graph.nodes[id];
      if (param.kind === "param" && param.role === "statistic") statistics.set(param.name, param.shape);
    }
  }
  return { weights, statistics, formed };
}

/** Whether an operator reads what this node holds, itself or by a view. */
const isRead = (graph: Graph, owner: number): boolean =>
  graph.nodes.some((node) => node.kind === "op" && readsOf(node).some((read) => graph.root(read) === owner));
