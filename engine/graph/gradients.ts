import { ShapeError, UsageError } from "../ground/errors.ts";
import { mapValues } from "../ground/records.ts";
import { formatShape, sameShape } from "../ground/tensor.ts";
import { type OpNode, readsOf } from "./graph.ts";
import type { Kernel, Named } from "./kernel.ts";
import type { Value } from "./value.ts";

/** What the gradient of an operator is computed from. */
export interface Differentiated<K extends string, O> {
  readonly inputs: Named<K, Value>;
  readonly options: Readonly<O>;
  readonly y: Value;
  /** The gradient of the loss by y. */
  readonly dy: Value;
}

/**
 * The gradient of an operator: for each input that has one, a function that adds the nodes which compute it to the graph,
 * in the input's shape. It is called only if the gradient is wanted.
 */
export type Gradient<K extends string, O> = (
  call: Differentiated<K, O>,
) => Partial<Record<keyof Named<K, Value>, () => Value>>;

/** The gradient of a kernel. */
export type GradientOf<T> = T extends Kernel<infer K, infer O> ? Gradient<K, O> : never;

// biome-ignore lint/suspicious/noExplicitAny: a table holds gradients of any operators
export type AnyGradient = (call: Differentiated<any, any>) => Readonly<Record<string, (() => Value) | undefined>>;

/** The gradients of operators by their names: kernels/gradients.ts. */
export interface Gradients {
  readonly of: Readonly<Record<string, AnyGradient>>;
  /** How two gradients of one value, which two operators read, are added. */
  sum(a: Value, b: Value): Value;
}

/**
 * Adds to a graph what computes the gradients of a scalar by some of its values, from those by others: in reverse through the
 * nodes between them, by the chain rule. undefined for a value that the scalar does not depend on. Throws a UsageError for an
 * operator that has no gradient.
 */
export function differentiate(
  seeds: readonly (readonly [y: Value, dy: Value])[],
  wanted: readonly Value[],
  { of, sum }: Gradients,
): (Value | undefined)[] {
  const [[{ graph }]] = seeds;
  const count = graph.nodes.length;
  /** What depends on a value that is wanted. */
  const needed = new Set(wanted.map(({ id }) => id));
  graph.nodes.forEach((node, id) => {
    if (readsOf(node).some((read) => needed.has(read))) needed.add(id);
  });
  const found = new Map<number, Value>();
  const keep = (id: number, value: Value) => {
    const { shape } = graph.nodes[id];
    if (!sameShape(value.shape, shape)) {
      throw new ShapeError(`the gradient of a ${formatShape(shape)} is ${formatShape(value.shape)}`);
    }
    const other = found.get(id);
    found.set(id, other ? sum(other, value) : value);
  };
  for (const [y, dy] of seeds) keep(y.id, dy);
  for (let id = count - 1; id >= 0; id--) {
    const node = graph.nodes[id];
    const dy = found.get(id);
    if (!dy || !needed.has(id)) continue;
    if (node.kind === "view" && needed.has(node.x)) keep(node.x, graph.reshape(dy, graph.nodes[node.x].shape));
    if (node.kind !== "op") continue;
    for (const [name, gradient] of Object.entries(gradientsOf(node, graph.value(id), dy))) {
      const input = node.inputs[name];
      if (gradient && needed.has(input)) keep(input, gradient());
    }
  }
  return wanted.map(({ id }) => found.get(id));

  function gradientsOf({ kernel, inputs, options }: OpNode, y: Value, dy: Value) {
    if (!Object.hasOwn(of, kernel.name)) throw new UsageError(`${kernel.name} has no gradient`);
    const values = mapValues(inputs, (input) => graph.value(input));
    return of[kernel.name]({ inputs: values, options, y, dy });
  }
}
