import { type AnyNet, type LoadOptions, OUTPUTS, traceSlice } from "../definition.ts";
import type { Executable } from "../device/executable.ts";
import { checkRuns, timeSteps } from "../device/profile.ts";
import type { Gpu } from "../gpu.ts";
import { type Candidate, candidatesOf } from "../graph/candidates.ts";
import { optimize } from "../graph/compile.ts";
import { fastest, tryOut } from "../graph/estimate.ts";
import { callOf, Graph, layerOf, type OpNode } from "../graph/graph.ts";
import { callKey, lower } from "../graph/lower.ts";
import type { Value } from "../graph/value.ts";
import type { Setting } from "../graph/variant.ts";
import { checkFields, checkOptions, GpuError } from "../ground/errors.ts";
import { mapValues } from "../ground/records.ts";
import { sizeOf, type Tensor } from "../ground/tensor.ts";
import { withModel } from "../model.ts";
import { writeTuning } from "./kept.ts";

export interface TuneOptions extends Pick<LoadOptions, "batch" | "imageSize" | "signal" | "onProgress"> {
  /** Measured runs of every candidate. */
  readonly runs?: number;
}

/** A layer that was measured. */
export interface Tuned {
  /** The layers of the net that it stands for: all with the same operator, shapes and options. */
  readonly layers: readonly string[];
  /** The operator, shapes and options: see callKey(). */
  readonly key: string;
  /** The variant that is taken from now on. */
  readonly best: string;
  /** The variant that would be taken without a measurement. */
  readonly estimated: string;
  /** Every candidate, the fastest first. */
  readonly times: readonly Timed[];
}

export interface Timed {
  readonly variant: string;
  /** The fastest of its runs: whatever else is done on the machine can only add to it. */
  readonly milliseconds?: number;
  /** Why it has none: it does not run on this device, or its results are wrong. */
  readonly problem?: string;
}

const TUNE_OPTIONS = ["batch", "imageSize", "signal", "runs", "onProgress"];

/** A candidate that is estimated to take this many times as long as the best is not measured. */
const HOPELESS = 6;

/**
 * Measures the variants of every layer of a net on this device, one layer at a time on random data, and keeps the fastest
 * of each: for all nets that are loaded from then on, and for the next time this adapter is opened. What was measured
 * before an error or an abort is kept, too. Layers without a choice are left out. Besides TuneOptions it takes the net's
 * own options. Throws what loadNet() throws for a net and its options, a FileError where nothing can be kept.
 */
export async function tune(
  gpu: Gpu,
  net: string | AnyNet,
  given: TuneOptions & { readonly [option: string]: unknown } = {},
): Promise<Tuned[]> {
  checkFields("the GPU", gpu, { definition: "function", traits: "object", variants: "object", limits: "object" });
  const definition = await gpu.definition(net);
  checkOptions(`tuning ${definition.name}`, given, [...Object.keys(definition.options), ...TUNE_OPTIONS]);
  const { runs = 5, ...others } = given;
  checkRuns(runs);
  const { signal, onProgress } = given;
  const graph = traceSlice(definition, others, gpu);
  await gpu.ready(graph);
  const layers = tunableLayers(gpu, optimize(graph, OUTPUTS.slice(0, 1)));
  const results: Tuned[] = [];
  const measured = new Map<string, string>();
  for (const [index, { key, names, graph }] of layers.entries()) {
    signal?.throwIfAborted();
    onProgress?.({ phase: "tune", file: names[0], loaded: index, total: layers.length });
    const times = await race(gpu, graph, runs, signal);
    if (times.length > 1) {
      const best = times[0].milliseconds === undefined ? operatorOf(graph).kernel.name : times[0].variant;
      results.push({ layers: names, key, best, estimated: estimate(gpu, graph), times });
      measured.set(key, best);
      gpu.tuned = new Map([...gpu.tuned, [key, best]]);
    }
    await writeTuning(gpu, measured);
  }
  return results;
}

/** Every operator of a net that has variants, once for all layers that are alike, each in a graph of its own. */
function tunableLayers(gpu: Gpu, net: Graph) {
  const layers = new Map<string, { key: string; names: string[]; graph: Graph }>();
  net.nodes.forEach((node, id) => {
    if (node.kind !== "op" || !Object.hasOwn(gpu.variants, node.kernel.name)) return;
    const key = callKey(node.kernel.name, callOf(net, node));
    const layer = layers.get(key) ?? { key, names: [], graph: isolate(net, node) };
    layer.names.push(layerOf(net, id));
    layers.set(key, layer);
  });
  return [...layers.values()];
}

