import { mapValues } from "../ground/records.ts";
import { sameShape } from "../ground/tensor.ts";
import { type Derivation, Graph, type Node, type OpNode, readsOf } from "./graph.ts";
import type { Value } from "./value.ts";

/** A rewrite of a graph that leaves the values in `outputs` (their names) what they were. */
export type Pass = (graph: Graph, outputs: readonly string[]) => Graph;

/** Drops the nodes that no output needs. Inputs stay: they are the net's signature. */
export const prune: Pass = (graph, outputs) => {
  const live = new Set<number>(outputs.map((name) => graph.find(name)));
  for (let id = graph.nodes.length - 1; id >= 0; id--) {
    const node = graph.nodes[id];
    if (node.kind === "input") live.add(id);
    if (live.has(id)) for (const read of readsOf(node)) live.add(read);
  }
  if (live.size === graph.nodes.length) return graph;
  return rewrite(graph, (_node, id) => (live.has(id) ? "keep" : "drop"));
};

/**
 * Folds a factor and a term per channel, such as a batch norm's, into the weight and bias of the kernel in front. They are
 * computed in float64 and rounded once.
 */
export const foldBatchNorm: Pass = (graph, outputs) => {
  const single = usedOnce(graph, outputs);
  const folded = rewrite(graph, (node, _id, next) => {
    const affine = node.kind === "op" && node.kernel.affine;
    if (!affine || isFused(node)) return "keep";
    const [x, ...names] = Object.keys(node.inputs);
    const host = graph.nodes[node.inputs[x]];
    if (host.kind !== "op" || !host.kernel.fuses?.affine || !single(node.inputs[x]) || isFused(host)) return "keep";
    const { weight, bias } = host.kernel.fuses.affine;
    const paramOf = (id: number | undefined) => (id === undefined ? undefined : graph.nodes[id]);
    const [w, b] = [paramOf(host.inputs[weight]), paramOf(host.inputs[bias])];
    const coefficients = names.map((name) => paramOf(node.inputs[name]));
    if (![w, b, ...coefficients].every((p) => p === undefined || (p.kind === "param" && !p.from))) return "keep";
    const nameOf = (p: Node | undefined) => (p?.kind === "param" ? p.name : undefined);
    const read = coefficients.map(nameOf);
    const of = (tensors: readonly Float32Array[]) =>
      affine(Object.fromEntries(names.map((name, i) => [name, tensors[i]])), node.options);
    const channels = node.shape[1];
    const foldedWeight = derivation([nameOf(w), ...read], (weights, ...tensors) => {
      const { scale } = of(tensors);
      const row = weights.length / channels;
      const result = new Float32Array(weights.length);
      for (let c = 0, i = 0; c < channels; c++) {
        for (const end = i + row; i < end; i++) result[i] = weights[i] * scale[c];
      }
      return result;
    });
    const foldedBias = derivation([nameOf(b), ...read], (own, ...tensors) => {
      const { scale, offset } = of(tensors);
      return Float32Array.from(offset, (term, c) => (own ? own[c] * scale[c] : 0) + term);
    });
    const label = `${nameOf(w)} folded with ${read[0]}`;
    const inputs = {
      ...next.inputsOf(host),
      [weight]: next.graph.param(label, graph.nodes[host.inputs[weight]].shape, foldedWeight),
      [bias]: next.graph.param(`${label}, bias`, [channels], foldedBias),
    };
    return next.graph.add(host.kernel, inputs, host.options);
  });
  return prune(folded, outputs);
};

/** A derivation from parameters of which some may be absent; their tensors are then undefined. */
function derivation(
  names: readonly (string | undefined)[],
  compute: (...tensors: Float32Array[]) => Float32Array,
): Derivation {
  const sources = names.filter((name) => name !== undefined);
  return {
    sources,
    compute: (...tensors) => compute(...names.map((name) => tensors[name ? sources.indexOf(name) : -1])),
  };
}

/** A pass that lets the kernel of one operand of a sum take in the other, as the inputs that `takeIn` gives it. */
function fuseOperand(
  takeIn: (host: OpNode, other: Node, value: () => Value) => Record<string, Value> | undefined,
): Pass {
  return (graph, outputs) => {
    const single = usedOnce(graph, outputs);
    const fused = rewrite(graph, (node, _id, next) => {
      if (node.kind !== "op" || !node.kernel.sums?.(node.options)) return "keep";
      const activation = activationOf(node);
      const [a, b] = Object.values(node.inputs);
      for (const [x, other] of [
        [a, b],
        [b, a],
      ]) {
        const host = graph.nodes[x];
        if (host.kind !== "op" || !single(x) || isFused(host)) continue;
        const options = withActivation(host, activation);
        const taken = options && takeIn(host, graph.nodes[other], () => next.value(other));
        if (taken) return next.graph.add(host.kernel, { ...next.inputsOf(host), ...taken }, options);
      }
      return "keep";
    });
    return prune(fused, outputs);
  };
}

