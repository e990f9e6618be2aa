import type { Executable } from "../../../engine/device/executable.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { defineKernel } from "../../../engine/graph/checked.ts";
import { referenceOf } from "../../../engine/graph/evaluate.ts";
import { type Graph, layerOf } from "../../../engine/graph/graph.ts";
import type { AnyCall, AnyKernel } from "../../../engine/graph/kernel.ts";
import { rewrite } from "../../../engine/graph/passes.ts";
import { makePlan, type Plan } from "../../../engine/graph/plan.ts";
import { CONSTANTS, specialize } from "../../../engine/graph/wgsl.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import { type Model, withModel } from "../../../engine/model.ts";
import { evaluateReference, references } from "../../../kernels/references.ts";
import { type Clock, openClock, repeatsFor } from "./clock.ts";
import type { Ladder } from "./ladder.ts";
import { type LoadingOptions, loadModel } from "./load_model.ts";
import { guardLoops } from "./loop_guard.ts";
import { findSources, graphOfCall, lowerNet, type Source } from "./uses.ts";

/** What the page lists. */
export interface SourceInfo {
  readonly name: string;
  readonly wgsl: string;
  /** The net that can be run with it, and what that asks for there; and whether it does so by itself on this device. */
  readonly net?: string;
  readonly operator?: string;
  readonly isDefault: boolean;
}

/** What the compiler says of a line, counted from 1; 0 where it is about the whole. */
export interface Diagnostic {
  readonly line: number;
  readonly column: number;
  readonly type: "error" | "warning" | "info";
  readonly message: string;
}

export interface Agreement {
  readonly kernel: string;
  /** The largest difference to the float64 reference, over the largest value (or over 1). */
  readonly error: number;
  readonly shippedError: number;
  readonly ok: boolean;
  /** The element that differs most, if any does. */
  readonly worst?: Worst;
}

export interface Worst {
  readonly index: readonly number[];
  readonly got: number;
  readonly wanted: number;
}

export interface Race {
  /** What was computed. */
  readonly what: string;
  /** Milliseconds: the fastest of some turns, taken one after the other. */
  readonly edited: number;
  readonly shipped: number;
  readonly clock: Clock["kind"];
}

export interface NetRun {
  readonly net: string;
  /** Dispatches of the edited kernel, of how many. */
  readonly replaced: number;
  readonly steps: number;
  /** The largest difference of the logits, over their rms. */
  readonly difference: number;
  readonly ok: boolean;
  /** The first step whose values differ by more than rounding makes them, and by how much of their rms. */
  readonly first?: { readonly layer: string; readonly kernel: string; readonly difference: number };
  readonly edited: number;
  readonly shipped: number;
}

/** Results that differ by more are not the same: of a kernel alone, and of a net. Rounding stays far below. */
const KERNEL_TOLERANCE = 1e-5;
const NET_TOLERANCE = 1e-4;

/** What takes longer than this many milliseconds is not timed again and again. */
const SLOW_MS = 500;

