import type { Gpu } from "../../../engine/gpu.ts";
import { type Candidate, candidatesOf } from "../../../engine/graph/candidates.ts";
import { tryOut } from "../../../engine/graph/estimate.ts";
import { callOf, type Graph, layerOf, type OpNode } from "../../../engine/graph/graph.ts";
import type { Setting } from "../../../engine/graph/variant.ts";
import { GpuError } from "../../../engine/ground/errors.ts";
import { mapValues } from "../../../engine/ground/records.ts";
import { formatShape } from "../../../engine/ground/tensor.ts";
import { type Model, withModel } from "../../../engine/model.ts";
import { isClose, isolate, operatorOf, RECOVERABLE, randomTensors } from "../../../engine/tuning/tune.ts";
import { type Clock, openClock, repeatsFor } from "./clock.ts";
import type { LoadingOptions } from "./load_model.ts";
import { lowerNet, optimized, type Use } from "./uses.ts";

/** A way to compute an operator. */
export interface Rung {
  readonly variant: string;
  /** Its kernels that come from files of their own, by the names of these. */
  readonly sources: readonly string[];
  /** What the net takes here. */
  readonly isTaken: boolean;
  /** How many times as fast as the operator's own kernel, and the time that it takes. */
  readonly gain?: number;
  readonly milliseconds?: number;
  /** Why it was not measured: it does not apply here, or went wrong. */
  readonly reason?: string;
}

/** All ways to compute one layer on this device, the operator's own kernel first. */
export interface Ladder {
  readonly operator: string;
  readonly layer: string;
  readonly net: string;
  /** The shapes of the layer's inputs. */
  readonly what: string;
  readonly clock: Clock["kind"];
  readonly rungs: readonly Rung[];
}

/** Runs that the fastest is taken of. */
const TURNS = 3;

/**
 * Times every variant that applies to a layer, on random data and without changes of layout, which mostly cancel in a net.
 * `sourceOf` tells the file of a kernel. Throws what running them throws, but for what concerns one variant alone.
 */
export async function climb(
  gpu: Gpu,
  { net, passes, operator, layer }: Use,
  sourceOf: (kernel: string) => string | undefined,
  { signal, onProgress }: LoadingOptions,
): Promise<Ladder> {
  const whole = optimized({ net, passes });
  const isIt = (graph: Graph, id: number) => {
    const node = graph.nodes[id];
    return (
      node.kind === "op" && layerOf(graph, id) === layer && (node.choice?.operator ?? node.kernel.name) === operator
    );
  };
  const graph = isolate(whole, whole.nodes.find((_, id) => isIt(whole, id)) as OpNode);
  const lowered = lowerNet(gpu, { net, passes });
  const taken = (lowered.nodes.find((_, id) => isIt(lowered, id)) as OpNode | undefined)?.choice?.variant ?? operator;
  const candidates = candidatesFor(gpu, graph);
  const clock = await openClock(gpu);
  const rungs: Rung[] = [];
  try {
    const tensors = randomTensors(graph);
    await withModel(gpu, graph, tensors, async (model) => {
      const inputs = mapValues(tensors, ({ data }) => data);
      let plain: { readonly y: Float32Array; readonly milliseconds: number } | undefined;
      for (const [i, { name, reason }] of candidates.entries()) {
        signal.throwIfAborted();
        onProgress({ phase: "tune", file: name, loaded: i, total: candidates.length });
        const rung = { variant: name, isTaken: name === taken, sources: [] };
        if (reason) {
          rungs.push({ ...rung, reason });
          continue;
        }
        try {
          const { y, milliseconds, kernels } = await timeVariant(model, operator, name, inputs, clock);
          plain ??= { y, milliseconds };
          const sources = [...new Set(kernels.flatMap((kernel) => sourceOf(kernel) ?? []))];
          const isRight = isClose(y, plain.y);
          rungs.push(
            isRight
              ? { ...rung, sources, milliseconds, gain: plain.milliseconds / milliseconds }
              : { ...rung, sources, reason: "its results are wrong on this adapter" },
          );
        } catch (error) {
          if (!plain || !(error instanceof GpuError) || !RECOVERABLE.includes(error.code)) throw error;
          rungs.push({ ...rung, reason: error.message });
        }
      }
    });
  } finally {
    clock.close();
  }
  const shapes = Object.entries(callOf(graph, operatorOf(graph)).shapes);
  const what = shapes.flatMap(([name, shape]) => (shape ? [`${name} ${formatShape(shape)}`] : [])).join(", ");
  return { operator, layer, net: net.name, what, clock: clock.kind, rungs };
}

async function timeVariant(
  model: Model,
  operator: string,
  variant: string,
  inputs: Readonly<Record<string, Float32Array>>,
  clock: Clock,
) {
  const executable = await model.executable(["y"], { passes: [], variants: { [operator]: variant } });
  const { y } = await executable.run(inputs);
  const { steps } = executable.plan;
  const milliseconds = await executable.exclusive(async () => {
    executable.write(inputs);
    const dispatches = executable.dispatches.filter((_, i) => !steps[i].converts);
    const first = await clock.time(dispatches);
    let best = Infinity;
    for (let turn = 0; turn < TURNS; turn++) best = Math.min(best, await clock.time(dispatches, repeatsFor(first)));
    return best;
  });
  const kernels = steps.filter(({ converts }) => !converts).map(({ kernel }) => kernel);
  return { y: y.data, milliseconds, kernels };
}

/** All ways to compute the operator of a graph of one, with the reason why one does not apply here. */
function candidatesFor({ variants, traits }: Gpu, graph: Graph): Pick<Candidate, "name" | "reason">[] {
  const node = operatorOf(graph);
  const trial = isolate(graph, node);
  const setting: Setting = { ...traits, dtype: "f32" };
  const inputs = Object.fromEntries(Object.keys(node.inputs).map((name, i) => [name, trial.value(i)]));
  return candidatesOf(graph, node, inputs, variants, setting).map(({ name, reason, make }, i) => {
    const isForeign = i > 0 && reason === undefined && tryOut(trial, make, setting).seconds === Infinity;
    return { name, reason: isForeign ? "it is for other kinds of devices" : reason };
  });
}
