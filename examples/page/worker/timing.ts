import { type AnyNet, OUTPUTS, trace } from "../../../engine/definition.ts";
import type { Executable } from "../../../engine/device/executable.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { compile } from "../../../engine/graph/compile.ts";
import type { Step } from "../../../engine/graph/plan.ts";
import type { Progress } from "../../../engine/ground/options.ts";
import { sizeOf } from "../../../engine/ground/tensor.ts";
import { measureNet, type NetFigures, type Source, sourceOf } from "../../../engine/tuning/figures.ts";
import { type Performance, rate } from "../../../engine/tuning/report.ts";
import { measureRoofline, type Roofline } from "../../../engine/tuning/roofline.ts";
import { probes } from "../../../kernels/probes.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { describeBrowser } from "../browser_name.ts";
import { type Clock, openClock, repeatsFor } from "./clock.ts";
import { type LoadingOptions, loadModel } from "./load_model.ts";

/** One layer of a net as this device runs it: one step, or several where its variant has several kernels. */
export interface Layer {
  readonly layer: string;
  readonly operator: string;
  readonly variant: string;
  /** Why this variant. */
  readonly why: string;
  readonly kernels: readonly {
    readonly name: string;
    readonly grid: readonly number[];
    /** Once it is measured. */
    readonly milliseconds?: number;
  }[];
  readonly flops: number;
  readonly bytes: number;
}

/** A layer as it ran. */
export interface LayerTime extends Layer, Performance {
  /** Milliseconds of the first run; those of Performance are of later ones. */
  readonly cold: number;
}

/** What is known of a net before it is measured. */
export interface Preview {
  readonly net: string;
  readonly adapter: Gpu["adapter"];
  readonly layers: readonly Layer[];
  /** About how long a measurement takes. */
  readonly seconds: number;
}

/** What the page is told of a layer while it measures. */
export interface Heard extends Progress {
  /** Milliseconds of its first run. */
  readonly cold?: number;
}

export interface NetTiming {
  readonly net: string;
  readonly adapter: Gpu["adapter"];
  readonly clock: Clock["kind"];
  readonly roofline: Roofline;
  /** Milliseconds until kernels were compiled and weights on the GPU. */
  readonly loading: number;
  /** Milliseconds of the layers together in the first run. */
  readonly cold: number;
  /** The layers together in later ones. */
  readonly total: Performance;
  /** What "Save figures" saves. */
  readonly figures: NetFigures;
  readonly source: Source;
  readonly layers: readonly LayerTime[];
}

/** The version in package.json: see build_page.ts. */
declare const SHADENET_VERSION: string;

/** What takes longer than this many milliseconds is timed once. */
const SLOW_MS = 20;

/** Measures a net with random weights: layer by layer, and as a whole. */
export async function timeNet(gpu: Gpu, name: string, loading: LoadingOptions): Promise<NetTiming> {
  const definition = await gpu.definition(name);
  const timed = await timeLayers(gpu, definition, loading);
  // Its first run is none any more.
  const figures = await measureNet(gpu, definition, { weights: randomWeights(definition), signal: loading.signal });
  const about = { shadenet: SHADENET_VERSION, backend: "", ...describeBrowser(navigator.userAgent) };
  return { net: name, adapter: gpu.adapter, ...timed, figures, source: sourceOf(gpu, about) };
}

/** The layers of a net as this device will run them, and how long it takes to measure them. */
export async function previewNet(gpu: Gpu, name: string): Promise<Preview> {
  const definition = await gpu.definition(name);
  const graph = trace(definition);
  await gpu.ready(graph);
  const { steps } = compile(graph, OUTPUTS, gpu);
  const layers = groupByLayer(steps).map(describeLayer);
  const flops = steps.reduce((sum, step) => sum + step.flops, 0);
  return { net: name, adapter: gpu.adapter, layers, seconds: secondsOf(steps.length, flops, gpu.adapter.software) };
}

