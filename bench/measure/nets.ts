import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findNet, inputShape } from "../../engine/definition.ts";
import type { Executable } from "../../engine/device/executable.ts";
import { type Timings, timeSteps } from "../../engine/device/profile.ts";
import type { Gpu } from "../../engine/gpu.ts";
import { bytesOf, type Plan } from "../../engine/graph/plan.ts";
import { GpuError } from "../../engine/ground/errors.ts";
import { median } from "../../engine/ground/statistics.ts";
import { sizeOf, type Tensor } from "../../engine/ground/tensor.ts";
import type { Net } from "../../engine/net.ts";
import { largestError, plainLogits, problemOf, type Wanted } from "../../engine/tuning/agreement.ts";
import { leastSeconds } from "../../engine/tuning/roofline.ts";
import { encodeSafetensors } from "../../engine/weights/safetensors.ts";
import { nets } from "../../nets/index.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { writeWhole } from "../../tools/files.ts";
import type { Bench } from "../report/program.ts";
import type { NetRow } from "../report/report.ts";
import { coldStart } from "./cold.ts";
import { layersOf, planOf } from "./layers.ts";
import { interleave, timingsOf } from "./pace.ts";
import { timingOfRuns } from "./statistics.ts";

// Whole nets with random weights, at several batch sizes: checked, then timed.

export interface NetsOptions {
  readonly nets: readonly string[];
  /** Sizes; by the kind of adapter if left out. */
  readonly batch?: readonly number[];
  /** How many cold starts to take the median of. */
  readonly cold: number;
  readonly runs: number;
  /** Milliseconds: runs of a batch that together take longer are fewer. */
  readonly budget: number;
}

const batchesOf = ({ batch }: NetsOptions, { adapter }: Gpu): readonly number[] =>
  batch ?? (adapter.software ? [1, 8] : [1, 8, 32]);

/** Measures nets one after the other; a row for every batch size. */
export async function* measureNets(options: NetsOptions, bench: Bench): AsyncGenerator<NetRow> {
  const folder = await mkdtemp(join(tmpdir(), "shadenet-bench-"));
  try {
    for (const [i, net] of options.nets.entries()) {
      const weights = join(folder, `${net}.safetensors`);
      await writeWhole(weights, async (file) => file.writeFile(await encodeWeights(net)));
      const advance = (share: number) => bench.progress.update(i + share, options.nets.length);
      yield* measureNet(net, weights, options, { ...bench, advance });
      await rm(weights);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Random weights in a file, from which every process loads them, as a user's would. */
async function encodeWeights(net: string): Promise<Uint8Array> {
  const checkpoint = randomWeights(findNet(nets, net));
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape }] of checkpoint.tensors) tensors.set(name, { shape, data: await checkpoint.read(name) });
  return encodeSafetensors(tensors);
}

async function* measureNet(
  net: string,
  weights: string,
  options: NetsOptions,
  bench: Bench & { advance(share: number): void },
): AsyncGenerator<NetRow> {
  const { gpu, signal, advance } = bench;
  const batches = batchesOf(options, gpu);
  const images = randomImages(net, Math.max(...batches));
  let wanted: Wanted | undefined;
  for (const [i, batch] of batches.entries()) {
    advance(i / batches.length);
    signal.throwIfAborted();
    const row = emptyRow(gpu, net, batch);
    try {
      const cold = batch === 1 && options.cold > 0 ? await coldStart(net, weights, options.cold, signal) : undefined;
      const last = batches.map((batch) => batch - 1);
      wanted ??= await plainLogits(gpu, net, { weights, images, of: [0, ...last], signal });
      const loaded = await gpu.loadNet(net, { weights, batch });
      try {
        yield { ...row, cold, ...(await measureBatch(loaded, row, images, wanted, options, bench)) };
      } finally {
        loaded.dispose();
      }
    } catch (error) {
      if (!(error instanceof GpuError && NO_ROOM.includes(error.code))) throw error;
      yield { ...row, status: "skipped", reason: error.message };
    }
  }
}