export class Playground {
  readonly #gpu: Gpu;
  readonly #sources: readonly Source[];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#sources = findSources(gpu);
  }

  list(): SourceInfo[] {
    return this.#sources.map(({ name, wgsl, use }) => ({
      name,
      wgsl,
      net: use?.net.name,
      operator: use?.operator,
      isDefault: use !== undefined && use.variant === undefined && use.passes === undefined,
    }));
  }

  #find(name: string): Source {
    const source = this.#sources.find((each) => each.name === name);
    if (source) return source;
    throw new UsageError(`there is no kernel ${name} on this device`);
  }

  /** What the compiler says of an edited source, in every form that its kernels are compiled in; and what these forms are. */
  async check(name: string, wgsl: string): Promise<Diagnostic[]> {
    const { kernels, consts } = this.#find(name);
    const found = new Map<string, Diagnostic>();
    for (const kernel of kernels) {
      for (const diagnostic of await this.#checkKernel(kernel, wgsl)) {
        found.set(`${diagnostic.line} ${diagnostic.message}`, diagnostic);
      }
    }
    const forms = [...kernels.map((kernel) => kernel.consts(this.#exampleCall(kernel))), ...consts];
    return [...found.values(), ...tellConstants(kernels[0], wgsl, forms)].sort((a, b) => a.line - b.line);
  }

  async #checkKernel(kernel: AnyKernel, wgsl: string): Promise<Diagnostic[]> {
    const gpu = this.#gpu;
    const { device, generation } = gpu;
    let code: string;
    try {
      const edited = withSource(kernel, wgsl);
      code = specialize(edited.wgsl, edited.consts(this.#exampleCall(kernel)));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      return [{ line: 0, column: 0, type: "error", message: error.message }];
    }
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: kernel.name, code });
    const scope = device.popErrorScope();
    const [{ messages }] = await gpu.settle(Promise.all([module.getCompilationInfo(), scope]));
    const diagnostics: Diagnostic[] = messages.map(({ lineNum, linePos, type, message }) => {
      return { line: lineNum, column: linePos, type, message };
    });
    if (!diagnostics.some(({ type }) => type === "error")) {
      // Only a pipeline is held to the device's limits, such as that of a workgroup's threads.
      const made = device.createComputePipelineAsync({ label: kernel.name, layout: "auto", compute: { module } });
      await gpu.settle(made).catch(({ message }: Error) => {
        diagnostics.push({ line: 0, column: 0, type: "error", message });
      });
    }
    gpu.check(generation);
    return diagnostics;
  }

  /**
   * Compares the edited kernels with their references, on several random inputs. What is far off already with loops that
   * are made to end is not run without that.
   */
  async compare(name: string, wgsl: string, signal: AbortSignal): Promise<Agreement[]> {
    const results: Agreement[] = [];
    for (const kernel of this.#find(name).kernels) {
      let [error, shippedError] = [0, 0];
      let worst: Worst | undefined;
      for (const form of [guardLoops(wgsl), wgsl, wgsl]) {
        signal.throwIfAborted();
        if (error > KERNEL_TOLERANCE) break;
        if (form !== wgsl && (await this.#checkKernel(kernel, form)).some(({ type }) => type === "error")) continue;
        const call = this.#exampleCall(kernel);
        const inputs = randomTensors(referenceOf(kernel, references).example.shapes);
        const wanted = evaluateReference(kernel, inputs, call.options).data;
        const got = await this.#run(withSource(kernel, form), call, inputs);
        const { difference, at } = largestDifference(got, wanted);
        if (difference > error) worst = { index: indexOf(at, call.y), got: got[at], wanted: wanted[at] };
        error = Math.max(error, difference);
        const shipped = largestDifference(await this.#run(kernel, call, inputs), wanted);
        shippedError = Math.max(shippedError, shipped.difference);
      }
      results.push({ kernel: kernel.name, error, shippedError, ok: error <= KERNEL_TOLERANCE, worst });
    }
    return results;
  }

  /** A kernel's own example, for subgroups of this device's size. */
  #exampleCall(kernel: AnyKernel): AnyCall {
    const { shapes, options } = referenceOf(kernel, references).example;
    const subgroup = "subgroup" in kernel.options ? { subgroup: this.#gpu.traits.subgroupSize } : {};
    const all = { ...kernel.options, ...options, ...subgroup };
    return { shapes, options: all, y: kernel.shape(shapes, all) };
  }

  async #run(kernel: AnyKernel, call: AnyCall, tensors: Record<string, Tensor>): Promise<Float32Array> {
    return (await this.#withCall(kernel, call, tensors, (executable) => executable.run({}))).y.data;
  }

  /** A graph as it stands, without variants. */
  #planOf(graph: Graph, output = "y"): Plan {
    return makePlan(graph, [output], this.#gpu.limits);
  }

  /** Puts a call on the device. */
  #withCall<T>(
    kernel: AnyKernel,
    call: AnyCall,
    tensors: Readonly<Record<string, Tensor>>,
    use: (executable: Executable) => Promise<T>,
  ): Promise<T> {
    const graph = graphOfCall(kernel, call);
    return withModel(this.#gpu, graph, tensors, async (model) => use(await model.prepare(this.#planOf(graph))));
  }

  /** Times the edited kernel against the shipped one, taking turns, on the largest call that a net has for it. */
  async race(name: string, wgsl: string, signal: AbortSignal): Promise<Race> {
    const { kernels, use } = this.#find(name);
    const kernel = kernels.find((each) => use && isCallOf(each, use.call)) ?? kernels[0];
    const inNet = use && isCallOf(kernel, use.call) ? use.call : undefined;
    const call = inNet && sizeOf(inNet.y) > FEW ? inNet : enlarge(kernel, this.#exampleCall(kernel), inNet);
    const inputs = randomTensors(call.shapes as Record<string, Shape>);
    const clock = await openClock(this.#gpu);
    const best = { edited: Infinity, shipped: Infinity };
    try {
      await this.#withCall(kernel, call, inputs, (shipped) =>
        this.#withCall(withSource(kernel, wgsl), call, inputs, async (edited) => {
          const first = await clock.time(shipped.dispatches);
          await clock.time(edited.dispatches);
          const repeats = repeatsFor(first);
          const turns = Math.min(8, Math.max(1, Math.round(SLOW_MS / (first * repeats))));
          for (let turn = 0; turn < turns; turn++) {
            signal.throwIfAborted();
            best.shipped = Math.min(best.shipped, await clock.time(shipped.dispatches, repeats));
            best.edited = Math.min(best.edited, await clock.time(edited.dispatches, repeats));
          }
        }),
      );
    } finally {
      clock.close();
    }
    const shapes = Object.entries(call.shapes).flatMap(([input, shape]) =>
      shape ? `${input} ${formatShape(shape)}` : [],
    );
    return { what: `${kernel.name} on ${shapes.join(", ")}`, ...best, clock: clock.kind };
  }

  /** Runs a net with the edited kernel in place of the shipped one, and compares the logits. */
  async runNet(name: string, wgsl: string, loading: LoadingOptions): Promise<NetRun> {
    const { wgsl: shippedSource, use } = this.#find(name);
    if (!use) throw new UsageError(`none of the nets here has a use for ${name}`);
    const lowered = lowerNet(this.#gpu, use);
    let replaced = 0;
    const swapped = rewrite(lowered, (node, _id, next) => {
      if (node.kind !== "op" || node.kernel.wgsl !== shippedSource) return "keep";
      replaced++;
      return next.graph.add(withSource(node.kernel, wgsl), next.inputsOf(node), node.options, node.choice);
    });
    const model = await loadModel(this.#gpu, use.net, { random: true }, loading);
    try {
      const shipped = await model.prepare(this.#planOf(lowered, "logits"));
      const edited = await model.prepare(this.#planOf(swapped, "logits"));
      const x = randomTensors({ x: shipped.plan.inputs[0].shape }).x.data;
      const { logits: wanted } = await shipped.run({ x });
      const { logits: got } = await edited.run({ x });
      const best = { edited: Infinity, shipped: Infinity };
      for (let turn = 0; turn < 3 && (turn === 0 || best.shipped < SLOW_MS); turn++) {
        loading.signal.throwIfAborted();
        for (const [key, executable] of [
          ["shipped", shipped],
          ["edited", edited],
        ] as const) {
          const start = performance.now();
          await executable.run({ x });
          best[key] = Math.min(best[key], performance.now() - start);
        }
      }
      const difference = relativeDifference(got.data, wanted.data);
      const steps = edited.plan.steps.length;
      const first = await this.#firstDifference(model, [lowered, swapped], x);
      const isEqual = difference <= NET_TOLERANCE;
      return { net: use.net.name, replaced, steps, difference, ok: isEqual, first, ...best };
    } finally {
      await model.dispose();
    }
  }

  /** Runs a net and the same one with other kernels once more, with all steps for outputs, and compares these in turn. */
  async #firstDifference(model: Model, graphs: readonly Graph[], x: Float32Array): Promise<NetRun["first"]> {
    const [wanted, got] = await Promise.all(
      graphs.map(async (graph) => {
        const steps = graph.nodes.flatMap((node, id) => {
          if (node.kind !== "op") return [];
          graph.name(`step ${id}`, graph.value(id));
          return [{ layer: layerOf(graph, id), kernel: node.kernel.name, output: `step ${id}` }];
        });
        const outputs = steps.map(({ output }) => output);
        const plan = makePlan(graph, outputs, this.#gpu.limits);
        const tensors = await (await model.prepare(plan)).run({ x });
        return steps.map((step) => ({ ...step, data: tensors[step.output].data }));
      }),
    );
    for (const [i, { layer, kernel, data }] of got.entries()) {
      const difference = relativeDifference(data, wanted[i].data);
      if (!(difference <= NET_TOLERANCE)) return { layer, kernel, difference };
    }
    return undefined;
  }

  /** Times all ways to compute the operator that a kernel is for, in the layer of a net that has most of it to do. */
  async ladder(name: string, loading: LoadingOptions): Promise<Ladder> {
    const { use } = this.#find(name);
    if (!use) throw new UsageError(`none of the nets here has a use for ${name}`);
    const { climb } = await import("./ladder.ts");
    const sourceOf = (kernel: string) =>
      this.#sources.find(({ kernels }) => kernels.some((each) => each.name === kernel))?.name;
    return climb(this.#gpu, use, sourceOf, loading);
  }
}

/**
 * The kernel with another source. Constants that stand there as shipped are set for each call, as always; what was typed in
 * place of one is what runs. Throws a UsageError when its bindings or Params cannot be read.
 */
function withSource(kernel: AnyKernel, wgsl: string): AnyKernel {
  const untouched = untouchedConstants(kernel, wgsl);
  return defineKernel({
    ...kernel,
    // In parentheses a value is no literal, and specialize() leaves it alone.
    wgsl: wgsl.replace(CONSTANTS, (declaration, name) =>
      untouched.has(name) ? declaration : declaration.replace(/=(.*);/, "=($1);"),
    ),
    consts: (call: AnyCall) =>
      Object.fromEntries(Object.entries(kernel.consts(call)).filter(([name]) => untouched.has(name))),
  });
}

/** Specialization constants that are in an edited source what they are in the shipped one, by their names. */
function untouchedConstants(kernel: AnyKernel, wgsl: string): Map<string, RegExpExecArray> {
  const textOf = ([, ...groups]: RegExpExecArray) => groups.join(" ");
  const shipped = new Set([...kernel.wgsl.matchAll(CONSTANTS)].map(textOf));
  const found = [...wgsl.matchAll(CONSTANTS)].filter((match) => shipped.has(textOf(match)));
  return new Map(found.map((match) => [match[1], match]));
}

/** Says which constants run with other values than those that are seen. */
function tellConstants(kernel: AnyKernel, wgsl: string, forms: Source["consts"]): Diagnostic[] {
  return [...untouchedConstants(kernel, wgsl)].flatMap(([name, { 3: seen, index }]) => {
    const values = [...new Set(forms.map((consts) => String(consts[name])))];
    if (values.every((value) => value === seen)) return [];
    const line = wgsl.slice(0, index).split("\n").length;
    const message = `${name} is set to ${values.join(" or ")} here; another value that you type is what runs`;
    return [{ line, column: 1, type: "info", message }];
  });
}

function isCallOf(kernel: AnyKernel, { shapes, options }: AnyCall): boolean {
  const names = kernel.inputs.map((name) => name.replace("?", ""));
  const sameOptions = String(Object.keys(options)) === String(Object.keys(kernel.options));
  return sameOptions && Object.keys(shapes).every((name) => names.includes(name));
}

/** Elements that a kernel is timed on where no net uses it, or on fewer than FEW. */
const ENOUGH = 2 ** 19;
const FEW = 2 ** 15;

/** The kernel's example with its first dimension grown, where that is the batch; else what a net has, or the example. */
function enlarge(kernel: AnyKernel, { shapes: small, options, y }: AnyCall, inNet: AnyCall | undefined): AnyCall {
  const factor = Math.ceil(ENOUGH / sizeOf(y));
  const grow = (shape: Shape | undefined) => shape && [shape[0] * factor, ...shape.slice(1)];
  const entries = Object.entries(small).map(([name, shape]) => [name, grow(shape)]);
  const shapes = Object.fromEntries(entries) as AnyCall["shapes"];
  try {
    const grown = { shapes, options, y: kernel.shape(shapes, options) };
    if (sizeOf(grown.y) === factor * sizeOf(y)) return grown;
  } catch {
    // Its first dimension is no batch.
  }
  return inNet ?? { shapes: small, options, y };
}

/** Uniform in [-1, 1); variances are positive. */
function randomTensors(shapes: Readonly<Record<string, Shape | undefined>>): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    if (!shape) continue;
    const number = name === "variance" ? () => 0.5 + Math.random() : () => 2 * Math.random() - 1;
    tensors[name] = { shape, data: Float32Array.from({ length: sizeOf(shape) }, number) };
  }
  return tensors;
}

/** The largest difference, over the largest value (or over 1), and where; Infinity where one is no number and the other is. */
function largestDifference(got: Float32Array, wanted: ArrayLike<number>, scale?: number) {
  let [largest, most, at] = [0, 1, 0];
  for (let i = 0; i < got.length; i++) {
    most = Math.max(most, Math.abs(wanted[i]));
    if (Object.is(got[i], Math.fround(wanted[i]))) continue;
    const difference = Math.abs(got[i] - wanted[i]);
    if (!(difference <= largest)) [largest, at] = [Number.isNaN(difference) ? Infinity : difference, i];
  }
  return { difference: largest / (scale ?? most), at };
}

/** The same over the rms of what is wanted; over 1 where all of that is 0. */
const relativeDifference = (got: Float32Array, wanted: Float32Array): number =>
  largestDifference(got, wanted, rmsOf(wanted) || 1).difference;

const rmsOf = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);

/** Where the element stands that is so far from the first one. */
function indexOf(at: number, shape: Shape): number[] {
  let rest = at;
  return shape
    .toReversed()
    .map((size) => {
      const index = rest % size;
      rest = Math.floor(rest / size);
      return index;
    })
    .reverse();
}
