import { check, checkFields, checkObject, checkOptions, UsageError } from "../ground/errors.ts";
import { type Shape, sizeOf, sum } from "../ground/tensor.ts";
import { checkValue, Value } from "./value.ts";
import { type Reflection, reflect } from "./wgsl.ts";

/** Workgroups per dimension. */
export type Grid = readonly [number, number, number];

/**
 * One dispatch of a kernel. Most kernels have a single part that covers everything. A weight over the device's binding
 * limit is split along its first dimension (the output channels), and a kernel with any number of inputs takes them
 * one by one: then each part says what it covers.
 */
export interface Part {
  /** First output channel, or the place of the input in the output. */
  readonly start: number;
  /** How many of them. */
  readonly count: number;
  /** For variadic kernels: which input is bound as `x`. */
  readonly input?: string;
}

type InputName<K extends string> = K extends `${infer N}?` ? N : K extends `${infer N}...` ? `${N}${number}` : K;

/** What a kernel's functions see of its inputs, by name; `"b?"` may be undefined, `"x..."` is x0, x1, ... */
export type Named<K extends string, T> = 0 extends 1 & K
  ? // biome-ignore lint/suspicious/noExplicitAny: of AnyKernel
    any
  : { readonly [P in Exclude<K, `${string}?`> as InputName<P>]: T } & {
      readonly [P in Extract<K, `${string}?`> as InputName<P>]?: T;
    };

export interface Call<K extends string, O> {
  readonly shapes: Named<K, Shape>;
  readonly options: Readonly<O>;
  /** Shape of the output. */
  readonly y: Shape;
}

/** A call of some kernel. */
export type AnyCall = Call<string, object>;

/** A kernel as its author writes it: see kernels/elementwise/relu.ts for the
 *  smallest and kernels/conv2d/conv2d.ts for a full one. */
export interface KernelSpec<K extends string, O extends object> {
  /** The operator: the name of its .wgsl, its .ts, its test and its label on the GPU. */
  readonly name: string;
  /** Names of the inputs in order, as bound in the WGSL: `"x"`, `"b?"` when optional, `"x..."` for any number. */
  readonly inputs: readonly K[];
  /** Every legal option with its default. `undefined` marks one without a default. */
  readonly options: O;
  readonly wgsl: string;
  /** Infers the output's shape; throws a ShapeError or UsageError when inputs or options do not fit. */
  shape(shapes: Named<K, Shape>, options: Readonly<O>): Shape;
  /**
   * Floating-point operations (a multiply-add is two), bytes moved (in f32) if not each tensor once, and the operations
   * that are really done where tiles stand over the edge.
   */
  cost(call: Call<K, O>): { readonly flops: number; readonly bytes?: number; readonly work?: number };
  /** Values for the specialization constants of the WGSL. */
  consts(call: Call<K, O>): Readonly<Record<string, number | boolean>>;
  /** Values for the fields of the WGSL's `struct Params`. */
  params(call: Call<K, O>, part: Part): Readonly<Record<string, number>>;
  grid(call: Call<K, O>, part: Part): Grid;
  /** For variadic kernels: one dispatch per input. */
  parts?(call: Call<K, O>): readonly Part[];
  /** The weight that may be split over several buffers along its first dimension, the output channels. */
  readonly split?: InputName<K>;

  // What passes, estimates and summaries need to know of it.

  /** Which neighbours this kernel can take in: see passes.ts. */
  readonly fuses?: {
    /** The option that names the activation of what it writes; its default is none. */
    readonly activation?: keyof O & string;
    /** The input that takes the other operand of a sum that follows. */
    readonly sum?: InputName<K>;
    /** The inputs that take a factor and a term per channel that follow: the weight, channels first, and the bias. */
    readonly affine?: { readonly weight: InputName<K>; readonly bias: InputName<K> };
  };
  /** The activation that y = f(x) is with these options, if others can apply it to what they write. */
  activation?(options: Readonly<O>): string | undefined;
  /** True if the output is, with these options, the plain sum of the two inputs, but for the activation in `fuses`. */
  sums?(options: Readonly<O>): boolean;
  /** Where y is x by a factor plus a term, one of each per channel: these, in float64, from the inputs behind the first. */
  affine?(inputs: Named<K, Float32Array>, options: Readonly<O>): { scale: Float64Array; offset: Float64Array };
  /** True if it only changes the layout in memory, and vanishes where it meets its inverse. */
  readonly converts?: boolean;
  /** Options that stand for others, by their names. */
  readonly shorthands?: Readonly<Record<string, (value: never) => Partial<O>>>;

  // For kernels that come without an entry in a table of references: see evaluate.ts.

  /** The operator in naive float64 loops: what it is tested against. */
  reference?(inputs: Named<K, Float32Array>, call: Call<K, O>): Float64Array;
  /** A small call, for self-tests. */
  readonly example?: Example;
}

