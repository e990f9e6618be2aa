import { findNet, trace } from "../../engine/definition.ts";
import { callOf, type Derivation, derive, type Graph, type Node, type Role } from "../../engine/graph/graph.ts";
import type { Call } from "../../engine/graph/kernel.ts";
import { type Pass, passes, prune, rewrite } from "../../engine/graph/passes.ts";
import type { Value } from "../../engine/graph/value.ts";
import { show, UsageError } from "../../engine/ground/errors.ts";
import { mapValues } from "../../engine/ground/records.ts";
import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import type { ByteSource } from "../../engine/weights/checkpoint.ts";
import { openCheckpoint } from "../../engine/weights/sources.ts";
import { concat } from "../../kernels/concat.ts";
import { conv2d } from "../../kernels/conv2d/conv2d.ts";
import type { Conv2dOptions } from "../../kernels/conv2d/geometry.ts";
import { linear } from "../../kernels/linear/linear.ts";
import { slice } from "../../kernels/slice.ts";
import { nets } from "../../nets/index.ts";
import type { Job } from "./engines.ts";

// Our nets in the terms of an engine that has no file format for them: the graph is walked once per run.

/** The graph of a net as its file in nets/ has it. */
export const traceNamed = (name: string, batch: number): Graph => trace(findNet(nets, name), { batch });

/** The graph of a net that is trained: activations are in the operators, batch norms are not in the weights. */
export function traceToTrain({ net, shape: [batch], training }: Pick<Job, "net" | "shape" | "training">): Graph {
  const traced = trace(findNet(nets, net), { ...training?.options, batch });
  return [passes.fuseBias, passes.fuseActivation].reduce((graph, pass) => pass(graph, ["logits"]), traced);
}

/** How far a step of training moves running statistics towards those of its batch, as PyTorch's batch norms do. */
export const RUNNING = 0.1;

const inputOf = (graph: Graph): number => graph.nodes.findIndex((node) => node.kind === "input");

/**
 * The graph as a good user of another engine would write the net: batch norms folded into the weights, bias and activation
 * in the operators, no softmax. A residual stays an add, since no other engine's convolution takes one. No weight of a
 * linear layer has more than `maxBinding` bytes. `own` are passes for what this engine has not.
 */
export function traceForPeer(
  { net, shape: [batch], maxBinding }: Pick<Job, "net" | "shape" | "maxBinding">,
  own: readonly Pass[] = [],
): Graph {
  const { foldBatchNorm, fuseBias, fuseActivation } = passes;
  const split: Pass = (graph, outputs) => splitLinear(graph, outputs, maxBinding);
  const all = [foldBatchNorm, fuseBias, fuseActivation, split, ...own];
  return all.reduce((graph, pass) => pass(graph, ["logits"]), traceNamed(net, batch));
}

/**
 * Splits a linear layer that the adapter cannot bind at once into several with some of its outputs each. Left whole,
 * tfjs and jax-js would compute garbage and not throw: AlexNet and VGG have layers that llvmpipe cannot bind.
 */
function splitLinear(graph: Graph, outputs: readonly string[], maxBinding: number): Graph {
  const split = rewrite(graph, (node, _id, next) => {
    if (node.kind !== "op" || node.kernel.name !== "linear") return "keep";
    const { x, w, b } = next.inputsOf(node);
    const parts = Math.ceil((4 * sizeOf(w.shape)) / maxBinding);
    if (parts === 1) return "keep";
    const biases = b && partsOf(b, parts);
    const layers = partsOf(w, parts).map((weight, i) => linear(x, weight, biases?.[i], node.options));
    return concat(...layers, { dim: -1 });
  });
  return prune(split, outputs);
}

/**
 * Splits a convolution with groups into one for each group, but for depthwise ones: what users of an engine do that has only
 * these.
 */
export const splitGroups: Pass = (graph, outputs) => {
  const split = rewrite(graph, (node, _id, next) => {
    if (node.kind !== "op" || node.kernel.name !== "conv2d") return "keep";
    const { x, w, b } = next.inputsOf(node);
    const { groups, ...options } = node.options as Conv2dOptions;
    const [, channels] = w.shape;
    if (groups === 1 || channels === 1) return "keep";
    const biases = b && partsOf(b, groups);
    const layers = partsOf(w, groups).map((weight, i) => {
      const part = slice(x, { start: i * channels, end: (i + 1) * channels });
      return conv2d(part, weight, biases?.[i], options);
    });
    return concat(...layers, { dim: 1 });
  });
  return prune(split, outputs);
};

/** Some rows of a parameter, of which the whole is read and computed once for all of its parts. */
interface Rows extends Derivation {
  readonly whole: Derivation;
  take(values: Float32Array): Float32Array;
}

