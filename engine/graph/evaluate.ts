import { checkObject, ShapeError, UsageError } from "../ground/errors.ts";
import { formatShape, type Shape, sizeOf, tensor } from "../ground/tensor.ts";
import {
  type AnyKernel,
  type Call,
  checkInputs,
  checkKernel,
  completeOptions,
  type Example,
  type Kernel,
  type Named,
} from "./kernel.ts";

/** What a kernel computes, in naive float64 loops: its documentation and what it is tested against. */
export interface Reference<K extends string, O extends object> {
  readonly example: Example;
  compute(inputs: Named<K, Float32Array>, call: Call<K, O>): Float64Array;
}

/** The reference of a kernel. */
export type ReferenceOf<T> = T extends Kernel<infer K, infer O> ? Reference<K, O> : never;

// biome-ignore lint/suspicious/noExplicitAny: a table holds references of any kernels
export type AnyReference = Reference<any, any>;

/** References by the names of their kernels: kernels/references.ts. */
export type References = Readonly<Record<string, AnyReference>>;

/** A kernel's own reference, or the table's; throws a UsageError if there is none. */
export function referenceOf(kernel: AnyKernel, references: References): AnyReference {
  if (kernel.reference) return { example: kernel.example ?? { shapes: {} }, compute: kernel.reference };
  if (Object.hasOwn(references, kernel.name)) return references[kernel.name];
  throw new UsageError(`${kernel.name} has no reference: give defineKernel() one`);
}

/** Loops in float64 take their time: so many elements are what they are for. */
const MOST_ELEMENTS = 2 ** 26;

/**
 * Evaluates a kernel's float64 reference on plain arrays. Throws what the kernel does for its inputs and options, and a
 * ShapeError for an output of more than 2^26 elements.
 */
export function evaluate(
  references: References,
  kernel: AnyKernel,
  inputs: Readonly<Record<string, { shape: Shape; data: Float32Array } | undefined>>,
  options: object = {},
): { shape: Shape; data: Float64Array } {
  checkKernel(kernel);
  checkObject("the inputs", inputs);
  const all = completeOptions(kernel, options);
  const present = Object.entries(inputs).flatMap(([name, t]) => (t ? [[name, tensor(t.shape, t.data)] as const] : []));
  checkInputs(kernel, Object.fromEntries(present));
  const shapes = Object.fromEntries(present.map(([name, { shape }]) => [name, shape]));
  const data = Object.fromEntries(present.map(([name, t]) => [name, t.data]));
  const y = kernel.shape(shapes, all);
  if (sizeOf(y) > MOST_ELEMENTS)
    throw new ShapeError(`${kernel.name} would make ${formatShape(y)}: too much for loops`);
  return { shape: y, data: referenceOf(kernel, references).compute(data, { shapes, options: all, y }) };
}
