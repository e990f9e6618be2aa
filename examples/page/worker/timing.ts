import { type AnyNet, OUTPUTS } from "../../../engine/definition.ts";
import type { Executable } from "../../../engine/device/executable.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { sizeOf } from "../../../engine/ground/tensor.ts";
import { measureNet, type NetFigures, type Source, sourceOf } from "../../../engine/tuning/figures.ts";
import { rate } from "../../../engine/tuning/report.ts";
import { measureRoofline, type Roofline } from "../../../engine/tuning/roofline.ts";
import { probes } from "../../../kernels/probes.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { describeBrowser } from "../browser_name.ts";
import { type Clock, openClock, repeatsFor } from "./clock.ts";
import { type LoadingOptions, loadModel } from "./load_model.ts";

/** One layer of a net as it ran: one step, or several where its variant has several kernels. */
export interface LayerTime {
  readonly layer: string;
  readonly operator: string;
  readonly variant: string;
  /** Why this variant. */
  readonly why: string;
  readonly kernels: readonly {
    readonly name: string;
    readonly grid: readonly number[];
    readonly milliseconds: number;
  }[];
  /** Milliseconds: of the first run, and of later ones. */
  readonly cold: number;
  readonly milliseconds: number;
  readonly flops: number;
  readonly bytes: number;
  readonly flopsRate?: number;
  /** The least time that the device's roofline allows, over the time taken. */
  readonly rooflineShare?: number;
}

export interface NetTiming {
  readonly net: string;
  readonly adapter: Gpu["adapter"];
  readonly clock: Clock["kind"];
  readonly roofline: Roofline;
  /** Milliseconds until kernels were compiled and weights on the GPU. */
  readonly loading: number;
  /** Milliseconds of the layers together, in the first run and in later ones. */
  readonly cold: number;
  readonly warm: number;
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

async function timeLayers(gpu: Gpu, definition: AnyNet, loading: LoadingOptions) {
  const { signal } = loading;
  const start = performance.now();
  const model = await loadModel(gpu, definition, { random: true }, loading, { outputs: OUTPUTS });
  const clock = await openClock(gpu);
  try {
    const executable = await model.executable(OUTPUTS);
    const loaded = performance.now() - start;
    const x = Float32Array.from({ length: sizeOf(executable.plan.inputs[0].shape) }, () => 2 * Math.random() - 1);
    const steps = await timeSteps(executable, { x }, clock, signal, (done, total) =>
      loading.onProgress({ phase: "tune", file: definition.name, loaded: done, total }),
    );
    const roofline = await measureRoofline(gpu, probes);
    const layers = groupByLayer(executable, steps, roofline);
    const total = (key: "cold" | "milliseconds") => layers.reduce((sum, layer) => sum + layer[key], 0);
    return { clock: clock.kind, roofline, loading: loaded, cold: total("cold"), warm: total("milliseconds"), layers };
  } finally {
    clock.close();
    await model.dispose();
  }
}

interface StepTime {
  readonly cold: number;
  readonly milliseconds: number;
}

/** Every step in its place in the net: once as the first run has it, then as often as the clock needs. */
function timeSteps(
  executable: Executable,
  inputs: Readonly<Record<string, Float32Array>>,
  clock: Clock,
  signal: AbortSignal,
  onProgress: (done: number, total: number) => void,
): Promise<StepTime[]> {
  return executable.exclusive(async () => {
    executable.write(inputs);
    const { dispatches } = executable;
    const cold: number[] = [];
    for (const dispatch of dispatches) {
      signal.throwIfAborted();
      cold.push(await clock.time([dispatch]));
      onProgress(cold.length, 3 * dispatches.length);
    }
    const steps: StepTime[] = [];
    for (const [i, dispatch] of dispatches.entries()) {
      signal.throwIfAborted();
      const first = await clock.time([dispatch], repeatsFor(cold[i]));
      const second = first < SLOW_MS ? await clock.time([dispatch], repeatsFor(first)) : first;
      steps.push({ cold: cold[i], milliseconds: Math.min(first, second) });
      onProgress(dispatches.length + 2 * steps.length, 3 * dispatches.length);
    }
    return steps;
  });
}

function groupByLayer(executable: Executable, times: readonly StepTime[], roofline: Roofline): LayerTime[] {
  const groups = new Map<string, number[]>();
  executable.plan.steps.forEach(({ label }, i) => {
    groups.set(label, [...(groups.get(label) ?? []), i]);
  });
  return [...groups].map(([layer, members]) => {
    const steps = members.map((i) => ({ ...executable.plan.steps[i], ...times[i] }));
    const { choice, kernel } = steps[0];
    return {
      layer,
      operator: choice?.operator ?? kernel,
      variant: choice?.variant ?? kernel,
      why: choice?.why ?? "there is only one way",
      kernels: steps.map(({ kernel, grid, milliseconds }) => ({ name: kernel, grid, milliseconds })),
      cold: steps.reduce((sum, step) => sum + step.cold, 0),
      ...rate(steps, roofline),
    };
  });
}