const NO_ROOM = ["LIMIT", "OUT_OF_MEMORY"];

function emptyRow(gpu: Gpu, net: string, batch: number): NetRow {
  const layers = layersOf(net, batch);
  const plan = planOf(gpu, net, batch);
  return {
    net,
    batch,
    status: "ok",
    flops: layers.reduce((sum, layer) => sum + layer.flops, 0),
    bytes: layers.reduce((sum, layer) => sum + layer.bytes, 0),
    memory: memoryOf(plan),
    steps: plan.steps.length,
  };
}

function memoryOf(plan: Plan): NetRow["memory"] {
  const { weights, activations } = bytesOf(plan);
  return { weights, activations };
}

function randomImages(net: string, count: number): Float32Array {
  const images = new Float32Array(sizeOf(inputShape(findNet(nets, net), { batch: count })));
  for (let i = 0; i < images.length; i++) images[i] = 2 * Math.random() - 1;
  return images;
}

async function measureBatch(
  net: Net,
  row: NetRow,
  images: Float32Array,
  wanted: Wanted,
  options: NetsOptions,
  { roofline, signal }: Bench,
): Promise<Partial<NetRow>> {
  const input = images.subarray(0, sizeOf(net.inputShape));
  const executable = await net.executable();
  const { plan } = executable;
  const [{ shape: slice }] = plan.inputs;
  const slices = row.batch / slice[0];
  const hasTimestamps = roofline.clock === "gpu";
  const known = { memory: memoryOf(plan), steps: slices * plan.steps.length };
  const error = largestError((await net.run(input)).logits, wanted);
  const reason = problemOf(error, "f32");
  if (reason) return { ...known, status: "wrong", reason, error: Number.isFinite(error) ? error : undefined };
  const timer = hasTimestamps ? stepTimer(executable, input.subarray(0, sizeOf(slice))) : undefined;
  const run = async () => {
    const start = performance.now();
    await net.run(input);
    return { wall: performance.now() - start };
  };
  const [samples] = await interleave(timer ? [run, timer.run] : [run], { ...options, signal });
  const { wall } = timingsOf(samples);
  const seconds = wall.median / 1000;
  const least = layersOf(row.net, row.batch).reduce((sum, layer) => sum + leastSeconds(layer, roofline), 0);
  return {
    ...known,
    error,
    wall,
    // The first was to warm up.
    ...(timer && timedLayers(plan, timer.runs.slice(1), slices)),
    imagesPerSecond: row.batch / seconds,
    flopsRate: row.flops / seconds,
    rooflineShare: least / seconds,
  };
}

/** A task for interleave() that keeps the times of every step. */
function stepTimer(executable: Executable, x: Float32Array) {
  const runs: Timings["runs"][number][] = [];
  return {
    runs,
    async run() {
      const start = performance.now();
      const {
        runs: [steps],
      } = await timeSteps(executable, { x }, 1);
      runs.push(steps);
      return { wall: performance.now() - start };
    },
  };
}

/** Times by the device's clock: of a whole run, and of every layer. */
function timedLayers(plan: Plan, runs: Timings["runs"], slices: number): Pick<NetRow, "gpu" | "layers"> {
  const lengths = runs.map((steps) => steps.map(({ start, end }) => slices * (end - start)));
  const layers = new Map<string, { kernels: string[]; milliseconds: number }>();
  plan.steps.forEach(({ label, kernel }, i) => {
    const layer = layers.get(label) ?? { kernels: [], milliseconds: 0 };
    layer.kernels.push(kernel);
    layer.milliseconds += median(lengths.map((steps) => steps[i]));
    layers.set(label, layer);
  });
  return {
    gpu: timingOfRuns(lengths.map((steps) => steps.reduce((sum, length) => sum + length, 0))),
    layers: [...layers].map(([layer, timed]) => ({ layer, ...timed })),
  };
}
