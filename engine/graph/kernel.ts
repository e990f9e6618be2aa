import { checkOptions, UsageError } from "../ground/errors.ts";
import { type Shape, sizeOf } from "../ground/tensor.ts";
import { Value } from "./graph.ts";

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
export type Named<K extends string, T> = {
  readonly [P in Exclude<K, `${string}?`> as InputName<P>]: T;
} & {
  readonly [P in Extract<K, `${string}?`> as InputName<P>]?: T;
};

export interface Call<K extends string, O> {
  readonly shapes: Named<K, Shape>;
  readonly options: Readonly<O>;
  /** Shape of the output. */
  readonly y: Shape;
}

/** What a choice between variants may depend on. */
export interface Traits {
  /** Lanes of a subgroup where the device has subgroups of one known size, else 0. */
  readonly subgroupSize: number;
  /** True for a software adapter. */
  readonly software: boolean;
  /** Bytes that the device can bind at once. */
  readonly maxBinding: number;
  /** True where tensors can be stored as f16. */
  readonly f16?: boolean;
  /** True where subgroups multiply matrices of 16x16 in f16 with f32 sums (tensor cores). */
  readonly matrices?: boolean;
  /** How the tensors of the net at hand are stored; f32 if not said. */
  readonly dtype?: Dtype;
  /** How fast devices of this kind are; without it the first variant that applies is taken. */
  readonly rates?: Rates;
}

/** What a kind of device does in a second, as far as the choice between variants goes: kernels/rates.ts. */
export interface Rates {
  /** Floating-point operations per second, a multiply-add being two. */
  readonly flops: number;
  /** Bytes per second. */
  readonly bytes: number;
  /** Seconds that a dispatch takes besides its work. */
  readonly dispatch: number;
  /** Multiprocessors of a GPU, or cores of a CPU. */
  readonly cores: number;
  /** Threads that it takes to keep one of them busy. */
  readonly lanes: number;
  /** The share of `flops` that each kernel reaches on large tensors, by its name; 0.1 where it is not listed. */
  readonly efficiency: Readonly<Record<string, number>>;
  /** Seconds that a call of a kernel is charged for its compiling, by its name: of those that few layers of a net share. */
  readonly compiling?: Readonly<Record<string, number>>;
}

/** A faster way to compute an operator where it applies; the operator's own kernel stays as the reference. */
export interface Variant<K extends string, O> {
  readonly name: string;
  /** Rms error of one call over the rms of its output, where it rounds more than the operator's own kernel does. */
  readonly error?: number;
  /** Why it cannot take this call; undefined if it can. */
  refuses(call: Call<K, O>, traits: Traits, inputs: Named<K, Value>): string | undefined;
  /** Whether it may gain anything here; not asked when the variant is forced. Of those that may, estimates decide. */
  gains?(call: Call<K, O>, traits: Traits, inputs: Named<K, Value>): boolean;
  /** Adds its nodes to the graph; takes and gives the same values as the operator, whose own kernel is `plain`. */
  build(inputs: Named<K, Value>, call: Call<K, O>, traits: Traits, plain: AnyKernel): Value;
}

/** A variant of some operator, whose inputs and options are not known here. */
export interface AnyVariant {
  readonly name: string;
  readonly error?: number;
  refuses(call: Call<string, object>, traits: Traits, inputs: Readonly<Record<string, Value>>): string | undefined;
  gains?(call: Call<string, object>, traits: Traits, inputs: Readonly<Record<string, Value>>): boolean;
  build(inputs: Readonly<Record<string, Value>>, call: Call<string, object>, traits: Traits, plain: AnyKernel): Value;
}

/** The variants of each operator by its name, best first: kernels/variants.ts. */
export type Variants = Readonly<Record<string, readonly AnyVariant[]>>;

/** A kernel as its author writes it: see kernels/relu.ts for the smallest and kernels/conv2d.ts for a full one. */
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
  /** The operator in naive float64 loops: its documentation and what it is tested against. */
  reference(inputs: Named<K, Float32Array>, call: Call<K, O>): Float64Array;
  /** A small call on inputs of these shapes, for self-tests: see cli/doctor.ts. */
  readonly example: { readonly shapes: Readonly<Record<string, Shape>>; readonly options?: object };
  /** For variadic kernels: one dispatch per input. */
  parts?(call: Call<K, O>): readonly Part[];
  /** The weight that may be split over several buffers along its first dimension, the output channels. */
  readonly split?: InputName<K>;
  /** Which neighbours this kernel can take in: see passes.ts. */
  readonly fuses?: {
    /** Option to set for a relu that follows. */
    readonly relu?: keyof O & string;
    /** Input that takes the other operand of an add that follows. */
    readonly add?: InputName<K>;
    /** Inputs that take the scale and shift of a batchnorm that follows. */
    readonly batchnorm?: { readonly weight: InputName<K>; readonly bias: InputName<K> };
  };
}

