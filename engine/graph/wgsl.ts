import { show, UsageError } from "../ground/errors.ts";
import type { Dtype } from "../ground/options.ts";
import { roundUp } from "../ground/tensor.ts";

/** What a kernel reads or writes. Textures are read, texel by texel. */
export type BindingType = "uniform" | "storage" | "read-only-storage" | "texture";

/** What a field of Params may be. */
export type NumberType = "u32" | "i32" | "f32";

/** What the runtime needs to know of a WGSL source, read from the source itself. */
export interface Reflection {
  readonly bindings: readonly {
    readonly index: number;
    readonly name: string;
    readonly type: BindingType;
  }[];
  /** Fields of `struct Params`, in order. */
  readonly params: readonly { readonly name: string; readonly type: NumberType }[];
  /** Factors of the threads in a workgroup: numbers, or names of specialization constants. */
  readonly threads: readonly string[];
}

function bindingType(space: string | undefined, access: string | undefined): BindingType {
  if (!space) return "texture";
  if (space === "uniform") return "uniform";
  return access === "read_write" ? "storage" : "read-only-storage";
}

/** Reads it: see checked.ts for what it must be. */
export function reflect(wgsl: string): Reflection {
  const declaration =
    /@group\(0\)\s*@binding\((\d+)\)\s*var(?:<(uniform|storage)(?:,\s*(read|read_write))?>)?\s*(\w+)/g;
  const bindings = [...wgsl.matchAll(declaration)].map(([, index, space, access, name]) => ({
    index: Number(index),
    name,
    type: bindingType(space, access),
  }));
  const body = /struct Params ?\{([^}]*)\}/.exec(wgsl)?.[1] ?? "";
  const fields = body.replace(/\/\/.*/g, "").matchAll(/(\w+)\s*:\s*([^,\s]+)/g);
  const params = [...fields].map(([, name, type]) => ({ name, type: type as NumberType }));
  const threads = /@workgroup_size\(([^)]*)/.exec(wgsl)?.[1].split(/\s*[,*]\s*/) ?? [];
  return { bindings, params, threads };
}

/**
 * The specialization constants of a WGSL source: its module-scope constants with a declared type and a literal value, such
 * as `const RELU: bool = false;`. Groups: name, type, value.
 */
export const CONSTANTS = /^const (\w+)\s*:\s*(u32|i32|f32|bool)\s*=\s*(true|false|-?[\d.]+(?:e-?\d+)?[uif]?);/gm;

/**
 * Sets the specialization constants of a WGSL source; those computed from others are left alone. Line numbers do not
 * change. Throws a UsageError unless exactly the source's constants are given.
 */
export function specialize(wgsl: string, consts: Readonly<Record<string, number | boolean>>): string {
  const seen = new Set<string>();
  const code = wgsl.replace(CONSTANTS, (_line, name: string, type: string) => {
    if (!(name in consts)) throw new UsageError(`the WGSL constant ${name} was given no value`);
    seen.add(name);
    return `const ${name}: ${type} = ${literal(name, type, consts[name])};`;
  });
  const unknown = Object.keys(consts).find((name) => !seen.has(name));
  if (unknown) {
    throw new UsageError(`the WGSL has no constant ${show(unknown)}; it has ${[...seen].join(", ") || "none"}`);
  }
  return code;
}

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
  throw new UsageError(`the WGSL constant ${name} is a ${type} and cannot be ${show(value)}`);
}

/** Whether a value can be a field of this type. */
export const fits = (value: unknown, type: NumberType): boolean =>
  type === "f32"
    ? typeof value === "number"
    : Number.isInteger(value) && value === (type === "u32" ? (value as number) >>> 0 : (value as number) | 0);

/** Bytes of `struct Params`, padded to 16; throws a UsageError unless exactly the struct's fields are given. */
export function packParams(
  kernel: string,
  fields: Reflection["params"],
  values: Readonly<Record<string, number>>,
): Uint8Array {
  const bytes = new Uint8Array(roundUp(4 * fields.length || 1, 16));
  const view = new DataView(bytes.buffer);
  fields.forEach(({ name, type }, i) => {
    const value = values[name];
    if (value === undefined) throw new UsageError(`${kernel}: Params.${name} was given no value`);
    if (!fits(value, type)) throw new UsageError(`${kernel}: Params.${name} = ${show(value)} is no ${type}`);
    if (type === "f32") view.setFloat32(i * 4, value, true);
    // A negative i32 as well: the bits are the same.
    else view.setUint32(i * 4, value, true);
  });
  const unknown = Object.keys(values).find((name) => !fields.some((field) => field.name === name));
  if (unknown) throw new UsageError(`${kernel}: struct Params has no field ${unknown}`);
  return bytes;
}