/** A parameter in so many parts, one after the other in the graph. */
function partsOf({ graph, id, shape: [length, ...row] }: Value, count: number): Value[] {
  const { name, from } = graph.nodes[id] as Extract<Node, { kind: "param" }>;
  const whole = from ?? { sources: [name], compute: (values: Float32Array) => values };
  return Array.from({ length: count }, (_, part) => {
    const [first, end] = [part, part + 1].map((i) => Math.round((i * length) / count));
    const take = (values: Float32Array) => values.subarray(first * sizeOf(row), end * sizeOf(row));
    const rows: Rows = { ...whole, compute: (...tensors) => take(whole.compute(...tensors)), whole, take };
    return graph.param(`${name}, rows ${first} to ${end - 1}`, [end - first, ...row], rows);
  });
}

/** Computes one operator on an engine's tensors. The call has the shapes in NCHW, whatever layout the engine likes. */
// biome-ignore lint/suspicious/noExplicitAny: options differ from operator to operator
export type Operator<T> = (inputs: Readonly<Record<string, T>>, call: Call<any, any>) => T;

/** An engine's way to compute our operators. */
export interface Dialect<T> {
  readonly engine: string;
  readonly operators: Readonly<Record<string, Operator<T>>>;
  /** The same elements, in the order of NCHW, under another shape. */
  reshape(x: T, to: Shape): T;
}

/** The logits of a graph from its input and its parameters (by the ids of their nodes). */
export function evaluate<T>(graph: Graph, x: T, params: ReadonlyMap<number, T>, dialect: Dialect<T>): T {
  const values = new Map(params).set(inputOf(graph), x);
  const value = (id: number) => values.get(id) as T;
  graph.nodes.forEach((node, id) => {
    if (node.kind === "view") {
      values.set(id, dialect.reshape(value(node.x), node.shape));
    } else if (node.kind === "op") {
      const inputs = mapValues(node.inputs, value);
      values.set(id, dialect.operators[node.kernel.name](inputs, callOf(graph, node)));
    }
  });
  return value(graph.find("logits"));
}

/** Options that no net of ours sets, and no dialect reads. */
const UNREAD: Readonly<Record<string, readonly string[]>> = {
  add: ["alpha"],
  avgpool2d: ["ceilMode", "countIncludePad", "divisorOverride"],
  maxpool2d: ["dilation"],
  pad: ["value"],
  slice: ["step"],
  softmax: ["log"],
};

/** Throws a UsageError unless an engine can compute a graph. */
export function checkOperators<T>(graph: Graph, { engine, operators }: Dialect<T>): void {
  for (const node of graph.nodes) {
    if (node.kind !== "op") continue;
    const { name, options: defaults } = node.kernel;
    if (!Object.hasOwn(operators, name)) {
      throw new UsageError(`bench/peers has no ${name} for ${engine}; it has ${Object.keys(operators).join(", ")}`);
    }
    const options = node.options as Readonly<Record<string, unknown>>;
    const odd = UNREAD[name]?.find((option) => options[option] !== defaults[option]);
    if (odd) throw new UsageError(`bench/peers has no ${name} with ${odd} ${show(options[odd])} for ${engine}`);
  }
}

/** A parameter with its values in the order of PyTorch, and what reads it: "conv2d.w". */
export interface Param {
  readonly use: string;
  /** Whether a training's steps change it by its gradient. */
  readonly role: Role;
  readonly shape: Shape;
  readonly data: Float32Array;
}

/** Reads all that a graph needs from a file, one parameter at a time. */
export async function loadParams<T>(
  graph: Graph,
  file: ByteSource,
  load: (param: Param) => T,
): Promise<Map<number, T>> {
  const checkpoint = await openCheckpoint(file);
  const params = new Map<number, T>();
  let last: { readonly from?: Derivation; readonly values: Float32Array } = { values: new Float32Array() };
  try {
    for (const [id, node] of graph.nodes.entries()) {
      if (node.kind !== "param") continue;
      const { whole: from = node.from, take = (values: Float32Array) => values } = (node.from ?? {}) as Partial<Rows>;
      const read = (name: string) => checkpoint.read(name);
      if (!from || from !== last.from) last = { from, values: await (from ? derive(from, read) : read(node.name)) };
      params.set(id, load({ use: useOf(graph, id), role: node.role, shape: node.shape, data: take(last.values) }));
    }
    return params;
  } finally {
    await checkpoint.close();
  }
}

/** The first operator that reads a value, and as what. */
function useOf(graph: Graph, id: number): string {
  for (const node of graph.nodes) {
    if (node.kind !== "op") continue;
    const input = Object.keys(node.inputs).find((name) => graph.root(node.inputs[name]) === id);
    if (input) return `${node.kernel.name}.${input}`;
  }
  return "";
}
