import { UsageError } from "../ground/errors.ts";
import { type Shape, sizeOf } from "../ground/tensor.ts";
import type { Graph, Role } from "./graph.ts";
import { Value } from "./value.ts";

// An operator of an ONNX model as it is read: kernels/onnx_import.ts has the table of what each is here.

/** What follows from tensors of the file and from shapes alone, before anything runs. */
export interface Known {
  /** Its name in the model, which no other value has. */
  readonly name: string;
  readonly shape: Shape;
  /** Whether its elements are no integers. */
  readonly isFloat: boolean;
  /** How a tensor of the file is stored, as safetensors calls it. */
  readonly dtype?: string;
  /** Its elements, where they are few. */
  readonly values?: ArrayLike<number>;
  /** True for a tensor of the file as it stands. */
  readonly isStored?: boolean;
  /** How many operators compute it one after the other when the weights load. */
  readonly depth?: number;
  /** The tensors of the file that it is made of, and how. */
  readonly sources: ReadonlyMap<string, Shape>;
  /** From these tensors by their names; `done` keeps what several read. */
  evaluate(tensors: ReadonlyMap<string, ArrayLike<number>>, done: Map<Known, ArrayLike<number>>): ArrayLike<number>;
}

export type Operand = Value | Known | undefined;

/** What an operator of ONNX is made of here; throws a UsageError for what it cannot be. Outputs are in ONNX's order. */
export type OnnxReader = (call: OnnxCall) => Operand | readonly Operand[];

/** The readers by ONNX's names of operators: kernels/onnx_import.ts. */
export type OnnxReaders = Readonly<Record<string, OnnxReader>>;

/** By their names. */
export type Attributes = Readonly<Record<string, number | string | readonly number[]>>;

/** Adds one more operator to the graph, whose first output it returns. */
type Apply = (op: string, operands: readonly Operand[], attributes?: Attributes) => Operand;

export class OnnxCall {
  readonly graph: Graph;
  /** That of its first output, which no other value has. */
  readonly name: string;
  /** The version of ONNX's operators. */
  readonly opset: number;
  /** How many outputs are read. */
  readonly outputs: number;
  readonly operands: readonly Operand[];
  readonly attributes: Attributes;
  /** Tells the user of something that is not done as the model has it. */
  readonly note: (text: string) => void;
  /** What an operator is made of may be others of ONNX. */
  readonly apply: Apply;

  constructor(
    graph: Graph,
    operands: readonly Operand[],
    attributes: Attributes,
    { name = "", opset = 17, outputs = 1, note = (_text: string): void => {}, apply = (() => undefined) as Apply },
  ) {
    this.graph = graph;
    this.operands = operands;
    this.attributes = attributes;
    this.note = note;
    this.name = name;
    this.opset = opset;
    this.outputs = outputs;
    this.apply = apply;
  }

  has(input: number): boolean {
    return this.operands[input] !== undefined;
  }

  /** The value of an input, that of a tensor of the file being a parameter. */
  value(input: number, role?: Role): Value {
    const operand = this.operands[input];
    if (!operand) throw new UsageError(`it has no input ${input}`);
    return operand instanceof Value ? operand : paramOf(this.graph, operand, role);
  }

  /** The values of all inputs, of which there is at least one. */
  values(): Value[] {
    this.value(0);
    return this.operands.flatMap((operand, i) => (operand ? [this.value(i)] : []));
  }

  optional(input: number): Value | undefined {
    return this.has(input) ? this.value(input) : undefined;
  }

  /** The elements of an input that follow from the file alone; undefined for one that is left out. */
  known(input: number): readonly number[] | undefined {
    const operand = this.operands[input];
    if (!operand) return undefined;
    const values = operand instanceof Value ? undefined : operand.values;
    if (!values) throw new UsageError(`its input ${input} is computed, or long; it has to be a constant`);
    return Array.from(values);
  }

  /** The number that an input is, if it is one that follows from the file alone. */
  scalar(input: number): number | undefined {
    const operand = this.operands[input];
    const values = operand instanceof Value ? undefined : operand?.values;
    return values?.length === 1 ? values[0] : undefined;
  }

  /** Values that are made of no tensor, as a parameter of this call. */
  constant(label: string, shape: Shape, values: () => ArrayLike<number>): Value {
    const compute = () => Float32Array.from(values());
    return this.graph.param(`${this.name}, ${label}`, shape, { sources: [], compute });
  }

  number(name: string, usual: number): number {
    const value = this.attributes[name] ?? usual;
    if (typeof value === "number") return value;
    throw new UsageError(`its ${name} is no number`);
  }

