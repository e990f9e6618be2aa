import { check, GpuError, show } from "../ground/errors.ts";
import { bytesPerElement, type Dtype } from "../ground/options.ts";
import { formatBytes, type Shape, sizeOf } from "../ground/tensor.ts";
import { type Choice, callOf, type Derivation, type Graph, layerOf, type OpNode, readsOf } from "./graph.ts";
import { type AnyKernel, bytesOnce, type Grid, MAX_WORKGROUPS, type Part } from "./kernel.ts";
import { type BindingType, fits, packParams, specialize, storedAs } from "./wgsl.ts";

/** The device's limits that a plan must keep to; WebGPU's defaults unless the adapter offers more. */
export interface Limits {
  /** Bytes of one binding. */
  readonly maxStorageBufferBindingSize: number;
  /** Bytes of one buffer. */
  readonly maxBufferSize: number;
}

export const DEFAULT_LIMITS: Limits = { maxStorageBufferBindingSize: 128 * 2 ** 20, maxBufferSize: 256 * 2 ** 20 };

/** A place in memory: an activation buffer by its index, or one piece of a parameter. */
export type Place = { readonly buffer: number } | { readonly param: number; readonly piece: number };

export interface Step {
  /** The layer's name where it has one, else the kernel's. */
  readonly label: string;
  readonly kernel: string;
  /** True if it only changes the layout of an image. */
  readonly converts: boolean;
  /** Why this kernel, where there was a choice. */
  readonly choice?: Choice;
  /** The specialized WGSL; steps with the same code share a pipeline. */
  readonly code: string;
  readonly bindings: readonly {
    readonly index: number;
    readonly type: BindingType;
    /** undefined for an optional input that is absent, and for the uniform `params`. */
    readonly place: Place | undefined;
  }[];
  /** The uniform struct Params. */
  readonly params: Uint8Array;
  readonly grid: Grid;
  readonly flops: number;
  readonly bytes: number;
}

export interface ParamPlan {
  readonly name: string;
  readonly shape: Shape;
  readonly from?: Derivation;
  /** Elements of each piece: one, unless the parameter is over the binding limit. */
  readonly pieces: readonly number[];
}

/** What runs, in what order, on which memory: plain data, printable, without a GPU object. */
export interface Plan {
  readonly dtype: Dtype;
  readonly steps: readonly Step[];
  /** Bytes of each activation buffer. */
  readonly buffers: readonly number[];
  readonly params: readonly ParamPlan[];
  readonly inputs: readonly { readonly name: string; readonly shape: Shape; readonly buffer: number }[];
  readonly outputs: readonly { readonly name: string; readonly shape: Shape; readonly place: Place }[];
  /** The largest sum of activations that are alive at one step: no plan can need less memory. */
  readonly activationLowerBound: number;
}