/** A small call of a kernel, for self-tests. */
export interface Example {
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly options?: object;
}

/** A kernel is its spec and a function that adds it to a graph: `relu(x)`, `maxPool2d(x, { kernel: 3 })`. */
export interface Kernel<K extends string, O extends object> extends KernelSpec<K, O> {
  (...args: (Value | undefined | Partial<O>)[]): Value;
  readonly reflection: Reflection;
}

// biome-ignore lint/suspicious/noExplicitAny: a list of kernels holds kernels of any inputs and options
export type AnyKernel = Kernel<any, any>;

/** Throws a UsageError unless it is a kernel. */
export const checkKernel = (kernel: unknown): void =>
  checkFields("the kernel", kernel, { shape: "function", reflection: "object" });

/** Throws a UsageError unless a kernel is given what it needs; only what is `"b?"` may be left out. */
export function checkInputs({ name, inputs }: AnyKernel, given: object): void {
  const needed = inputs.filter((input) => !input.endsWith("?")).map((input) => input.replace("...", "0"));
  const missing = needed.find((input) => !Object(given)[input]);
  if (missing) throw new UsageError(`${name} needs its input ${missing}`);
}

export function defineKernel<const K extends string, O extends object>(spec: KernelSpec<K, O>): Kernel<K, O> {
  const call = (...args: (Value | undefined | Partial<O>)[]): Value => {
    const { values, options } = splitArguments(args);
    const graph = values.find((v) => v)?.graph;
    if (!graph) throw new UsageError(`${spec.name} needs a value of a graph as its first argument`);
    return graph.add(kernel, nameInputs(kernel, values), options);
  };
  // A function has a name of its own, which can be defined and not assigned.
  const { name, ...rest } = spec;
  Object.defineProperty(call, "name", { value: name, enumerable: true });
  const kernel: Kernel<K, O> = Object.assign(call, rest, { reflection: reflect(spec.wgsl) });
  return kernel;
}

/** Separates the values (undefined for an optional one that is left out) from the options that may come last. */
function splitArguments(args: readonly unknown[]): { values: (Value | undefined)[]; options: object } {
  const last = args.at(-1);
  const hasOptions = last !== undefined && !(last instanceof Value);
  const values = (hasOptions ? args.slice(0, -1) : args) as (Value | undefined)[];
  for (const value of values) if (value !== undefined) checkValue("an argument before the options", value);
  return { values, options: hasOptions ? (last as object) : {} };
}

function nameInputs(kernel: AnyKernel, values: readonly (Value | undefined)[]): Record<string, Value> {
  const named: Record<string, Value> = {};
  const variadic = kernel.inputs[0].endsWith("...");
  const names = variadic ? values.map((_, i) => kernel.inputs[0].replace("...", String(i))) : kernel.inputs;
  const given = values.findLastIndex((value) => value) + 1;
  if (given > names.length) {
    throw new UsageError(`${kernel.name} takes at most ${names.length} inputs (${names.join(", ")}), got ${given}`);
  }
  names.forEach((name, i) => {
    const value = values[i];
    if (value) named[name.replace("?", "")] = value;
  });
  return named;
}

/** Options filled with the defaults; an unknown one throws a UsageError that lists the legal ones. */
export function completeOptions<O extends object>(kernel: Kernel<string, O>, given: object): O {
  const { name, options: usual, shorthands } = kernel;
  checkObject(`${name}: options`, given);
  const long = Object.fromEntries(
    Object.entries(given).flatMap(([key, value]) => {
      const meant = shorthands?.[key] as ((value: unknown) => object) | undefined;
      return meant ? Object.entries(meant(value)) : [[key, value]];
    }),
  );
  checkOptions(name, long, Object.keys(usual));
  const options = { ...usual, ...long };
  for (const [key, value] of Object.entries<unknown>(options)) {
    if (value === undefined) throw new UsageError(`${name} needs the option "${key}"`);
    const isSound = typeof usual[key as keyof O] !== "boolean" || typeof value === "boolean";
    check(isSound, `${name}: ${key}`, value, "true or false");
  }
  return options;
}

/** WebGPU's limit of workgroups per dimension, the same on every adapter that keeps to the default. */
export const MAX_WORKGROUPS = 65535;

/** Grid for one thread per item; kernels find their item with gid.x + gid.y * workgroups.x * WORKGROUP. */
export function linearGrid(items: number, workgroup: number): Grid {
  const groups = Math.ceil(items / workgroup);
  return groups <= MAX_WORKGROUPS ? [groups, 1, 1] : [MAX_WORKGROUPS, Math.ceil(groups / MAX_WORKGROUPS), 1];
}

/** Bytes that a kernel must move at least, in f32: every input and the output once. */
export const bytesOnce = (call: Call<string, object>): number =>
  4 * sum([...Object.values(call.shapes), call.y].map((shape) => (shape ? sizeOf(shape) : 0)));