  text(name: string, usual: string): string {
    const value = this.attributes[name] ?? usual;
    if (typeof value === "string") return value;
    throw new UsageError(`its ${name} is no text`);
  }

  /** A list of numbers; `usual` where there is none. */
  list<T = undefined>(name: string, usual?: T): readonly number[] | T {
    const value = this.attributes[name];
    if (value === undefined) return usual as T;
    if (typeof value === "object") return value;
    throw new UsageError(`its ${name} is no list of numbers`);
  }

  /** Integers that an attribute had, and an input has since a version of the operator. */
  integers(name: string, input: number): readonly number[] | undefined {
    return this.known(input) ?? this.list(name);
  }
}

function paramOf(graph: Graph, { name, shape, values, isStored, sources, evaluate }: Known, role?: Role): Value {
  // A number by itself is none that was trained, and readers can know it.
  if (isStored && shape.length > 0) return graph.param(name, shape, undefined, role);
  if (values && shape.length === 0)
    return graph.param(name, shape, { sources: [], compute: () => Float32Array.from(values) });
  for (const [source, of] of sources) graph.param(source, of);
  const names = [...sources.keys()];
  const compute = (...tensors: Float32Array[]) =>
    Float32Array.from(evaluate(new Map(names.map((source, i) => [source, tensors[i]])), new Map()));
  return graph.param(name, shape, { sources: names, compute }, role);
}

/** A dimension counted from the front. Throws a UsageError for none of `rank`. */
export function axisOf(axis: number, rank: number): number {
  if (Number.isInteger(axis) && axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
  throw new UsageError(`its axis ${axis} is none of ${rank} dimensions`);
}

/** Part of a dimension: the first place that is taken, how many there are, and the step between them. */
export interface Part {
  readonly axis: number;
  readonly start: number;
  readonly count: number;
  readonly step: number;
}

/** What a Slice takes of a shape; of axes that are not there it takes all. */
export function partsOf(call: OnnxCall, shape: Shape): Part[] {
  const starts = call.integers("starts", 1) ?? [];
  const ends = call.integers("ends", 2) ?? [];
  const axes = call.integers("axes", 3) ?? starts.map((_, i) => i);
  const steps = call.known(4) ?? starts.map(() => 1);
  return axes.map((given, i) => {
    const axis = axisOf(given, shape.length);
    const [size, step] = [shape[axis], steps[i]];
    if (!Number.isInteger(step) || step === 0) throw new UsageError("its steps are no integers but 0");
    const [least, most] = step > 0 ? [0, size] : [-1, size - 1];
    const place = (value: number) => Math.min(Math.max(value < 0 ? value + size : value, least), most);
    const [start, end] = [place(starts[i]), place(ends[i])];
    const count = Math.max(0, Math.ceil((end - start) / step));
    if (Number.isNaN(count)) throw new UsageError("it has not as many starts and ends as axes");
    return { axis, start, count, step };
  });
}

/** The shapes that operators give the same elements. */
export const VIEWS: Readonly<Record<string, (call: OnnxCall, shape: Shape) => Shape>> = {
  Identity: (_call, shape) => shape,
  Dropout(call, shape) {
    if (call.known(2)?.[0]) throw new UsageError("in training mode");
    return shape;
  },

  Reshape(call, shape) {
    const wanted = call.known(1) ?? [];
    const keeps = call.number("allowzero", 0) === 0;
    const sizes = wanted.map((size, d) => (size === 0 && keeps ? shape[d] : size));
    const open = sizes.indexOf(-1);
    return open < 0 ? sizes : sizes.with(open, sizeOf(shape) / -sizeOf(sizes));
  },

  Flatten(call, shape) {
    const axis = call.number("axis", 1);
    const first = axis === shape.length ? axis : axisOf(axis, shape.length);
    return [sizeOf(shape.slice(0, first)), sizeOf(shape.slice(first))];
  },

  Squeeze(call, shape) {
    const axes = call.integers("axes", 1)?.map((axis) => axisOf(axis, shape.length));
    const odd = axes?.find((axis) => shape[axis] !== 1);
    if (odd !== undefined) throw new UsageError(`its dimension ${odd} has ${shape[odd]} places and cannot be left out`);
    return shape.filter((size, d) => (axes ? !axes.includes(d) : size !== 1));
  },

  Unsqueeze(call, shape) {
    const given = call.integers("axes", 1) ?? [];
    const rank = shape.length + given.length;
    const axes = new Set(given.map((axis) => axisOf(axis, rank)));
    const rest = [...shape];
    return Array.from({ length: rank }, (_, d) => (axes.has(d) ? 1 : (rest.shift() ?? NaN)));
  },
};