/** Lays a graph out as steps over reused buffers. Throws a GpuError (LIMIT) where a tensor cannot fit the device. */
export function makePlan(
  graph: Graph,
  outputs: readonly string[],
  limits: Limits = DEFAULT_LIMITS,
  dtype: Dtype = "f32",
): Plan {
  const elementBytes = bytesPerElement(dtype);
  const outputIds = outputs.map((name) => graph.find(name));
  const lifetimes = findLifetimes(graph, outputIds, elementBytes);
  const memory = assignBuffers(lifetimes);
  for (const { id, bytes } of lifetimes) checkActivation(bytes, describe(graph, id), limits);

  const params: ParamPlan[] = [];
  const paramIndex = new Map<number, number>();
  graph.nodes.forEach((node, id) => {
    if (node.kind !== "param") return;
    paramIndex.set(id, params.length);
    const pieces = splitParam(node.name, node.shape, elementBytes, limits);
    params.push({ name: node.name, shape: node.shape, from: node.from, pieces });
  });

  const placeOf = (id: number, piece = 0): Place => {
    const param = paramIndex.get(graph.root(id));
    if (param !== undefined) return { param, piece };
    return { buffer: memory.bufferOf.get(graph.root(id)) as number };
  };

  const steps: Step[] = [];
  graph.nodes.forEach((node, id) => {
    if (node.kind === "op") steps.push(...stepsOf(graph, node, id));
  });

  function stepsOf(graph: Graph, node: OpNode, id: number): Step[] {
    const { kernel } = node;
    const call = callOf(graph, node);
    const code = storedAs(dtype, kernel.name, specialize(kernel.wgsl, kernel.consts(call)));
    const { flops, bytes = bytesOnce(call) } = kernel.cost(call);
    const gridOf = (part: Part): Grid => {
      const grid = kernel.grid(call, part);
      const isGrid =
        Array.isArray(grid) && grid.length === 3 && grid.every((size) => fits(size, "u32") && size <= MAX_WORKGROUPS);
      check(isGrid, `the grid of ${kernel.name}`, grid, `three integers up to ${MAX_WORKGROUPS}`);
      return grid;
    };
    const parts = kernel.parts?.(call) ?? splitWeight(kernel, node);
    return parts.map((part, piece) => ({
      label: layerOf(graph, id),
      kernel: kernel.name,
      converts: kernel.converts ?? false,
      choice: node.choice,
      code,
      bindings: kernel.reflection.bindings.map(({ index, name, type }) => {
        if (name === "params") return { index, type, place: undefined };
        if (name === "y") return { index, type, place: placeOf(id) };
        const read = node.inputs[part.input && name === "x" ? part.input : name];
        if (read === undefined) return { index, type, place: undefined };
        return { index, type, place: placeOf(read, name === kernel.split ? piece : 0) };
      }),
      params: packParams(kernel.name, kernel.reflection.params, kernel.params(call, part)),
      grid: gridOf(part),
      flops: flops / parts.length,
      bytes: ((bytes / parts.length) * elementBytes) / 4,
    }));
  }

  /** One part per piece of the kernel's weight. */
  function splitWeight(kernel: AnyKernel, node: OpNode): Part[] {
    const weight = kernel.split ? paramIndex.get(graph.root(node.inputs[kernel.split])) : undefined;
    for (const [name, id] of Object.entries(node.inputs)) {
      const index = paramIndex.get(graph.root(id));
      if (index === undefined || index === weight || params[index].pieces.length === 1) continue;
      throw new GpuError(
        "LIMIT",
        `${kernel.name} cannot split its input ${name}, ${describe(graph, id)}, over the device's binding limit`,
      );
    }
    const rows = kernel.split ? graph.nodes[node.inputs[kernel.split]].shape[0] : 1;
    if (weight === undefined) return [{ start: 0, count: rows }];
    const { shape, pieces } = params[weight];
    const row = sizeOf(shape) / shape[0];
    let start = 0;
    return pieces.map((elements) => {
      const part = { start, count: elements / row };
      start += part.count;
      return part;
    });
  }

  const inputs = graph.nodes.flatMap((node, id) =>
    node.kind === "input" ? [{ name: node.name, shape: node.shape, buffer: memory.bufferOf.get(id) as number }] : [],
  );
  return {
    dtype,
    steps,
    buffers: memory.sizes,
    params,
    inputs,
    outputs: outputs.map((name, i) => ({ name, shape: graph.nodes[outputIds[i]].shape, place: placeOf(outputIds[i]) })),
    activationLowerBound: lowerBound(lifetimes),
  };
}

/** Bytes that a plan takes on the GPU. */
export function bytesOf({ buffers, params, dtype }: Plan) {
  const activations = buffers.reduce((sum, bytes) => sum + bytes, 0);
  const weights = params.reduce((sum, { shape }) => sum + bytesPerElement(dtype) * sizeOf(shape), 0);
  return { activations, weights, total: activations + weights };
}

interface Lifetime {
  readonly id: number;
  readonly bytes: number;
  /** First and last node at which the value must be in memory. */
  readonly first: number;
  readonly last: number;
}

function findLifetimes(graph: Graph, outputs: readonly number[], elementBytes: number): Lifetime[] {
  const last = graph.nodes.map((_, id) => id);
  const first = [...last];
  graph.nodes.forEach((node, id) => {
    const home = graph.root(id);
    first[home] = Math.min(first[home], id);
    for (const read of readsOf(node)) last[graph.root(read)] = id;
  });
  for (const id of outputs) last[graph.root(id)] = graph.nodes.length;
  return graph.nodes.flatMap((node, id) =>
    (node.kind === "op" && node.into === undefined) || node.kind === "input"
      ? // Inputs are written before the first step, wherever their node stands.
        [
          {
            id,
            bytes: elementBytes * sizeOf(node.shape),
            first: node.kind === "input" ? -1 : first[id],
            last: last[id],
          },
        ]
      : [],
  );
}

