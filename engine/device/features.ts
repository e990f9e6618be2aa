import type { Traits } from "../graph/variant.ts";

const kernel = (head: string, statement: string): string =>
  `${head} @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { ${statement} }`;

const SUBGROUPS = "subgroups";
const F16 = "shader-f16";
const MATRICES = "chromium-experimental-subgroup-matrix";

/** Kernels that do with a feature what ours do. */
const BY_SUBGROUPS = kernel(
  "enable subgroups; @group(0) @binding(0) var<storage, read_write> y: array<vec4f>;",
  "y[i] = subgroupShuffle(y[i], i / 2) * subgroupAdd(y[i].x);",
);
const IN_F16 = kernel(
  "enable f16; @group(0) @binding(0) var<storage, read_write> y: array<vec4<f16>>;",
  "y[i] = vec4<f16>(vec4f(y[i + 1]));",
);

export interface Usable {
  readonly traits: Pick<Traits, "subgroupSize" | "f16" | "matrices">;
  /** A line for every feature that the device has by name alone. */
  readonly warnings: readonly string[];
}

/**
 * What kernels can use of a device's features: drivers list some whose shaders they cannot compile, and every net would fail
 * with them. Subgroups count where they are of one size, matrix units where they multiply what tiles are made of: those of
 * a GPU, since what a software adapter calls so is slower than it is without, and takes its time to compile.
 */
export async function usableFeatures(device: GPUDevice, info: GPUAdapterInfo, software: boolean): Promise<Usable> {
  const has = (name: string) => (device.features as ReadonlySet<string>).has(name);
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  const [subgroups, f16, matrices] = await Promise.all([
    has(SUBGROUPS) && least === most ? compileProbe(device, BY_SUBGROUPS) : undefined,
    has(F16) ? compileProbe(device, IN_F16) : undefined,
    has(MATRICES) && !software
      ? import("./matrices.ts").then(({ findMatrices }) => findMatrices(device, info))
      : undefined,
  ]);
  // What is found is an object, what is wrong with it a text.
  const found = { [SUBGROUPS]: subgroups, [F16]: f16, [MATRICES]: matrices };
  const warnings = Object.entries(found).flatMap(([name, problem]) =>
    typeof problem === "string"
      ? `the adapter lists ${name}, but kernels with it fail, and are not used: ${problem}`
      : [],
  );
  const traits = {
    subgroupSize: typeof subgroups === "object" ? least : 0,
    f16: typeof f16 === "object",
    matrices: typeof matrices === "object" ? matrices : undefined,
  };
  return { traits, warnings };
}

/** The pipeline of a kernel, or what a device has against it, in a line. */
export async function compileProbe(device: GPUDevice, code: string): Promise<GPUComputePipeline | string> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label: "probe", code });
  const scope = device.popErrorScope();
  const compiling = device.createComputePipelineAsync({ label: "probe", layout: "auto", compute: { module } });
  const failed = (reason: Error) => reason;
  // The pipeline's error says nothing of what is wrong with the module.
  const [error, pipeline] = await Promise.all([scope.catch(failed), compiling.catch(failed)]);
  const failure = error ?? (pipeline instanceof Error ? pipeline : undefined);
  return failure ? failure.message.trim().split("\n", 1)[0].slice(0, 200) : (pipeline as GPUComputePipeline);
}
