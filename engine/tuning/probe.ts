import type { Device } from "../device/device.ts";
import { encode } from "../device/executable.ts";
import { COPY_DST, STORAGE, UNIFORM } from "../device/usage.ts";
import { nameFor } from "./kept.ts";

// What loads cost on a software adapter. Some compilers make a loop over the lanes of each, where an arithmetic operation takes
// all lanes at once: kernels then are to have few loads, in loops of their own, or they take seconds to compile.

/** Rounds of a loop: of four loads from an address that all lanes share, of four shuffles, and of neither. */
const CODE = `
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

/** Finds out whether the loads of a software adapter are fast, or reads what was found with the same driver before. */
export async function probeLoads(gpu: Device): Promise<void> {
  if (gpu.traits.subgroupSize < 4) return;
  const name = nameFor("probed", gpu.adapter);
  const storage = gpu.options.kernelHash ? gpu.host.storage : undefined;
  // What cannot be read, or is damaged, is measured again; what cannot be kept is measured the next time.
  const kept = await storage?.read(name).catch(() => undefined);
  let fastLoads = { true: true, false: false }[kept ?? ""];
  if (fastLoads === undefined) {
    fastLoads = (await measure(gpu)) < MOST;
    await storage?.update(name, () => String(fastLoads)).catch(() => {});
  }
  gpu.measured.fastLoads = fastLoads;
  gpu.traits = { ...gpu.traits, fastLoads };
}

/** What loads take over shuffles. Infinity where it cannot be told. */
async function measure({ device }: Device): Promise<number> {
  const buffers = [STORAGE, STORAGE, UNIFORM | COPY_DST].map((usage) => device.createBuffer({ size: 2048, usage }));
  try {
    const compute = { module: device.createShaderModule({ label: "probe", code: CODE }) };
    const pipeline = await device.createComputePipelineAsync({ label: "probe", layout: "auto", compute });
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    const time = async (...rounds: number[]) => {
      device.queue.writeBuffer(buffers[2], 0, new Uint32Array(rounds));
      const encoder = device.createCommandEncoder();
      encode(encoder, [{ pipeline, group, grid: [1, 1, 1] }]);
      await device.queue.onSubmittedWorkDone();
      const start = performance.now();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      return performance.now() - start;
    };
    await time(0, 0, 0);
    const least = [Infinity, Infinity, Infinity];
    for (let run = 0; run < 5; run++)
      for (const [i, rounds] of ROUNDS.entries())
        least[i] = Math.min(least[i], (await time(...[0, 0, 0].with(i, rounds))) / rounds);
    const [loads, shuffles, nothing] = least;
    return shuffles > nothing ? (loads - nothing) / (shuffles - nothing) : Infinity;
  } catch {
    return Infinity;
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}