interface Memory {
  readonly bufferOf: Map<number, number>;
  /** Bytes of each buffer. */
  readonly sizes: number[];
}

/**
 * Gives every value a whole buffer, reusing those whose other values are not alive at the same time. Whole buffers,
 * because WebGPU refuses a dispatch that reads and writes one buffer even at disjoint ranges. Neither greedy order is
 * always the better one: largest values first (Pisarchyk and Lee, "Efficient memory management for deep neural net
 * inference", 2020), or in order of time.
 */
function assignBuffers(lifetimes: readonly Lifetime[]): Memory {
  const bySize = assignInOrder([...lifetimes].sort((a, b) => b.bytes - a.bytes || a.id - b.id));
  const byTime = assignInOrder([...lifetimes].sort((a, b) => a.first - b.first || b.bytes - a.bytes));
  return totalOf(byTime) < totalOf(bySize) ? byTime : bySize;
}

const totalOf = ({ sizes }: Memory): number => sizes.reduce((sum, bytes) => sum + bytes, 0);

/** Each value goes into the free buffer that wastes least: the tightest large enough, else the one to grow least. */
function assignInOrder(values: readonly Lifetime[]): Memory {
  const bufferOf = new Map<number, number>();
  const sizes: number[] = [];
  const tenants: Lifetime[][] = [];
  const overlap = (a: Lifetime, b: Lifetime) => a.first <= b.last && b.first <= a.last;
  for (const value of values) {
    const free = tenants.flatMap((others, buffer) => (others.some((other) => overlap(value, other)) ? [] : [buffer]));
    const growth = (buffer: number) => Math.max(0, value.bytes - sizes[buffer]);
    const waste = (buffer: number) => Math.max(0, sizes[buffer] - value.bytes);
    free.sort((a, b) => growth(a) - growth(b) || waste(a) - waste(b));
    const buffer = free[0] ?? tenants.push([]) - 1;
    tenants[buffer].push(value);
    sizes[buffer] = Math.max(sizes[buffer] ?? 0, value.bytes);
    bufferOf.set(value.id, buffer);
  }
  return { bufferOf, sizes };
}

function lowerBound(lifetimes: readonly Lifetime[]): number {
  const steps = new Set(lifetimes.map(({ first }) => first));
  const aliveAt = (step: number) =>
    lifetimes.reduce((sum, { first, last, bytes }) => sum + (first <= step && step <= last ? bytes : 0), 0);
  return Math.max(0, ...[...steps].map(aliveAt));
}

/** No device holds a parameter of more. */
const MOST_PIECES = 4096;

/** Elements per piece, cut along the first dimension so that each piece fits a binding. */
function splitParam(name: string, shape: Shape, elementBytes: number, limits: Limits): number[] {
  const limit = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  const rowBytes = (elementBytes * sizeOf(shape)) / (shape[0] ?? 1);
  if (elementBytes * sizeOf(shape) <= limit) return [sizeOf(shape)];
  const rows = Math.floor(limit / rowBytes);
  if (!(rows > 0 && shape[0] / rows < MOST_PIECES))
    throw new GpuError(
      "LIMIT",
      `${show(name)} has ${shape[0] ?? 1} rows of ${rowBytes} bytes; a binding holds at most ${limit}`,
    );
  const pieces: number[] = [];
  for (let row = 0; row < shape[0]; row += rows)
    pieces.push((Math.min(rows, shape[0] - row) * rowBytes) / elementBytes);
  return pieces;
}

function checkActivation(bytes: number, what: string, limits: Limits): void {
  const limit = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  if (bytes <= limit) return;
  throw new GpuError(
    "LIMIT",
    `${what} needs ${formatBytes(bytes)}; the device binds at most ${formatBytes(limit)}: use a smaller batch or image`,
  );
}

function describe(graph: Graph, id: number): string {
  const node = graph.nodes[id];
  if (node.kind === "param" || node.kind === "input") return `${node.kind} ${show(node.name)}`;
  return node.kind === "op" ? `the output of ${show(layerOf(graph, id))}` : "a view";
}