/** A kernel is its spec and a function that adds it to a graph: `relu(x)`, `maxPool2d(x, { kernel: 3 })`. */
export interface Kernel<O extends object = object> extends Omit<KernelSpec<string, O>, "fuses"> {
  (...args: (Value | undefined | Partial<O>)[]): Value;
  readonly fuses?: { relu?: string; add?: string; batchnorm?: { weight: string; bias: string } };
  readonly reflection: Reflection;
}

// biome-ignore lint/suspicious/noExplicitAny: a list of kernels holds kernels of any options
export type AnyKernel = Kernel<any>;

export function defineKernel<const K extends string, O extends object>(spec: KernelSpec<K, O>): Kernel<O> {
  const call = (...args: (Value | undefined | Partial<O>)[]): Value => {
    const { values, options } = splitArguments(args);
    const graph = values.find((v) => v)?.graph;
    if (!graph) throw new UsageError(`${spec.name} needs a value of a graph as its first argument`);
    return graph.add(kernel, nameInputs(kernel, values), options);
  };
  const { name, ...rest } = spec;
  Object.defineProperty(call, "name", { value: name });
  const kernel = Object.assign(call, rest, { reflection: reflect(name, spec.wgsl) }) as unknown as Kernel<O>;
  return kernel;
}

/** Separates the values (undefined for an optional one that is left out) from the options that may come last. */
function splitArguments(args: readonly unknown[]): { values: (Value | undefined)[]; options: object } {
  const last = args.at(-1);
  const hasOptions = last !== undefined && !(last instanceof Value);
  const values = (hasOptions ? args.slice(0, -1) : args) as (Value | undefined)[];
  for (const v of values) {
    if (v !== undefined && !(v instanceof Value)) throw new UsageError("expected values of a graph, then the options");
  }
  if (hasOptions && (typeof last !== "object" || !last)) throw new UsageError("options must be an object");
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
    else if (!name.endsWith("?")) throw new UsageError(`${kernel.name} needs its input ${name}`);
  });
  return named;
}

/** Options filled with the defaults; an unknown one throws a UsageError that lists the legal ones. */
export function completeOptions<O extends object>(kernel: Kernel<O>, given: object): O {
  const legal = Object.keys(kernel.options);
  checkOptions(kernel.name, given, legal);
  const options = { ...kernel.options, ...given };
  for (const key of legal) {
    if (options[key as keyof O] === undefined) throw new UsageError(`${kernel.name} needs the option "${key}"`);
  }
  return options;
}

/** Evaluates a kernel's float64 reference on plain arrays. */
export function evaluateReference(
  kernel: AnyKernel,
  inputs: Readonly<Record<string, { shape: Shape; data: Float32Array } | undefined>>,
  options: object = {},
): { shape: Shape; data: Float64Array } {
  const all = completeOptions(kernel, options);
  const present = Object.entries(inputs).filter(([, t]) => t !== undefined);
  const shapes = Object.fromEntries(present.map(([name, t]) => [name, t?.shape])) as Record<string, Shape>;
  const data = Object.fromEntries(present.map(([name, t]) => [name, t?.data])) as Record<string, Float32Array>;
  const y = kernel.shape(shapes, all);
  return { shape: y, data: kernel.reference(data, { shapes, options: all, y }) };
}

/** What the runtime needs to know of a WGSL source, read from the source itself. */
export interface Reflection {
  readonly bindings: readonly { readonly index: number; readonly name: string; readonly type: GPUBufferBindingType }[];
  /** Fields of `struct Params`, in order. */
  readonly params: readonly { readonly name: string; readonly type: "u32" | "i32" | "f32" }[];
  /** Factors of the threads in a workgroup: numbers, or names of specialization constants. */
  readonly threads: readonly string[];
}

