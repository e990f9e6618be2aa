import { check, checkChoice, checkOptions, UsageError } from "../ground/errors.ts";
import { checkDtype, type Dtype } from "../ground/options.ts";
import type { Graph } from "./graph.ts";
import { type Forced, lower, type Target } from "./lower.ts";
import { type PassName, passes } from "./passes.ts";
import { type Limits, makePlan, type Plan } from "./plan.ts";

/** What a graph is compiled with. */
export interface CompileOptions {
  /** Graph rewrites to run; all of them by default. */
  readonly passes?: readonly PassName[];
  /** Variants to take whatever the device: `{ conv2d: "conv2d" }` asks for the plain kernel. */
  readonly variants?: Forced;
  /**
   * "strict" computes every layer directly. By default faster algorithms (Winograd's) are taken where all of them
   * together add no more than 2e-5 of the outputs' rms to the error, or in f16 no more than 5e-3.
   */
  readonly precision?: "default" | "strict";
  /**
   * "f16" stores weights and activations in half the bytes, where the adapter has shader-f16; sums are float32 all the
   * same. A run whose values go beyond 65504 throws a GpuError (OVERFLOW).
   */
  readonly dtype?: Dtype;
}

/** Runs the passes on a graph: all of them by default. */
export function optimize(graph: Graph, outputs: readonly string[], enabled: readonly PassName[] = PASSES): Graph {
  check(Array.isArray(enabled), "passes", enabled, "an array of names");
  for (const name of enabled) checkChoice("a pass", name, PASSES);
  const names = PASSES.filter((name) => enabled.includes(name));
  return names.reduce((rewritten, name) => passes[name](rewritten, outputs), graph);
}

/** Runs the passes on a graph, picks a variant for every operator, and lays the result out. */
export function compile(
  graph: Graph,
  outputs: readonly string[],
  target: Target & { readonly limits: Limits },
  { passes: enabled, variants: forced = {}, precision = "default", dtype = "f32" }: CompileOptions = {},
): Plan {
  const operators = graph.nodes.flatMap((node) => (node.kind === "op" ? node.kernel.name : []));
  // Those of other nets are legal, so that one choice can be given for all.
  checkOptions("variants", forced, [...new Set([...operators, ...Object.keys(target.variants)])]);
  checkDtype(dtype);
  checkChoice("precision", precision, ["default", "strict"]);
  if (dtype === "f16" && !target.traits.f16) {
    throw new UsageError('this adapter computes no f16 (it lacks "shader-f16"): pass the option dtype: "f32"');
  }
  const tolerance = precision === "strict" ? 0 : undefined;
  const lowered = lower(optimize(graph, outputs, enabled), outputs, target, { forced, tolerance, dtype });
  return makePlan(lowered, outputs, target.limits, dtype);
}

const PASSES = Object.keys(passes) as PassName[];
