import type { Device } from "../device/device.ts";
import type { Executable } from "../device/executable.ts";
import { type Timings, timeSteps } from "../device/profile.ts";
import { type AnyReference, evaluate } from "../graph/evaluate.ts";
import { Graph } from "../graph/graph.ts";
import type { Kernel } from "../graph/kernel.ts";
import { makePlan } from "../graph/plan.ts";
import { GpuError } from "../ground/errors.ts";
import { withModel } from "../model.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { arraysCheckpoint } from "../weights/sources.ts";

/** What a device can do at most, as far as its own kernels get. (Williams, Waterman, Patterson 2009: "Roofline".) */
export interface Roofline {
  /** Operations per second in f32, a multiply-add being two. */
  readonly flops: number;
  /** Bytes per second of a copy, those read and those written. */
  readonly bytes: number;
  /** "gpu" for timestamps of the device, "wall" where it has none. */
  readonly clock: Timings["clock"];
}

/** The kernels that a device is measured with: kernels/probes.ts. */
export interface Probes {
  /** Multiply-adds: y [threads] of x [2], a factor and a term. */
  readonly peak: Kernel<"x", { threads: number }>;
  readonly peakReference: AnyReference;
  /** y = x, for memory. */
  readonly copy: Kernel<"x", object>;
}

/** The least time that work can take, in seconds: bound by arithmetic or by memory, whichever takes longer. */
export const leastSeconds = (
  work: { readonly flops: number; readonly bytes: number },
  roofline: Pick<Roofline, "flops" | "bytes">,
): number => Math.max(work.flops / roofline.flops, work.bytes / roofline.bytes);

/** The fastest of so many runs counts, since whatever disturbs one only makes it slower. */
const RUNS = { arithmetic: 12, memory: 5 };

/** Multiply-adds are timed for this many milliseconds at least, ... */
const LEAST_MS = 10;
/** ... but on no more threads than this, whose results take 64 MiB. */
const MOST_THREADS = 2 ** 24;

/** Bytes of what is copied: more than caches hold. On a GPU several times in a row, so that a coarse clock is no matter. */
const COPIES = { gpu: { bytes: 128 * 2 ** 20, times: 4 }, software: { bytes: 28 * 2 ** 20, times: 1 } };

/**
 * Measures the multiply-adds and the memory of a device. Takes less than a second and, for a moment, 384 MiB of its
 * memory (56 MiB on a software adapter). Throws a GpuError: GPU when it computes something else, OUT_OF_MEMORY.
 */
export async function measureRoofline(gpu: Device, probes: Probes): Promise<Roofline> {
  const { flops, clock } = await measurePeak(gpu, probes);
  return { flops, bytes: await measureCopies(gpu, probes), clock };
}

/** The least time of the steps together, in seconds. */
const least = ({ runs }: Timings): number =>
  Math.min(...runs.map((steps) => steps[steps.length - 1].end - steps[0].start)) / 1000;

async function measurePeak(
  gpu: Device,
  { peak, peakReference }: Probes,
): Promise<{ flops: number; clock: Timings["clock"] }> {
  // With 1 as factor and term the results are small integers: exact.
  const x = Float32Array.of(1, 1);
  // Every workgroup computes the same.
  const wanted = evaluate({ [peak.name]: peakReference }, peak, { x: { shape: [2], data: x } }).data;
  for (let threads = 1024; ; threads *= 2) {
    const graph = new Graph();
    graph.name("y", peak(graph.input("x", [2]), { threads }));
    const done = await withExecutable(gpu, graph, ["y"], arraysCheckpoint({}), async (executable) => {
      const { data } = (await executable.run({ x })).y;
      const wrong = data.findIndex((sum, thread) => sum !== wanted[thread % wanted.length]);
      if (wrong >= 0) {
        const expected = wanted[wrong % wanted.length];
        throw new GpuError("GPU", `the device computed ${data[wrong]} by multiply-adds that make ${expected}`);
      }
      const longEnough = least(await timeSteps(executable, { x }, 1)) * 1000 >= LEAST_MS;
      if (!longEnough && threads < MOST_THREADS) return undefined;
      const timings = await timeSteps(executable, { x }, RUNS.arithmetic);
      return { flops: executable.plan.steps[0].flops / least(timings), clock: timings.clock };
    });
    if (done) return done;
  }
}

async function measureCopies(gpu: Device, { copy }: Probes): Promise<number> {
  const { bytes, times } = gpu.adapter.software ? COPIES.software : COPIES.gpu;
  const shape = [Math.floor(Math.min(bytes, gpu.traits.maxBinding) / 16) * 4];
  const graph = new Graph();
  let x = graph.param("x", shape);
  for (let i = 0; i < times; i++) x = copy(x);
  // No output: nothing of it is read back.
  return withExecutable(gpu, graph, [], ones(shape), async (executable) => {
    const moved = executable.plan.steps.reduce((sum, step) => sum + step.bytes, 0);
    return moved / least(await timeSteps(executable, {}, RUNS.memory));
  });
}

/** A tensor "x" of ones, which are made as they are read. */
function ones(shape: readonly number[]): Checkpoint {
  return {
    name: "ones",
    tensors: new Map([["x", { shape, dtype: "F32" }]]),
    read: async (_name, _start, count = shape[0]) => new Float32Array(count).fill(1),
    close: async () => {},
  };
}

/** Puts a graph on a device as it stands. */
const withExecutable = <T>(
  gpu: Device,
  graph: Graph,
  outputs: readonly string[],
  weights: Checkpoint,
  use: (executable: Executable) => Promise<T>,
): Promise<T> =>
  withModel(gpu, graph, weights, async (model) => use(await model.prepare(makePlan(graph, outputs, gpu.limits))));
