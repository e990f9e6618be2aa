import { check, checkFields, checkObject, checkText, isTexts, UsageError } from "../ground/errors.ts";
import type { Dtype } from "../ground/options.ts";
import { checkDtype } from "../ground/options.ts";
import { checkGraph, type Graph } from "./graph.ts";
import { defineKernel as define, type Kernel, type KernelSpec, MAX_WORKGROUPS } from "./kernel.ts";
import { DEFAULT_LIMITS, type Limits, type Plan, makePlan as plan } from "./plan.ts";
import { fits, specialize as specialized } from "./wgsl.ts";

// What programs may call of this room, with its arguments checked: kernels, compiler and nets give sound ones, and a page
// that defines no kernel of its own loads none of it.

const SPEC = {
  name: "string",
  inputs: "object",
  options: "object",
  wgsl: "string",
  shape: "function",
  cost: "function",
  consts: "function",
  params: "function",
  grid: "function",
};

/** Makes a kernel of its spec. Throws a UsageError for what a spec must have, and what its WGSL cannot be. */
export function defineKernel<const K extends string, O extends object>(spec: KernelSpec<K, O>): Kernel<K, O> {
  checkFields("the spec of a kernel", spec, SPEC);
  const { name, inputs } = spec;
  check(name.length > 0 && name.length <= 100, "the name of a kernel", name, "of 1 to 100 characters");
  check(isTexts(inputs) && inputs.length > 0, `inputs of ${name}`, inputs, "an array of names");
  const kernel = define({
    ...spec,
    grid(call, part) {
      const grid = spec.grid(call, part);
      const isGrid =
        Array.isArray(grid) && grid.length === 3 && grid.every((size) => fits(size, "u32") && size <= MAX_WORKGROUPS);
      check(isGrid, `the grid of ${name}`, grid, `three integers up to ${MAX_WORKGROUPS}`);
      return grid;
    },
  });
  for (const { name: field, type } of kernel.reflection.params) {
    if (/^(u32|i32|f32)$/.test(type)) continue;
    throw new UsageError(`${name}.wgsl: Params.${field} is a ${type}; fields must be u32, i32 or f32`);
  }
  const { bindings } = kernel.reflection;
  const known = inputs.map((input) => input.replace(/\?|\.{3}/, ""));
  const unknown = bindings.find(({ name, type }) => type !== "uniform" && name !== "y" && !known.includes(name));
  if (unknown) {
    throw new UsageError(
      `${name}.wgsl: the binding ${unknown.name} is no input (${known.join(", ")}), nor the output, which is y`,
    );
  }
  if (!bindings.some(({ name, type }) => name === "y" && type === "storage")) {
    throw new UsageError(`${name}.wgsl writes nothing: its output is to be var<storage, read_write> y`);
  }
  return kernel;
}

/**
 * Lays a graph out as steps over reused buffers: what a device of these limits would run for these outputs. Throws a
 * GpuError (LIMIT) where a tensor cannot fit it, a UsageError for an output that the graph does not have.
 */
export function makePlan(
  graph: Graph,
  outputs: readonly string[],
  limits: Limits = DEFAULT_LIMITS,
  dtype: Dtype = "f32",
): Plan {
  checkGraph(graph);
  check(isTexts(outputs), "outputs", outputs, "an array of names");
  checkLimits(limits);
  checkDtype(dtype);
  return plan(graph, outputs, limits, dtype);
}

export const checkLimits = (limits: Limits): void =>
  checkFields("limits", limits, { maxStorageBufferBindingSize: "number", maxBufferSize: "number" });

/** Sets the specialization constants of a WGSL source: see wgsl.ts. */
export function specialize(wgsl: string, consts: Readonly<Record<string, number | boolean>>): string {
  checkText("the WGSL", wgsl);
  checkObject("what its constants are set to", consts);
  return specialized(wgsl, consts);
}
