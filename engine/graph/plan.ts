import { GpuError, show } from "../ground/errors.ts";
import { bytesPerElement, type Dtype } from "../ground/options.ts";
import { formatBytes, roundUp, type Shape, sizeOf, sum } from "../ground/tensor.ts";
import { type Choice, callOf, type Derivation, type Graph, layerOf, type OpNode, readsOf } from "./graph.ts";
import { type AnyKernel, bytesOnce, type Grid, type Part } from "./kernel.ts";
import { type BindingType, packParams, specialize, storedAs } from "./wgsl.ts";

/** The device's limits that a plan must keep to; WebGPU's defaults unless the adapter offers more. */
export interface Limits {
  /** Bytes of one binding. */
  readonly maxStorageBufferBindingSize: number;
  /** Bytes of one buffer. */
  readonly maxBufferSize: number;
}

export const DEFAULT_LIMITS: Limits = { maxStorageBufferBindingSize: 128 * 2 ** 20, maxBufferSize: 256 * 2 ** 20 };

/** Bytes of an activation buffer, by its index. */
export interface Range {
  readonly buffer: number;
  readonly offset: number;
  readonly size: number;
}

/** A place in memory: a part of an activation buffer, or one piece of a parameter, all of it or some of its bytes. */
export type Place =
  | Range
  | { readonly param: number; readonly piece: number; readonly offset?: number; readonly size?: number };

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
  readonly inputs: readonly { readonly name: string; readonly shape: Shape; readonly place: Range }[];
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
  const limit = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  for (const { id, size } of lifetimes) {
    if (size > limit) throw overLimit(describe(graph, id), size, limit, ": use a smaller batch or image");
  }
  const { placed, buffers } = assignMemory(lifetimes, limits.maxBufferSize);

  const params: ParamPlan[] = [];
  const paramIndex = new Map<number, number>();
  graph.nodes.forEach((node, id) => {
    if (node.kind !== "param") return;
    paramIndex.set(id, params.length);
    const { name, shape, from } = node;
    params.push({ name, shape, from, pieces: splitParam(name, shape, elementBytes, limit) });
  });

  const placeOf = (id: number, piece = 0): Place => {
    const root = graph.root(id);
    const param = paramIndex.get(root);
    if (param !== undefined) return { param, piece };
    const { value, buffer, offset } = placed.find((each) => each.value.id === root) as Placed;
    return { buffer, offset, size: value.size };
  };

  const steps = graph.nodes.flatMap((node, id) => (node.kind === "op" ? stepsOf(node, id) : []));

  function stepsOf(node: OpNode, id: number): Step[] {
    const { kernel } = node;
    const call = callOf(graph, node);
    const stored = storedAs(dtype, kernel.name, specialize(kernel.wgsl, kernel.consts(call)));
    const { flops, bytes = bytesOnce(call) } = kernel.cost(call);
    const parts = kernel.parts?.(call) ?? splitWeight(kernel, node);
    // None where training writes a parameter.
    const { buffer: written = -1 } = placeOf(id) as Partial<Range>;
    return parts.map((part, piece) => {
      let code = stored;
      const bindings = kernel.reflection.bindings.map(({ index, name, type }) => {
        const value = name === "y" ? id : node.inputs[(name === "x" && part.input) || name];
        const place = value === undefined ? value : placeOf(value, name === kernel.split ? piece : 0);
        // See assignMemory().
        const isBeside = (place as Range)?.buffer === written;
        if (isBeside) code = code.replace(RegExp(`read(?=> ?${name} ?:)`), "read_write");
        return { index, type: isBeside ? "storage" : type, place };
      });
      return {
        label: layerOf(graph, id),
        kernel: kernel.name,
        converts: kernel.converts ?? false,
        choice: node.choice,
        code,
        bindings,
        params: packParams(kernel.name, kernel.reflection.params, kernel.params(call, part)),
        grid: kernel.grid(call, part),
        flops: flops / parts.length,
        bytes: ((bytes / parts.length) * elementBytes) / 4,
      };
    });
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
    const [rows] = kernel.split ? graph.nodes[node.inputs[kernel.split]].shape : [1];
    if (weight === undefined) return [{ start: 0, count: rows }];
    const { shape, pieces } = params[weight];
    const row = sizeOf(shape) / rows;
    // All pieces but the last are of one size.
    return pieces.map((elements, i) => ({ start: (i * pieces[0]) / row, count: elements / row }));
  }

  const inputs = graph.nodes.flatMap((node, id) =>
    node.kind === "input" ? [{ name: node.name, shape: node.shape, place: placeOf(id) as Range }] : [],
  );
  return {
    dtype,
    steps,
    buffers,
    params,
    inputs,
    outputs: outputs.map((name, i) => ({ name, shape: graph.nodes[outputIds[i]].shape, place: placeOf(outputIds[i]) })),
    activationLowerBound: lowerBound(lifetimes),
  };
}

/** Bytes that a plan takes on the GPU. */
export function bytesOf({ buffers, params, dtype }: Plan) {
  const activations = sum(buffers);
  const weights = bytesPerElement(dtype) * sum(params.map(({ shape }) => sizeOf(shape)));
  return { activations, weights, total: activations + weights };
}

interface Lifetime {
  readonly id: number;
  /** In bytes. */
  readonly size: number;
  /** First and last node at which the value must be in memory. */
  readonly first: number;
  readonly last: number;
  /** The values that it is computed from. */
  readonly reads: readonly number[];
}