function reflect(kernel: string, wgsl: string): Reflection {
  const declaration = /@group\(0\)\s*@binding\((\d+)\)\s*var<(uniform|storage)(?:,\s*(read|read_write))?>\s*(\w+)/g;
  const bindings = [...wgsl.matchAll(declaration)].map(([, index, space, access, name]) => ({
    index: Number(index),
    name,
    type: (space === "uniform"
      ? "uniform"
      : access === "read_write"
        ? "storage"
        : "read-only-storage") as GPUBufferBindingType,
  }));
  const body = /struct Params ?\{([^}]*)\}/.exec(wgsl)?.[1] ?? "";
  const fields = body.replace(/\/\/.*/g, "").matchAll(/(\w+)\s*:\s*([^,\s]+)/g);
  const params = [...fields].map(([, name, type]) => {
    if (type !== "u32" && type !== "i32" && type !== "f32") {
      throw new UsageError(`${kernel}.wgsl: Params.${name} is a ${type}; fields must be u32, i32 or f32`);
    }
    return { name, type } as const;
  });
  const threads = /@workgroup_size\(([^)]*)/.exec(wgsl)?.[1].split(/\s*[,*]\s*/) ?? [];
  return { bindings, params, threads };
}

/**
 * Sets the specialization constants of a WGSL source. These are its module-scope constants with a declared type and a
 * literal value (`const RELU: bool = false;`); constants computed from others are left alone. Line numbers do not change.
 * Throws a UsageError unless exactly the source's constants are given.
 */
export function specialize(wgsl: string, consts: Readonly<Record<string, number | boolean>>): string {
  const seen = new Set<string>();
  const code = wgsl.replace(
    /^const (\w+)\s*:\s*(u32|i32|f32|bool)\s*=\s*(?:true|false|-?[\d.]+(?:e-?\d+)?[uif]?);/gm,
    (_line, name: string, type: string) => {
      if (!(name in consts)) throw new UsageError(`the WGSL constant ${name} was given no value`);
      seen.add(name);
      return `const ${name}: ${type} = ${literal(name, type, consts[name])};`;
    },
  );
  const unknown = Object.keys(consts).find((name) => !seen.has(name));
  if (unknown) {
    throw new UsageError(`the WGSL has no constant ${unknown} to specialize; it has ${[...seen].join(", ") || "none"}`);
  }
  return code;
}

/** How tensors are stored on the device. */
export type Dtype = "f32" | "f16";

export const bytesPerElement = (dtype: Dtype): number => (dtype === "f16" ? 2 : 4);

/**
 * Makes a WGSL source store its tensors as f16, if it has an `alias Real`. Line numbers do not change. Throws a UsageError
 * for a kernel that has none.
 */
export function storedAs(dtype: Dtype, kernel: string, code: string): string {
  const only = code.startsWith("enable f16;");
  if (only && dtype === "f32") throw new UsageError(`${kernel} stores f16 and cannot run in a net of dtype "f32"`);
  if (only || dtype === "f32") return code;
  const changed = code.replace(/^alias Real *= *f32;/m, "alias Real = f16;");
  if (changed === code) throw new UsageError(`${kernel} cannot store f16: its WGSL has no "alias Real = f32;"`);
  return `enable f16; ${changed}`;
}

function literal(name: string, type: string, value: number | boolean): string {
  if (type === "bool" && typeof value === "boolean") return String(value);
  if (type === "f32" && typeof value === "number" && Number.isFinite(value)) {
    return /[.e]/.test(String(value)) ? String(value) : `${value}.0`;
  }
  if ((type === "u32" || type === "i32") && fits(value, type)) return String(value);
  throw new UsageError(`the WGSL constant ${name} is a ${type} and cannot be ${value}`);
}

const fits = (value: unknown, type: "u32" | "i32"): boolean =>
  Number.isInteger(value) && value === (type === "u32" ? (value as number) >>> 0 : (value as number) | 0);

/** Bytes of `struct Params`, padded to 16; throws a UsageError unless exactly the struct's fields are given. */
export function packParams(
  kernel: string,
  fields: Reflection["params"],
  values: Readonly<Record<string, number>>,
): Uint8Array {
  const bytes = new Uint8Array(Math.max(16, Math.ceil(fields.length / 4) * 16));
  const view = new DataView(bytes.buffer);
  fields.forEach(({ name, type }, i) => {
    const value = values[name];
    if (value === undefined) throw new UsageError(`${kernel}: Params.${name} was given no value`);
    if (type === "f32") view.setFloat32(i * 4, value, true);
    else if (!fits(value, type)) throw new UsageError(`${kernel}: Params.${name} = ${value} is no ${type}`);
    // A negative i32 as well: the bits are the same.
    else view.setUint32(i * 4, value, true);
  });
  const unknown = Object.keys(values).find((name) => !fields.some((field) => field.name === name));
  if (unknown) throw new UsageError(`${kernel}: struct Params has no field ${unknown}`);
  return bytes;
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
  4 * [...Object.values(call.shapes), call.y].reduce((sum, shape) => sum + (shape ? sizeOf(shape) : 0), 0);
