import { optimize } from "../graph/compile.ts";
import { differentiate } from "../graph/gradients.ts";
import { Graph, type Node, type OpNode, readsOf } from "../graph/graph.ts";
import { lower, type Target } from "../graph/lower.ts";
import { rewrite } from "../graph/passes.ts";
import { type Limits, makePlan, type Plan } from "../graph/plan.ts";
import type { Optimizer, TrainingTable } from "../graph/training.ts";
import type { Value } from "../graph/value.ts";
import { GpuError, show, UsageError } from "../ground/errors.ts";
import { type Shape, sizeOf } from "../ground/tensor.ts";
import { type Arena, arenaName, layOut, link, type Piece, piecesOf } from "./arena.ts";
import { deriveByOperators } from "./derived.ts";

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

/** A net's graph as it is trained: with dropout if asked for. Its input `key` is there only where something is dropped. */
export function traceTraining(trace: (graph: Graph) => Graph, drops: boolean, table: TrainingTable): Graph {
  const graph = new Graph();
  let key: Value | undefined;
  let layers = 0;
  const dropout = (x: Value, p: number) => {
    if (!drops || p === 0) return x;
    key ??= graph.input("key", [1]);
    return table.dropout(x, key, p, layers++);
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
  const limit = bindingLimit(target.limits);
  const { weights: wanted, statistics: running, formed } = statesOf(forward, trains, table);
  const changes: ((norm: Value) => Value)[] = [];
  const states = statesIn(forward, (name) => wanted.has(name) || running.has(name), limit, table);
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
  const names = [...wanted.keys()].flatMap((name) => [...states.pieces(name).keys()]);
  const found = differentiate(
    [[cost, graph.input("one", cost.shape)]],
    names.map((name) => inputs.get(name) as Value),
    table.gradients,
  );
  const unused = names.filter((_, i) => !found[i]);
  const all = new Map([...wanted.keys()].flatMap((name) => [...states.pieces(name)]));
  const trained = new Map([...all].filter(([name]) => !unused.includes(name)));
  if (trained.size === 0) throw new UsageError("the loss depends on none of the parameters that are to be trained");
  const taken = new Set<number>();
  const gradients: string[] = [];
  names.forEach((name, i) => {
    const gradient = found[i];
    if (!gradient) return;
    // In memory of its own, which nothing else reads or writes.
    const owner = graph.root(gradient.id);
    const isShared = taken.has(owner) || graph.nodes[owner].kind !== "op" || isRead(graph, owner);
    taken.add(owner);
    const { shape } = gradient;
    const own = isShared ? graph.reshape(table.slice(gradient, 0, sizeOf(shape)), shape) : gradient;
    graph.name(gradientOf(name), own);
    gradients.push(gradientOf(name));
  });

  const weights = layOut(trained, limit);
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
  const kept = [...outputs, ...gradients, ...updates];
  const variants = { ...target.variants, ...table.variants };
  const lowered = lower(
    optimize(graph, kept),
    kept,
    { traits: target.traits, tuned: target.tuned, variants },
    { tolerance: 0 },
  );
  keepAsParams(lowered, new Set(FED));
  for (const name of trained.keys()) {
    const owner = lowered.root(lowered.find(gradientOf(name)));
    const { id: into } = lowered.param(gradientOf(name), (trained.get(name) as Piece).shape);
    lowered.nodes[owner] = { ...(lowered.nodes[owner] as OpNode), into };
  }
  const plan = makePlan(lowered, kept, target.limits);
  const statistics = layOut(new Map([...running.keys()].flatMap((name) => [...states.pieces(name)])), limit);
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
    unused,
  };
}

/**
 * What changes is an input while variants are chosen, since parameters may be packed and folded when they are loaded, and never
 * again, and what is derived from it is computed by operators; a weight over the binding limit is several.
 */
function statesIn(graph: Graph, isState: (name: string) => boolean, limit: number, table: TrainingTable) {
  const { split } = table;
  const params = new Map(graph.nodes.flatMap((node, id) => (node.kind === "param" ? [[node.name, id] as const] : [])));
  const pieces = (name: string) => piecesOf(name, graph.nodes[params.get(name) as number].shape, limit);
  const isSplit = (id: number): boolean => {
    const node = graph.nodes[id];
    return node.kind === "param" && isState(node.name) && pieces(node.name).size > 1;
  };
  const visit: Parameters<typeof rewrite>[1] = (node, id, next) => {
    const inputsOf = (name: string) => [...pieces(name)].map(([piece, { shape }]) => next.graph.input(piece, shape));
    if (node.kind === "param") {
      const { name, shape, from } = node;
      if (isState(name)) return isSplit(id) ? "drop" : inputsOf(name)[0];
      if (!from?.sources.some(isState)) return "keep";
      const sources = from.sources.map((source) => next.value(params.get(source) as number));
      return deriveByOperators(name, shape, from, sources, table);
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
    return split[kernel.name](next.inputsOf(node), inputsOf(param.name), node.options);
  };
  return { pieces, visit };
}

/** Turns inputs, but for these, into parameters: memory that outlives a run. */
function keepAsParams({ nodes }: Graph, inputs: ReadonlySet<string>): void {
  for (const [id, node] of nodes.entries()) {
    if (node.kind !== "input" || inputs.has(node.name)) continue;
    nodes[id] = { kind: "param", name: node.name, shape: node.shape, role: "trained" };
  }
}

/** The net at inference on what a step trains. */
export function compileForward(
  forward: Graph,
  { weights, statistics }: Pick<TrainingStep, "weights" | "statistics">,
  table: TrainingTable,
  target: Target & { readonly limits: Limits },
): Plan {
  const homes = new Map([...homesOf("weights", weights), ...homesOf("statistics", statistics)]);
  const held = new Set([...weights, ...statistics].flatMap(({ parts }) => [...parts.values()].map(({ of }) => of)));
  const graph = rewrite(forward, statesIn(forward, (name) => held.has(name), bindingLimit(target.limits), table).visit);
  const lowered = lower(optimize(graph, ["logits"]), ["logits"], target, { tolerance: 0 });
  keepAsParams(lowered, new Set(["x"]));
  return link(makePlan(lowered, ["logits"], target.limits), (name) => homes.get(name));
}

/** Where tensors are in the arenas of a kind, by their names there. */
export function homesOf(kind: string, arenas: readonly Arena[], rename = (name: string) => name) {
  return arenas.flatMap(({ size, parts }, i) =>
    [...parts].map(([name, { offset }]) => [rename(name), { arena: arenaName(kind, i), size, offset }] as const),
  );
}

/** What a step changes: the parameters that are trained, the statistics beside them, and the operators that change these. */
function statesOf(graph: Graph, trains: (name: string) => boolean, { forms }: TrainingTable) {
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

const bindingLimit = ({ maxStorageBufferBindingSize, maxBufferSize }: Limits): number =>
  Math.min(maxStorageBufferBindingSize, maxBufferSize);

/** Whether an operator reads what this node holds, itself or by a view. */
const isRead = (graph: Graph, owner: number): boolean =>
  graph.nodes.some((node) => node.kind === "op" && readsOf(node).some((read) => graph.root(read) === owner));