/** Devices of which little is known: a step and a wait for it, and operations in a second. */
const TYPICAL = { gpu: { step: 0.03, flops: 1e12 }, software: { step: 0.1, flops: 3e9 } };

/** Loading and the roofline, every step in its place some times, and about thirty runs of the net. */
function secondsOf(steps: number, flops: number, isSoftware: boolean): number {
  const typical = isSoftware ? TYPICAL.software : TYPICAL.gpu;
  return 2 + steps * typical.step + (30 * flops) / typical.flops;
}

async function timeLayers(gpu: Gpu, definition: AnyNet, loading: LoadingOptions) {
  const start = performance.now();
  const model = await loadModel(gpu, definition, { random: true }, loading, { outputs: OUTPUTS });
  const clock = await openClock(gpu);
  try {
    const executable = await model.executable(OUTPUTS);
    const loaded = performance.now() - start;
    const x = Float32Array.from({ length: sizeOf(executable.plan.inputs[0].shape) }, () => 2 * Math.random() - 1);
    const times = await timeSteps(executable, { x }, clock, loading);
    const roofline = await measureRoofline(gpu, probes);
    const timed = executable.plan.steps.map((step, i) => ({ ...step, ...times[i] }));
    const layers = groupByLayer(timed).map((steps) => ({
      ...describeLayer(steps),
      kernels: steps.map(({ kernel, grid, milliseconds }) => ({ name: kernel, grid, milliseconds })),
      cold: coldOf(steps),
      ...rate(steps, roofline),
    }));
    const total = rate(timed, roofline);
    return { clock: clock.kind, roofline, loading: loaded, cold: coldOf(timed), total, layers };
  } finally {
    clock.close();
    await model.dispose();
  }
}

interface StepTime {
  readonly cold: number;
  readonly milliseconds: number;
}

const coldOf = (steps: readonly StepTime[]): number => steps.reduce((sum, { cold }) => sum + cold, 0);

/** Every step in its place in the net: once as the first run has it, then as often as the clock needs. */
function timeSteps(
  executable: Executable,
  inputs: Readonly<Record<string, Float32Array>>,
  clock: Clock,
  { signal, onProgress }: LoadingOptions,
): Promise<StepTime[]> {
  return executable.exclusive(async () => {
    executable.write(inputs);
    const { dispatches, plan } = executable;
    const total = 3 * dispatches.length;
    const tell = (i: number, loaded: number, cold?: number) => {
      const heard: Heard = { phase: "tune", file: plan.steps[i].label, loaded, total, cold };
      onProgress(heard);
    };
    const cold: number[] = [];
    for (const [i, dispatch] of dispatches.entries()) {
      signal.throwIfAborted();
      cold.push(await clock.time([dispatch]));
      tell(i, cold.length, cold[i]);
    }
    const steps: StepTime[] = [];
    for (const [i, dispatch] of dispatches.entries()) {
      signal.throwIfAborted();
      const first = await clock.time([dispatch], repeatsFor(cold[i]));
      const second = first < SLOW_MS ? await clock.time([dispatch], repeatsFor(first)) : first;
      steps.push({ cold: cold[i], milliseconds: Math.min(first, second) });
      tell(i, dispatches.length + 2 * steps.length);
    }
    return steps;
  });
}

/** Steps of one layer together, in the order of the first of each. */
function groupByLayer<T extends Step>(steps: readonly T[]): T[][] {
  const groups = new Map<string, T[]>();
  for (const step of steps) groups.set(step.label, [...(groups.get(step.label) ?? []), step]);
  return [...groups.values()];
}

function describeLayer(steps: readonly Step[]): Layer {
  const { label, choice, kernel } = steps[0];
  return {
    layer: label,
    operator: choice?.operator ?? kernel,
    variant: choice?.variant ?? kernel,
    why: choice?.why ?? "there is only one way",
    kernels: steps.map(({ kernel, grid }) => ({ name: kernel, grid })),
    flops: steps.reduce((sum, { flops }) => sum + flops, 0),
    bytes: steps.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
