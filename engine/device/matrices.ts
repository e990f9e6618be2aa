import { constsFor, sourceFor } from "../graph/matrices.ts";
import type { Matrices } from "../graph/variant.ts";
import { specialize } from "../graph/wgsl.ts";
import type { Dtype } from "../ground/options.ts";
import { encode } from "./executable.ts";
import { compileProbe } from "./features.ts";
import { COPY_DST, COPY_SRC, MAP_READ, STORAGE } from "./usage.ts";

/** What Chromium and Dawn tell of the matrices that subgroups can multiply. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

type Info = GPUAdapterInfo & { readonly subgroupMatrixConfigs?: Iterable<MatrixConfig> };

/** NVIDIA's, of which Dawn has not always told. */
const TENSOR_CORES: MatrixConfig = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };

/** Those of which tiles are made, with sums in f32: those of f16 before those of f32, and the largest first. */
function usableConfigs({ subgroupMatrixConfigs, vendor }: Info): MatrixConfig[] {
  const told = subgroupMatrixConfigs ?? (vendor === "nvidia" ? [TENSOR_CORES] : []);
  return [...told]
    .filter(
      ({ componentType, resultComponentType, M, N, K }) =>
        /^f(16|32)$/.test(componentType) &&
        resultComponentType === "f32" &&
        [M, N, K].every((side) => side === 8 || side === 16),
    )
    .sort((a, b) => a.componentType.localeCompare(b.componentType) || b.M * b.N * b.K - a.M * a.N * a.K);
}

/** A product of small whole numbers by each subgroup of a workgroup; wrong[0] is 1 where an element is not what it should be. */
const PROBE = `enable f16;
enable chromium_experimental_subgroup_matrix;
enable subgroup_size_control;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const SUBGROUP: u32 = 32;
const M: u32 = 16;
const N: u32 = 16;
const K: u32 = 16;
const THREADS = 4 * SUBGROUP;
alias Factor = f16;
alias Left = subgroup_matrix_left<Factor, K, M>;
alias Right = subgroup_matrix_right<Factor, N, K>;
@group(0) @binding(0) var<storage, read_write> wrong: array<u32>;
var<workgroup> a: array<Factor, M * K>;
var<workgroup> b: array<Factor, K * N>;
var<workgroup> c: array<f32, 4 * M * N>;
@compute @workgroup_size(4 * SUBGROUP) @subgroup_size(SUBGROUP)
fn main(@builtin(local_invocation_index) thread: u32) {
  for (var i = thread; i < M * K; i += THREADS) { a[i] = Factor(i % 7); }
  for (var i = thread; i < K * N; i += THREADS) { b[i] = Factor(i % 5); }
  workgroupBarrier();
  let left = subgroupMatrixLoad<Left, row_major>(&a, 0, K);
  let right = subgroupMatrixLoad<Right, row_major>(&b, 0, N);
  var sums: subgroup_matrix_result<f32, N, M>;
  sums = subgroupMatrixMultiplyAccumulate(left, right, sums);
  subgroupMatrixStore<row_major>(&c, thread / SUBGROUP * M * N, sums, N);
  workgroupBarrier();
  for (var i = thread; i < 4 * M * N; i += THREADS) {
    var want = 0.0;
    for (var k = 0u; k < K; k++) { want += f32(a[i / N % M * K + k] * b[k * N + i % N]); }
    if (c[i] != want) { wrong[0] = 1; }
  }
}`;

/**
 * The matrix units of a device: the first kind, and the largest subgroups, by which a kernel computes what it should. Else
 * what was wrong with the first; undefined where a device lists none that tiles are made of.
 */
export async function findMatrices(device: GPUDevice, info: GPUAdapterInfo): Promise<Matrices | string | undefined> {
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  const sized = least < most;
  if (sized && !(device.features as ReadonlySet<string>).has("subgroup-size-control")) return undefined;
  const memory = device.limits.maxComputeWorkgroupStorageSize;
  let problem: string | undefined;
  for (const { componentType, M: m, N: n, K: k } of usableConfigs(info)) {
    // A workgroup has four, and may have 256 threads; the more lanes, the fewer elements each has to hold.
    for (let subgroup = Math.min(most, 64); subgroup >= least; subgroup /= 2) {
      for (const orderArgument of [false, true]) {
        const matrices = { m, n, k, factors: componentType as Dtype, subgroup, sized, orderArgument, memory };
        const failure = await problemWith(device, matrices);
        if (failure === undefined) return matrices;
        problem ??= failure;
      }
    }
  }
  return problem;
}

/** What is wrong with these: what the compiler says, or what they compute. */
async function problemWith(device: GPUDevice, matrices: Matrices): Promise<string | undefined> {
  const pipeline = await compileProbe(device, specialize(sourceFor(PROBE, matrices), constsFor(matrices)));
  if (typeof pipeline === "string") return pipeline;
  const wrong = device.createBuffer({ size: 4, usage: STORAGE | COPY_SRC });
  const staging = device.createBuffer({ size: 4, usage: MAP_READ | COPY_DST });
  try {
    const entries = [{ binding: 0, resource: { buffer: wrong } }];
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    const encoder = device.createCommandEncoder();
    encode(encoder, [{ pipeline, group, grid: [1, 1, 1] }]);
    encoder.copyBufferToBuffer(wrong, 0, staging, 0, 4);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    return new Uint32Array(staging.getMappedRange())[0] === 0 ? undefined : "its products are wrong";
  } catch (error) {
    return (error as Error).message;
  } finally {
    wrong.destroy();
    staging.destroy();
  }
}