function findLifetimes(graph: Graph, outputs: readonly number[], elementBytes: number): Lifetime[] {
  const last = graph.nodes.map((_, id) => id);
  const first: number[] = [];
  const reads: number[][] = last.map(() => []);
  graph.nodes.forEach((node, id) => {
    const home = graph.root(id);
    // Inputs are written before the first step, wherever their node stands.
    first[home] ??= node.kind === "input" ? 0 : id;
    for (const read of readsOf(node)) {
      const root = graph.root(read);
      last[root] = id;
      reads[home].push(root);
    }
  });
  for (const id of outputs) last[graph.root(id)] = graph.nodes.length;
  return graph.nodes.flatMap((node, id) => {
    // A binding is no smaller than an element of its array, four f32 at most.
    const size = roundUp(elementBytes * sizeOf(node.shape), 16);
    const isHome = node.kind !== "param" && graph.root(id) === id;
    return isHome ? [{ id, size, first: first[id], last: last[id], reads: reads[id] }] : [];
  });
}

/** Where a value is. */
interface Placed {
  readonly value: Lifetime;
  readonly buffer: number;
  readonly offset: number;
}

interface Memory {
  readonly placed: readonly Placed[];
  /** Bytes of each. */
  readonly buffers: readonly number[];
}

/** WebGPU's default, which every device can bind at. */
const OFFSET_ALIGNMENT = 256;

/**
 * Gives every value a range of a buffer: where the buffer grows least, but not beside what the value is computed from, since
 * WebGPU refuses a dispatch that reads and writes one buffer, unless it is bound as written to at disjoint ranges. That
 * needs more pipelines: it is done where a fifth of the memory would be wasted, with what a step reads once. Of some orders
 * the best: the first is by size (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020);
 * what came too late to fit comes first in the next (Joslin and Clements, "Squeaky wheel optimization", 1999). Most nets
 * need a dozen to come as low as that rule allows, EfficientNet-B5 thirty.
 */
function assignMemory(lifetimes: readonly Lifetime[], maxBufferSize: number, beside = 0): Memory {
  const order = [...lifetimes].sort((a, b) => b.size - a.size);
  const clash = ({ reads }: Lifetime, { id }: Lifetime) => reads.filter((read) => read === id).length > beside;
  const memories = Array.from({ length: 32 }, () => {
    /** By buffers. */
    const placed: Placed[][] = [];
    /** Bytes of each. */
    const buffers: number[] = [];
    let late = 0;
    order.forEach((value, i) => {
      const { size } = value;
      let best: Placed = { value, buffer: buffers.length, offset: 0 };
      let least = size;
      placed.forEach((all, buffer) => {
        const alive = all.filter(({ value: other }) => other.first <= value.last && value.first <= other.last);
        if (alive.some(({ value: other }) => clash(value, other) || clash(other, value))) return;
        // In the first gap that is large enough, or behind them all.
        let offset = 0;
        for (const other of alive.sort((a, b) => a.offset - b.offset)) {
          if (offset + size <= other.offset) break;
          offset = Math.max(offset, roundUp(other.offset + other.value.size, OFFSET_ALIGNMENT));
        }
        const growth = Math.max(0, offset + size - buffers[buffer]);
        if (growth >= least || offset + size > maxBufferSize) return;
        least = growth;
        best = { value, buffer, offset };
      });
      placed[best.buffer] = [...(placed[best.buffer] ?? []), best];
      buffers[best.buffer] = (buffers[best.buffer] ?? 0) + least;
      if (least) late = i;
    });
    order.unshift(...order.splice(late, 1));
    return { placed: placed.flat(), buffers };
  });
  const [best] = memories.sort((a, b) => sum(a.buffers) - sum(b.buffers));
  const isSmall = beside || sum(best.buffers) <= 1.25 * lowerBound(lifetimes);
  return isSmall ? best : assignMemory(lifetimes, maxBufferSize, 1);
}

const lowerBound = (lifetimes: readonly Lifetime[]): number =>
  Math.max(
    0,
    ...lifetimes.map(({ first: step }) =>
      sum(lifetimes.map(({ first, last, size }) => (first <= step && step <= last ? size : 0))),
    ),
  );

/** No device holds a parameter of more. */
const MOST_PIECES = 999;

/** Elements per piece, cut along the first dimension so that each piece fits a binding. */
function splitParam(name: string, shape: Shape, elementBytes: number, limit: number): number[] {
  const size = sizeOf(shape);
  if (elementBytes * size <= limit) return [size];
  const [rows = 1] = shape;
  const rowBytes = (elementBytes * size) / rows;
  const most = Math.floor(limit / rowBytes);
  if (!(most > 0 && rows / most < MOST_PIECES)) throw overLimit(`a row of ${show(name)}`, rowBytes, limit);
  const pieces: number[] = [];
  for (let row = 0; row < rows; row += most) pieces.push((Math.min(most, rows - row) * size) / rows);
  return pieces;
}

const overLimit = (what: string, size: number, limit: number, advice = ""): GpuError =>
  new GpuError("LIMIT", `${what} needs ${formatBytes(size)}; the device binds at most ${formatBytes(limit)}${advice}`);

function describe(graph: Graph, id: number): string {
  const node = graph.nodes[id];
  return "name" in node ? `${node.kind} ${show(node.name)}` : `the output of ${show(layerOf(graph, id))}`;
}
