import { sameShape } from "../ground/tensor.ts";
import { type Derivation, Graph, type Node, type OpNode, readsOf, type Value } from "./graph.ts";

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
  return rewrite(graph, (_node, id) => (live.has(id) ? "copy" : "drop"));
};

/**
 * Folds y = (conv(x) - mean) / sqrt(var + eps) * weight + bias into the convolution's own weight and bias. The factors
 * are computed in float64 and rounded once.
 */
export const foldBatchNorm: Pass = (graph, outputs) => {
  const single = usedOnce(graph, outputs);
  const folded = rewrite(graph, (node, _id, next) => {
    if (node.kind !== "op" || node.kernel.name !== "batchnorm") return "copy";
    const conv = graph.nodes[node.inputs.x];
    if (conv.kind !== "op" || !conv.kernel.fuses?.batchnorm || !single(node.inputs.x)) return "copy";
    if (isFused(conv)) return "copy";
    const { weight, bias } = conv.kernel.fuses.batchnorm;
    const w = graph.nodes[conv.inputs[weight]];
    const b = bias in conv.inputs ? graph.nodes[conv.inputs[bias]] : undefined;
    const statistics = ["mean", "variance", "weight", "bias"].map((name) =>
      name in node.inputs ? graph.nodes[node.inputs[name]] : undefined,
    );
    if (![w, b, ...statistics].every((p) => p === undefined || (p.kind === "param" && !p.from))) return "copy";
    const nameOf = (p: Node | undefined) => (p?.kind === "param" ? p.name : undefined);
    const eps = (node.options as { eps: number }).eps;
    const channels = w.shape[0];
    const [mean, variance, gamma, beta] = statistics.map(nameOf);
    const scaleOf = (c: number, v: Float32Array, g?: Float32Array) => (g ? g[c] : 1) / Math.sqrt(v[c] + eps);
    const foldedWeight = derivation([nameOf(w), variance, gamma], (weights, v, g) => {
      const row = weights.length / channels;
      const folded = new Float32Array(weights.length);
      for (let c = 0, i = 0; c < channels; c++) {
        const scale = scaleOf(c, v, g);
        for (const end = i + row; i < end; i++) folded[i] = weights[i] * scale;
      }
      return folded;
    });
    const foldedBias = derivation([mean, variance, gamma, beta, nameOf(b)], (means, v, g, shift, own) =>
      means.map((m, c) => ((own ? own[c] : 0) - m) * scaleOf(c, v, g) + (shift ? shift[c] : 0)),
    );
    const label = `${nameOf(w)} folded with ${mean}`;
    const inputs = {
      ...next.inputsOf(conv),
      [weight]: next.graph.param(label, w.shape, foldedWeight),
      [bias]: next.graph.param(`${label}, bias`, [channels], foldedBias),
    };
    return next.graph.add(conv.kernel, inputs, conv.options);
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

/** A pass that lets the kernel of one operand of an add take in the other, as the inputs that `takeIn` gives it. */
function fuseOperand(
  takeIn: (host: OpNode, other: Node, value: () => Value) => Record<string, Value> | undefined,
): Pass {
  return (graph, outputs) => {
    const single = usedOnce(graph, outputs);
    const fused = rewrite(graph, (node, _id, next) => {
      if (node.kind !== "op" || node.kernel.name !== "add") return "copy";
      const { alpha, relu } = node.options as { alpha: number; relu: boolean };
      const { a, b } = node.inputs;
      for (const [x, other] of [
        [a, b],
        [b, a],
      ]) {
        const host = graph.nodes[x];
        if (alpha !== 1 || host.kind !== "op" || !single(x) || isFused(host)) continue;
        const option = host.kernel.fuses?.relu;
        if (relu && !option) continue;
        const taken = takeIn(host, graph.nodes[other], () => next.value(other));
        if (!taken) continue;
        const options = relu ? { ...host.options, [option as string]: true } : host.options;
        return next.graph.add(host.kernel, { ...next.inputsOf(host), ...taken }, options);
      }
      return "copy";
    });
    return prune(fused, outputs);
  };
}

/** Turns the sum of a kernel's output and a parameter of one value per channel into the kernel's own bias. */
export const fuseBias = fuseOperand(({ kernel, inputs, shape }, other, value) => {
  const bias = kernel.fuses?.batchnorm?.bias;
  const perChannel = [shape[1], ...shape.slice(2).map(() => 1)];
  const fits = sameShape(other.shape, perChannel) || sameShape(other.shape, [1, ...perChannel]);
  if (!bias || bias in inputs || other.kind !== "param" || !fits) return undefined;
  const b = value();
  return { [bias]: b.graph.reshape(b, [shape[1]]) };
});

/** Adds a residual in the kernel that makes one of the two operands. */
export const fuseAdd = fuseOperand(({ kernel, shape }, other, value) => {
  const residual = kernel.fuses?.add;
  return residual && sameShape(shape, other.shape) ? { [residual]: value() } : undefined;
});

/** Applies a relu in the kernel that makes its operand. */
export const fuseRelu: Pass = (graph, outputs) => {
  const single = usedOnce(graph, outputs);
  const fused = rewrite(graph, (node, _id, next) => {
    if (node.kind !== "op" || node.kernel.name !== "relu") return "copy";
    const host = graph.nodes[node.inputs.x];
    if (host.kind !== "op" || !host.kernel.fuses?.relu || !single(node.inputs.x)) return "copy";
    return next.graph.add(host.kernel, next.inputsOf(host), { ...host.options, [host.kernel.fuses.relu]: true });
  });
  return prune(fused, outputs);
};

/** The passes in the order in which they are run, by the names under which they can be switched off. */
export const passes = { foldBatchNorm, fuseBias, fuseAdd, fuseRelu };

export type PassName = keyof typeof passes;

/** True once a relu or a residual was taken in: nothing linear may be folded in behind them. */
function isFused(node: OpNode): boolean {
  const { relu, add } = node.kernel.fuses ?? {};
  return Boolean(relu && (node.options as Record<string, unknown>)[relu]) || Boolean(add && add in node.inputs);
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
export function rewrite(graph: Graph, visit: (node: Node, id: number, next: Next) => Value | "copy" | "drop"): Graph {
  const result = new Graph();
  const values: (Value | undefined)[] = [];
  const value = (id: number) => values[id] as Value;
  const inputsOf = (node: OpNode) =>
    Object.fromEntries(Object.entries(node.inputs).map(([name, id]) => [name, value(id)]));
  const next: Next = { graph: result, value, inputsOf };
  const copy = (node: Node): Value => {
    if (node.kind === "input") return result.input(node.name, node.shape);
    if (node.kind === "param") return result.param(node.name, node.shape, node.from);
    if (node.kind === "view") return result.reshape(value(node.x), node.shape);
    return result.add(node.kernel, inputsOf(node), node.options, node.choice);
  };
  graph.nodes.forEach((node, id) => {
    const replaced = visit(node, id, next);
    values[id] = replaced === "copy" ? copy(node) : replaced === "drop" ? undefined : replaced;
  });
  for (const [name, id] of graph.names) {
    const renamed = values[id];
    if (renamed) result.names.set(name, renamed.id);
  }
  return result;
}
