import type { Traits } from "../graph/variant.ts";

/** What Chromium and Dawn tell of the matrices that subgroups can multiply. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

type Info = GPUAdapterInfo & { readonly subgroupMatrixConfigs?: Iterable<MatrixConfig> };

/**
 * True for 16x16 in f16 with f32 sums, by subgroups that fit four to a workgroup. All tensor cores of NVIDIA have it.
 */
function offersMatrices({ subgroupMatrixConfigs, subgroupMaxSize, vendor }: Info): boolean {
  if (subgroupMaxSize > 64) return false;
  if (!subgroupMatrixConfigs) return vendor === "nvidia";
  return [...subgroupMatrixConfigs].some(
    ({ componentType, resultComponentType, M, N, K }) =>
      componentType === "f16" && resultComponentType === "f32" && M === 16 && N === 16 && K === 16,
  );
}

const kernel = (head: string, statement: string): string =>
  `${head} @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { ${statement} }`;

const SUBGROUPS = "subgroups";
const F16 = "shader-f16";
const MATRICES = "chromium-experimental-subgroup-matrix";

/** By each feature that a shader enables, a kernel that does with it what ours do. */
const PROBES: Readonly<Record<string, string>> = {
  [SUBGROUPS]: kernel(
    "enable subgroups; @group(0) @binding(0) var<storage, read_write> y: array<vec4f>;",
    "y[i] = subgroupShuffle(y[i], i / 2) * subgroupAdd(y[i].x);",
  ),
  [F16]: kernel(
    "enable f16; @group(0) @binding(0) var<storage, read_write> y: array<vec4<f16>>;",
    "y[i] = vec4<f16>(vec4f(y[i + 1]));",
  ),
  [MATRICES]: kernel(
    `enable f16; enable chromium_experimental_subgroup_matrix;
    diagnostic(off, chromium.subgroup_matrix_uniformity);
    @group(0) @binding(0) var<storage, read_write> y: array<f32>;
    var<workgroup> x: array<f16, 256>;
    var<workgroup> sums: array<f32, 256>;`,
    `x[i] = f16(y[i]);
    workgroupBarrier();
    let a = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&x, 0, 16);
    let b = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&x, 0, 16);
    var c: subgroup_matrix_result<f32, 16, 16>;
    c = subgroupMatrixMultiplyAccumulate(a, b, c);
    subgroupMatrixStore<row_major>(&sums, 0, c, 16);
    workgroupBarrier();
    y[i] = sums[i];`,
  ),
};

export interface Usable {
  readonly traits: Pick<Traits, "subgroupSize" | "f16" | "matrices">;
  /** A line for every feature that the device has by name alone. */
  readonly warnings: readonly string[];
}

/**
 * What kernels can use of a device's features: drivers list some whose shaders they cannot compile, and every net would fail
 * with them. Subgroups count where they are of one size, matrix units where they are of our kernels' size.
 */
export async function usableFeatures(device: GPUDevice, info: GPUAdapterInfo): Promise<Usable> {
  const features = new Set<string>(device.features);
  if (info.subgroupMinSize !== info.subgroupMaxSize) features.delete(SUBGROUPS);
  if (!offersMatrices(info)) features.delete(MATRICES);
  const probes = Object.entries(PROBES).filter(([name]) => features.has(name));
  const problems = await Promise.all(probes.map(([, code]) => problemOf(device, code)));
  const warnings = probes.flatMap(([name], i) => {
    if (problems[i] === undefined) return [];
    features.delete(name);
    return `the adapter lists ${name}, but compiles no kernel with it, so that none is used: ${problems[i]}`;
  });
  const subgroupSize = features.has(SUBGROUPS) ? info.subgroupMinSize : 0;
  return {
    traits: { subgroupSize, f16: features.has(F16), matrices: subgroupSize > 0 && features.has(MATRICES) },
    warnings,
  };
}

/** What a device has against a kernel, in a line. */
async function problemOf(device: GPUDevice, code: string): Promise<string | undefined> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label: "probe", code });
  const scope = device.popErrorScope();
  const pipeline = device.createComputePipelineAsync({ label: "probe", layout: "auto", compute: { module } });
  const failed = (reason: Error) => reason;
  // The pipeline's error says nothing of what is wrong with the module.
  const [error, failure] = await Promise.all([scope.catch(failed), pipeline.then(() => null, failed)]);
  return (error ?? failure)?.message.trim().split("\n", 1)[0].slice(0, 200);
}
