import { check } from "../ground/errors.ts";
import type { Shape } from "../ground/tensor.ts";
import type { Graph } from "./graph.ts";

/** A tensor in a graph: what a kernel takes and gives. */
export class Value {
  readonly graph: Graph;
  readonly id: number;
  readonly shape: Shape;
  constructor(graph: Graph, id: number, shape: Shape) {
    this.graph = graph;
    this.id = id;
    this.shape = shape;
  }
}

/** Throws a UsageError unless `x` is a value of a graph. */
export function checkValue(what: string, x: unknown): asserts x is Value {
  check(x instanceof Value, what, x, "a value of a graph");
}
