import { check, checkFields, checkText, ShapeError, show, UsageError } from "../ground/errors.ts";
import { mapValues } from "../ground/records.ts";
import { checkShape, formatShape, type Shape, sizeOf } from "../ground/tensor.ts";
import { type AnyKernel, type Call, checkInputs, checkKernel, completeOptions } from "./kernel.ts";
import { checkValue, Value } from "./value.ts";

/** How a parameter is made from the tensors of a checkpoint, when it is not one of them as it stands. */
export interface Derivation {
  readonly sources: readonly string[];
  compute(...tensors: Float32Array[]): Float32Array;
}

/** A derived parameter, from a function that reads a tensor of the checkpoint. */
export async function derive(from: Derivation, read: (name: string) => Promise<Float32Array>): Promise<Float32Array> {
  const tensors: Float32Array[] = [];
  for (const source of from.sources) tensors.push(await read(source));
  return from.compute(...tensors);
}

/** Which implementation of an operator was taken, and why: see lower.ts. */
export interface Choice {
  /** The layer, by its name in the net. */
  readonly layer: string;
  readonly operator: string;
  readonly variant: string;
  readonly why: string;
}

/** What a parameter is: one that training changes, or a statistic of what a net saw in training. */
export type Role = "trained" | "statistic";

export type Node = { readonly shape: Shape } & (
  | { readonly kind: "input"; readonly name: string }
  | { readonly kind: "param"; readonly name: string; readonly role: Role; readonly from?: Derivation }
  /** The same elements under another shape; costs nothing. */
  | { readonly kind: "view"; readonly x: number }
  | {
      readonly kind: "op";
      readonly kernel: AnyKernel;
      readonly inputs: Readonly<Record<string, number>>;
      readonly options: object;
      /** For what an operator was lowered to. */
      readonly choice?: Choice;
      /** The later value in whose memory this one is written. */
      readonly into?: number;
    }
);

export type OpNode = Extract<Node, { kind: "op" }>;

/** What operators do in training that are nothing at inference. */
export interface Training {
  dropout(x: Value, p: number): Value;
  /**
   * Filters [O, C, ...] as fast convolutions want them, cut into tiles of so many output channels, if any; of [O, 1, KH, KW] with
   * their columns as channels [O, KW, KH, 1], if asked for.
   */
  pack(w: Value, tile?: number, columns?: boolean): Value;
}

/**
 * A net as a flat list of nodes in the order they were added; a value's id is its node's index. Shapes are inferred and
 * checked as it is built, so that an error points at the line that made it.
 */
export class Graph {
  readonly nodes: Node[] = [];
  /** Names of values: layers by torchvision's dotted names, and outputs. */
  readonly names = new Map<string, number>();
  /** What operators do otherwise in a graph that is traced for training. */
  declare training?: Training;
  /** Inputs and parameters, which nets have hundreds of, by kind and name. */
  readonly #given = new Map<string, number>();