/** An operator as a graph of its own, "y". */
export function isolate(net: Graph, { kernel, inputs, options }: OpNode): Graph {
  const graph = new Graph();
  const values: Record<string, Value> = {};
  for (const [name, id] of Object.entries(inputs)) {
    const { shape } = net.nodes[id];
    const isParam = net.nodes[net.root(id)].kind === "param";
    values[name] = isParam ? graph.param(name, shape) : graph.input(name, shape);
  }
  graph.name("y", graph.add(kernel, values, options));
  return graph;
}

export const operatorOf = (graph: Graph): OpNode => graph.nodes[graph.find("y")] as OpNode;

/** Measures the candidates for an operator in turn. The fastest first; none if there is no choice. */
async function race(gpu: Gpu, graph: Graph, runs: number, signal: AbortSignal | undefined): Promise<Timed[]> {
  const candidates = contenders(gpu, graph);
  if (candidates.length < 2) return [];
  const { name } = operatorOf(graph).kernel;
  const tensors = randomTensors(graph);
  const inputs = mapValues(tensors, ({ data }) => data);
  return withModel(
    gpu,
    graph,
    tensors,
    async (model) => {
      const racers: { variant: string; executable: Executable; times: number[] }[] = [];
      const problems: Timed[] = [];
      let wanted: Float32Array | undefined;
      // The operator's own kernel says what is right, though it may be too slow to be a candidate.
      for (const variant of new Set([name, ...candidates])) {
        signal?.throwIfAborted();
        try {
          const executable = await model.executable(["y"], { passes: [], variants: { [name]: variant } });
          racers.push({ variant, executable, times: [] });
          const { y } = await executable.run(inputs);
          wanted ??= y.data;
          if (!isClose(y.data, wanted)) problems.push({ variant, problem: "its results are wrong" });
        } catch (error) {
          if (variant === name || !(error instanceof GpuError) || !RECOVERABLE.includes(error.code)) throw error;
          problems.push({ variant, problem: error.message });
        }
      }
      const sound = racers.filter(
        ({ variant }) => candidates.includes(variant) && !problems.some((each) => each.variant === variant),
      );
      for (let run = 0; run < runs; run++) {
        for (const { executable, times } of sound) {
          signal?.throwIfAborted();
          times.push(await timeOnce(executable, inputs));
        }
      }
      const timed = sound.map(({ variant, times }) => ({ variant, milliseconds: Math.min(...times) }));
      return [...timed.sort((a, b) => a.milliseconds - b.milliseconds), ...problems];
    },
    { signal },
  );
}

/** A device that tells one of these goes on. */
export const RECOVERABLE = ["SHADER", "LIMIT", "OUT_OF_MEMORY"];

/** Milliseconds of a plan's steps, but for changes of layout, which mostly cancel in a net. */
async function timeOnce(executable: Executable, inputs: Readonly<Record<string, Float32Array>>): Promise<number> {
  const { runs } = await timeSteps(executable, inputs, 1);
  const { steps } = executable.plan;
  const spans = runs[0].filter((_, i) => !steps[i].converts);
  return spans.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Uniform in [-0.5, 0.5), for all that a graph reads. */
export function randomTensors(graph: Graph): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = {};
  for (const node of graph.nodes) {
    if (node.kind !== "input" && node.kind !== "param") continue;
    const data = new Float32Array(sizeOf(node.shape));
    for (let i = 0; i < data.length; i++) data[i] = Math.random() - 0.5;
    tensors[node.name] = { shape: node.shape, data };
  }
  return tensors;
}

/** The ways to compute an operator that may be the best by their estimates, the operator's own kernel among them. */
function contenders({ variants, traits }: Gpu, graph: Graph): string[] {
  const node = operatorOf(graph);
  const trial = isolate(graph, node);
  const setting: Setting = { ...traits, dtype: "f32" };
  const inputs = Object.fromEntries(Object.keys(node.inputs).map((name, i) => [name, trial.value(i)]));
  const [plain, ...others] = candidatesOf(graph, node, inputs, variants, setting);
  const all: Candidate[] = [plain, ...others.filter(({ reason, gains }) => reason === undefined && gains())];
  const tried = all.map(({ name, make }) => ({ name, ...tryOut(trial, make, setting) }));
  const least = fastest(tried).seconds ?? 0;
  return tried.filter(({ seconds = 0 }) => seconds <= HOPELESS * least).map(({ name }) => name);
}

/** The variant that is taken where nothing was measured. */
function estimate({ traits, variants }: Gpu, graph: Graph): string {
  const { nodes } = lower(graph, ["y"], { traits, variants });
  const [choice] = nodes.flatMap((node) => (node.kind === "op" && node.choice) || []);
  return choice.variant;
}

/** Variants round differently, Winograd's most: this tells a wrong one from a right one. */
export function isClose(got: Float32Array, want: Float32Array): boolean {
  const rms = Math.sqrt(want.reduce((sum, value) => sum + value * value, 0) / want.length);
  return got.every((value, i) => Math.abs(value - want[i]) <= 1e-3 * rms);
}
