import type { Shape } from "../ground/tensor.ts";
import type { Call } from "./kernel.ts";

// What kernels say of themselves in the terms of ONNX: kernels/onnx.ts has the table.

/** An attribute of an operator. A plain number is an integer. */
export type OnnxAttribute = number | readonly number[] | { readonly float: number };

export interface OnnxConstant {
  readonly type: "float" | "int64";
  readonly shape: Shape;
  readonly values: readonly number[];
}

/** What an operator reads: a value by its name, a constant, another operator's output, or nothing where it is optional. */
export type OnnxOperand = string | OnnxConstant | OnnxOperation | undefined;

/** An operator of ONNX with what it reads: a tree, since a kernel may be several operators there. */
export interface OnnxOperation {
  readonly op: string;
  readonly operands: readonly OnnxOperand[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/**
 * What a call of a kernel is in ONNX; `inputs` are the names of its values. It must not depend on the size of the
 * batch, which may be left open. Throws a UsageError when ONNX has nothing that does the same.
 */
// biome-ignore lint/suspicious/noExplicitAny: each for the calls of its own kernel
export type OnnxConversion = (inputs: Readonly<Record<string, string>>, call: Call<any, any>) => OnnxOperation;

/** The conversions by the names of the kernels: kernels/onnx.ts. */
export type OnnxOperators = Readonly<Record<string, OnnxConversion>>;

export const operation = (
  op: string,
  operands: readonly OnnxOperand[],
  attributes: OnnxOperation["attributes"] = {},
): OnnxOperation => ({ op, operands, attributes });

/** A list of integers, such as a shape or axes. */
export const integers = (values: readonly number[]): OnnxConstant => ({
  type: "int64",
  shape: [values.length],
  values,
});

/** Floating-point numbers: a single one unless a shape is given. */
export const floats = (values: readonly number[], shape: Shape = []): OnnxConstant => ({
  type: "float",
  shape,
  values,
});