  input(name: string, shape: Shape): Value {
    if (this.#indexOf("input", name) >= 0) throw new UsageError(`two inputs of one graph are called ${show(name)}`);
    return this.#push({ kind: "input", name, shape: checkShape(shape, `input ${show(name)}`) });
  }

  /** A tensor of the checkpoint, or one derived from several. The same name gives the same value. */
  param(name: string, shape: Shape, from?: Derivation, role: Role = "trained"): Value {
    const known = this.#indexOf("param", name);
    const what = `parameter ${show(name)}`;
    if (from) checkFields(what, from, { sources: "object", compute: "function" });
    if (known >= 0) {
      const had = formatShape(this.nodes[known].shape);
      const wanted = formatShape(checkShape(shape, what));
      if (had !== wanted) throw new ShapeError(`${what} is ${had} and cannot also be ${wanted}`);
      return this.value(known);
    }
    return this.#push({ kind: "param", name, shape: checkShape(shape, what), role, from });
  }

  /** A parameter that is no trained value: a running mean, say. */
  statistic(name: string, shape: Shape): Value {
    return this.param(name, shape, undefined, "statistic");
  }

  reshape(x: Value, shape: Shape): Value {
    this.#own(x);
    checkShape(shape, "the reshaped value");
    if (sizeOf(shape) !== sizeOf(x.shape)) {
      throw new ShapeError(
        `cannot reshape ${formatShape(x.shape)} to ${formatShape(shape)}: the element counts differ`,
      );
    }
    return this.#push({ kind: "view", x: x.id, shape });
  }

  add(kernel: AnyKernel, inputs: Readonly<Record<string, Value>>, given: object, choice?: Choice): Value {
    checkKernel(kernel);
    const options = completeOptions(kernel, given);
    checkInputs(kernel, inputs);
    const shapes = mapValues(inputs, (value) => this.#own(value).shape);
    const shape = checkShape(kernel.shape(shapes, options), `the output of ${kernel.name}`);
    return this.#push({ kind: "op", kernel, inputs: mapValues(inputs, ({ id }) => id), options, shape, choice });
  }

  /** Names a value, so that it can be asked for as an output. Returns the value. */
  name(name: string, value: Value): Value {
    this.#own(value);
    checkText("a name", name);
    if (this.names.has(name)) throw new UsageError(`two values of one graph are called ${show(name)}`);
    this.names.set(name, value.id);
    return value;
  }

  /** The id of a named value; throws a UsageError that lists the names there are. */
  find(name: string): number {
    const id = this.names.get(name);
    if (id !== undefined) return id;
    throw new UsageError(
      `there is no layer called ${show(name)}; there are ${[...this.names.keys()].join(", ").slice(0, 1500)}`,
    );
  }

  value(id: number): Value {
    return new Value(this, id, this.#at(id).shape);
  }

  /** What holds a value's elements: itself, what it is a view of, or what it is written into. */
  root(id: number): number {
    const node = this.#at(id);
    const holder = node.kind === "view" ? node.x : (node as OpNode).into;
    return holder === undefined ? id : this.root(holder);
  }

  #at(id: number): Node {
    const node = Number.isInteger(id) ? this.nodes[id] : undefined;
    check(node !== undefined, "an id", id, "one of the graph's");
    return node;
  }

  #indexOf(kind: "input" | "param", name: string): number {
    checkText("a name", name);
    return this.#given.get(kind + name) ?? -1;
  }

  #push(node: Node): Value {
    const id = this.nodes.push(node) - 1;
    if ("name" in node) this.#given.set(node.kind + node.name, id);
    return this.value(id);
  }

  #own(value: Value): Value {
    checkValue("an operand", value);
    if (value.graph !== this) throw new UsageError("a value belongs to another graph");
    return value;
  }
}

/** Throws a UsageError unless it is a graph. */
export function checkGraph(graph: unknown): asserts graph is Graph {
  check(graph instanceof Graph, "the graph", graph, "a Graph");
}

/** Notes on the operators from a node on, that have no note yet, what they were chosen for. */
export function explain({ nodes }: Graph, from: number, choice: Choice): void {
  for (let id = from; id < nodes.length; id++) {
    const node = nodes[id];
    if (node.kind === "op" && !node.choice) nodes[id] = { ...node, choice };
  }
}

/** The name of an operator's layer: that of its weight, which survives fusion, or of its output. */
export function layerOf({ nodes, names }: Graph, id: number): string {
  const node = nodes[id] as OpNode;
  if (node.choice) return node.choice.layer;
  for (const input of Object.values(node.inputs)) {
    const param = nodes[input];
    if (param.kind === "param") return (param.from?.sources[0] ?? param.name).replace(/\.[^.]*$/, "");
  }
  for (const [name, named] of names) if (named === id) return name;
  return node.kernel.name;
}

/** What a kernel's functions are told of a node that it computes. */
export function callOf({ nodes }: Graph, { inputs, options, shape: y }: OpNode): Call<string, object> {
  return { shapes: mapValues(inputs, (id) => nodes[id].shape), options, y };
}

/** Ids that a node reads. */
export function readsOf(node: Node): number[] {
  if (node.kind === "op") return Object.values(node.inputs);
  return node.kind === "view" ? [node.x] : [];
}

/** True for a parameter, which is known before the net runs. */
export const isParam = ({ graph, id }: Value): boolean => graph.nodes[id].kind === "param";

/**
 * A parameter computed from another when the weights are loaded, and not in every run: packed for a kernel, say, or picked
 * from a table by places that never change.
 */
export function deriveParam(
  { graph, id }: Value,
  label: string,
  shape: Shape,
  compute: (tensor: Float32Array) => Float32Array,
): Value {
  const node = graph.nodes[id];
  if (node.kind !== "param") throw new UsageError(`cannot derive "${label}": it is no parameter`);
  const { from } = node;
  return graph.param(`${node.name}, ${label}`, shape, {
    sources: from?.sources ?? [node.name],
    compute: (...tensors) => compute(from ? from.compute(...tensors) : tensors[0]),
  });
}

/** Every parameter that a graph reads, or derives others from, by its name in the checkpoint. */
export function paramShapes(graph: Graph): Map<string, Shape> {
  return new Map(
    graph.nodes.flatMap((node) => (node.kind === "param" && !node.from ? [[node.name, node.shape] as const] : [])),
  );
}