/** Turns the sum of a kernel's output and a parameter of one value per channel into the kernel's own bias. */
export const fuseBias = fuseOperand(({ kernel, inputs, shape }, other, value) => {
  const bias = kernel.fuses?.affine?.bias;
  const perChannel = [shape[1], ...shape.slice(2).map(() => 1)];
  const fits = sameShape(other.shape, perChannel) || sameShape(other.shape, [1, ...perChannel]);
  if (!bias || bias in inputs || other.kind !== "param" || !fits) return undefined;
  const b = value();
  return { [bias]: b.graph.reshape(b, [shape[1]]) };
});

/** Adds a residual in the kernel that makes one of the two operands. */
export const fuseAdd = fuseOperand(({ kernel, shape }, other, value) => {
  const residual = kernel.fuses?.sum;
  return residual && sameShape(shape, other.shape) ? { [residual]: value() } : undefined;
});

/** Applies an activation in the kernel that makes its operand. */
export const fuseActivation: Pass = (graph, outputs) => {
  const single = usedOnce(graph, outputs);
  const fused = rewrite(graph, (node, _id, next) => {
    const activation = node.kind === "op" && node.kernel.activation?.(node.options);
    if (!activation) return "keep";
    const [x] = Object.values(node.inputs);
    const host = graph.nodes[x];
    if (host.kind !== "op" || !single(x) || activationOf(host)) return "keep";
    const options = withActivation(host, activation);
    return options ? next.graph.add(host.kernel, next.inputsOf(host), options) : "keep";
  });
  return prune(fused, outputs);
};

/** The passes in the order in which they are run, by the names under which they can be switched off. */
export const passes = { foldBatchNorm, fuseBias, fuseAdd, fuseActivation };

export type PassName = keyof typeof passes;

/** The activation that a node has taken in, or was written with. */
function activationOf({ kernel, options }: OpNode): string | undefined {
  const name = kernel.fuses?.activation;
  if (!name) return undefined;
  const own = options as Readonly<Record<string, string>>;
  return own[name] === kernel.options[name] ? undefined : own[name];
}

/** A node's options with an activation, if any; undefined where its kernel applies none. */
function withActivation({ kernel, options }: OpNode, activation: string | undefined): object | undefined {
  if (!activation) return options;
  const name = kernel.fuses?.activation;
  return name ? { ...options, [name]: activation } : undefined;
}

/** True once an activation or a residual was taken in: nothing linear may be folded in behind them. */
function isFused(node: OpNode): boolean {
  const { sum } = node.kernel.fuses ?? {};
  return activationOf(node) !== undefined || Boolean(sum && sum in node.inputs);
}

function usedOnce(graph: Graph, outputs: readonly string[]): (id: number) => boolean {
  const uses = new Array<number>(graph.nodes.length).fill(0);
  for (const node of graph.nodes) for (const id of readsOf(node)) uses[id]++;
  for (const name of outputs) uses[graph.find(name)] += 2;
  return (id) => uses[id] === 1;
}

interface Next {
  readonly graph: Graph;
  /** The new value of an old id. */
  value(id: number): Value;
  /** The new values that an old node reads. */
  inputsOf(node: OpNode): Record<string, Value>;
}

/** Builds a new graph node by node: a visitor keeps a node, drops it, or puts a value of the new graph in its place. */
export function rewrite(graph: Graph, visit: (node: Node, id: number, next: Next) => Value | "keep" | "drop"): Graph {
  const result = new Graph();
  result.training = graph.training;
  const values: (Value | undefined)[] = [];
  const value = (id: number) => values[id] as Value;
  const inputsOf = (node: OpNode) => mapValues(node.inputs, value);
  const next: Next = { graph: result, value, inputsOf };
  const keep = (node: Node): Value => {
    if (node.kind === "input") return result.input(node.name, node.shape);
    if (node.kind === "param") return result.param(node.name, node.shape, node.from, node.role);
    if (node.kind === "view") return result.reshape(value(node.x), node.shape);
    // It was checked when it was added first, and what it reads has the same shapes.
    const inputs = mapValues(node.inputs, (id) => value(id).id);
    return result.value(result.nodes.push({ ...node, inputs }) - 1);
  };
  graph.nodes.forEach((node, id) => {
    const replaced = visit(node, id, next);
    values[id] = replaced === "keep" ? keep(node) : replaced === "drop" ? undefined : replaced;
  });
  for (const [name, id] of graph.names) {
    const renamed = values[id];
    if (renamed) result.names.set(name, renamed.id);
  }
  return result;
}
