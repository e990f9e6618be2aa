import type { Device } from "../device/device.ts";
import { type Dispatch, encode } from "../device/executable.ts";
import { compileProbe } from "../device/features.ts";
import { COPY_DST, STORAGE, UNIFORM } from "../device/usage.ts";
import type { Rates } from "../graph/variant.ts";
import { nameFor } from "./kept.ts";

// What is measured of a device in some milliseconds as it is opened, and kept by adapter and driver.
//
// Of a software adapter, what loads cost. Some compilers make a loop over the lanes of each, where an arithmetic operation takes
// all lanes at once: kernels then are to have few loads, in loops of their own, or they take seconds to compile.
//
// Of a GPU, what a dispatch costs besides its work, which decides how many a layer may have. By driver and browser others
// measured 24 to 71 us: kernels/rates.ts.

/** Rounds of a loop: of four loads from an address that all lanes share, of four shuffles, and of neither. */
const LOADS = `
enable subgroups;
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> rounds: vec3u;

@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
  var v = vec4f(f32(lane));
  var at = 0u;
  for (var i = 0u; i < rounds.x; i++) {
    v += x[at] + x[at + 1] + x[at + 2] + x[at + 3];
    at = (at + 5) % 64;
  }
  for (var i = 0u; i < rounds.y; i++) {
    v += subgroupShuffle(v, 1);
    v += subgroupShuffle(v, 2);
    v += subgroupShuffle(v, 3);
    v += subgroupShuffle(v, 0);
    at = (at + 5) % 64;
  }
  for (var i = 0u; i < rounds.z; i++) {
    v += vec4f(f32(at));
    at = (at + 5) % 64;
  }
  y[lane] = v;
}`;

/** So many of each, which software adapters do in a millisecond or two. */
const ROUNDS = [4096, 16384, 16384];

/**
 * What a load takes at most over what a shuffle takes. Measured: 14 to 18 on llvmpipe of Mesa 25.0, where a load is a loop over
 * the lanes, 1.5 on that of Mesa 26.1, 3.6 on SwiftShader.
 */
const MOST = 7;

/** A dispatch that does next to nothing, and waits for the one before. */
const LITTLE = `
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { y[i] += y[63 - i]; }`;

/** So many take milliseconds. */
const DISPATCHES = 128;

/** Seconds between which the cost of one is believed. */
const [LEAST, LONGEST] = [1e-6, 2e-4];

/** Measures what is to be known of a device, or reads what was found with the same driver before. */
export async function probe(gpu: Device): Promise<void> {
  const { traits, measured } = gpu;
  if (traits.software && traits.subgroupSize >= 4) {
    const toFlag = (text: string) => ({ true: true, false: false })[text];
    measured.fastLoads = await recall(gpu, "probed", toFlag, async () => (await loadsOverShuffles(gpu)) < MOST);
  }
  // What cannot be kept is not measured: plans are to be the same in every program.
  if (!traits.software && storageOf(gpu)) {
    const dispatch = await recall(gpu, "dispatch", toCost, async () => toCost(await costOfDispatch(gpu)));
    if (dispatch) measured.rates = { ...(traits.rates as Rates), dispatch };
  }
  gpu.traits = { ...traits, ...measured };
}

const storageOf = ({ options, host }: Device) => (options.kernelHash ? host.storage : undefined);

const toCost = (seconds: unknown): number | undefined =>
  Number(seconds) >= LEAST && Number(seconds) <= LONGEST ? Number(seconds) : undefined;

/** What was kept, and else what is measured: what cannot be read, or is damaged, is measured again. */
async function recall<T>(
  gpu: Device,
  kind: string,
  parse: (text: string) => T | undefined,
  measure: () => Promise<T>,
): Promise<T> {
  const name = nameFor(kind, gpu.adapter);
  const storage = storageOf(gpu);
  const kept = await storage?.read(name).catch(() => undefined);
  const known = kept === undefined ? undefined : parse(kept);
  if (known !== undefined) return known;
  const found = await measure();
  if (found !== undefined) await storage?.update(name, () => String(found)).catch(() => {});
  return found;
}

/** What a loop of loads takes over one of shuffles. Infinity where it cannot be told. */
const loadsOverShuffles = ({ device }: Device): Promise<number> =>
  measured(device, LOADS, [STORAGE, STORAGE, UNIFORM | COPY_DST], async (dispatch, buffers) => {
    const timed = (...rounds: number[]) => {
      device.queue.writeBuffer(buffers[2], 0, new Uint32Array(rounds));
      return time(device, [dispatch]);
    };
    await timed(0, 0, 0);
    const least = [Infinity, Infinity, Infinity];
    for (let run = 0; run < 5; run++)
      for (const [i, rounds] of ROUNDS.entries())
        least[i] = Math.min(least[i], (await timed(...[0, 0, 0].with(i, rounds))) / rounds);
    const [loads, shuffles, nothing] = least;
    return shuffles > nothing ? (loads - nothing) / (shuffles - nothing) : Infinity;
  });

/** Seconds that one dispatch more takes in a pass. Infinity where it cannot be told. */
const costOfDispatch = ({ device }: Device): Promise<number> =>
  measured(device, LITTLE, [STORAGE], async (dispatch) => {
    const many = Array.from({ length: DISPATCHES }, () => dispatch);
    await time(device, many);
    let [one, all] = [Infinity, Infinity];
    for (let run = 0; run < 5; run++) {
      one = Math.min(one, await time(device, [dispatch]));
      all = Math.min(all, await time(device, many));
    }
    return (all - one) / 1e3 / (DISPATCHES - 1);
  });

/** What is measured by a kernel and a buffer for each of its bindings. Infinity where it fails. */
async function measured(
  device: GPUDevice,
  code: string,
  usages: readonly number[],
  measure: (dispatch: Dispatch, buffers: readonly GPUBuffer[]) => Promise<number>,
): Promise<number> {
  let buffers: readonly GPUBuffer[] = [];
  try {
    buffers = usages.map((usage) => device.createBuffer({ size: 2048, usage }));
    const pipeline = await compileProbe(device, code);
    if (typeof pipeline === "string") return Infinity;
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    return await measure({ pipeline, group, grid: [1, 1, 1] }, buffers);
  } catch {
    return Infinity;
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}

/** Milliseconds that one pass takes. */
async function time(device: GPUDevice, dispatches: readonly Dispatch[]): Promise<number> {
  const encoder = device.createCommandEncoder();
  encode(encoder, dispatches);
  const commands = encoder.finish();
  await device.queue.onSubmittedWorkDone();
  const start = performance.now();
  device.queue.submit([commands]);
  await device.queue.onSubmittedWorkDone();
  return performance.now() - start;
}
