import type { Command } from "commander";
import { type AnyKernel, evaluateReference } from "../engine/kernel.ts";
import { cacheFolder } from "../engine/node/cache.ts";
import { sizeOf } from "../engine/tensor.ts";
import { type AdapterSummary, type Gpu, openGpu, ShadenetError, type Tensor } from "../index.ts";
import * as exported from "../kernels/index.ts";
import { type CommonOptions, type Context, command } from "./command.ts";
import { binaryBytes, columns, oneLine } from "./format.ts";
import { ownVersion, versionOf } from "./package.ts";
import { paint, print, printJson } from "./terminal.ts";

/** What else kernels/index.ts exports are plain functions made of kernels. */
const kernels = Object.values(exported).filter((each): each is typeof each & AnyKernel => "reference" in each);

const PACKAGES = ["webgpu", "@cwasm/jpeg-turbo", "@sparticuz/chromium"];

const LIMITS = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBuffersPerShaderStage",
] as const;

/** Of the largest value that the reference gives, or of 1. */
const TOLERANCE = 1e-5;

interface SelfTest {
  readonly kernel: string;
  readonly ok: boolean;
  /** The largest difference to the reference, as a share of the largest value (of 1, if that is less). */
  readonly error?: number;
  readonly message?: string;
}

export function doctorCommand(context: Context): Command {
  return command(
    "doctor",
    "tell what shadenet runs on here, and test every kernel on it",
    "npx shadenet doctor",
  ).action((options: CommonOptions) => doctor(options, context));
}

async function doctor({ json }: CommonOptions, { signal }: Context): Promise<void> {
  const system = {
    shadenet: ownVersion(),
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    packages: Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name) ?? null])),
    cache: cacheFolder(),
  };
  if (!json) printRows(systemRows(system));
  const gpu = await openGpu().catch((error) => {
    if (json && error instanceof ShadenetError) {
      printJson({ ...system, adapter: null, error: { code: error.code, message: error.message } });
    }
    throw error;
  });
  try {
    const { adapter, device } = gpu;
    const limits = Object.fromEntries(LIMITS.map((name) => [name, device.limits[name]]));
    const features = [...device.features].sort();
    if (!json) {
      printRows(adapterRows(adapter, limits, features));
      print();
      print(paint("bold", `Self-test of ${kernels.length} kernels against their float64 references`));
    }
    const tests: SelfTest[] = [];
    const width = Math.max(...kernels.map(({ name }) => name.length));
    for (const kernel of kernels) {
      signal.throwIfAborted();
      const test = await selfTest(gpu, kernel);
      tests.push(test);
      if (!json) print(testLine(test, width));
    }
    const failed = tests.filter(({ ok }) => !ok).length;
    if (failed > 0) process.exitCode = 1;
    if (json) printJson({ ...system, adapter, limits, features, kernels: tests });
    else
      print(failed > 0 ? paint("red", `${failed} of ${tests.length} kernels fail.`) : paint("green", "All is well."));
  } finally {
    gpu.close();
  }
}

function systemRows(system: { shadenet: string; node: string; platform: string; cache: string; packages: object }) {
  const packages = Object.entries(system.packages).map(([name, version]) => `${name} ${version ?? "(not installed)"}`);
  return [
    ["shadenet", system.shadenet],
    ["Node", `${system.node} on ${system.platform}`],
    ["Packages", packages.join(", ")],
    ["Cache", system.cache],
  ];
}

function adapterRows(adapter: AdapterSummary, limits: Readonly<Record<string, number>>, features: readonly string[]) {
  const inBytes = (name: string) => name.endsWith("Size");
  return [
    ["Adapter", adapter.name],
    ["Device", [adapter.vendor, adapter.architecture, adapter.device].filter(Boolean).join(", ")],
    ["Driver", adapter.description || "not told"],
    ["Kind", adapter.software ? "software, runs on the CPU" : "GPU"],
    ["Fallback", adapter.fallback ? `yes: ${adapter.fallback}` : "no, this is the first choice"],
    ["Features", features.join(", ") || "none"],
    ...Object.entries(limits).map(([name, value], i) => [
      i === 0 ? "Limits" : "",
      `${name} ${inBytes(name) ? binaryBytes(value) : value}`,
    ]),
  ];
}

function printRows(rows: readonly (readonly string[])[]): void {
  for (const line of columns(rows)) print(line);
}

function testLine({ kernel, ok, error, message }: SelfTest, width: number): string {
  const verdict = ok ? paint("green", "ok  ") : paint("red", "FAIL");
  const measured = error === undefined ? oneLine(message ?? "") : `error ${error.toExponential(1)}`;
  return `  ${kernel.padEnd(width)}  ${verdict}  ${measured}`;
}

/** Runs a kernel's example on random input and compares with its reference. */
async function selfTest(gpu: Gpu, kernel: AnyKernel): Promise<SelfTest> {
  const { shapes, options = {} } = kernel.example;
  const random = randomNumbers(1);
  const inputs: Record<string, Tensor> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    // A variance must be positive.
    const draw = name === "variance" ? () => 0.5 + random() : () => 2 * random() - 1;
    inputs[name] = { shape, data: Float32Array.from({ length: sizeOf(shape) }, draw) };
  }
  const variadic = kernel.inputs[0].endsWith("...");
  const names = variadic ? Object.keys(shapes) : kernel.inputs.map((name) => name.replace("?", ""));
  try {
    const wanted = evaluateReference(kernel, inputs, options);
    const got = await gpu.eager(kernel, ...names.map((name) => inputs[name]), options);
    const error = difference(got.data, wanted.data);
    return { kernel: kernel.name, ok: error <= TOLERANCE, error };
  } catch (error) {
    return { kernel: kernel.name, ok: false, message: (error as Error).message };
  }
}

/** NaN and infinities must be where the reference has them. */
function difference(got: Float32Array, wanted: Float64Array): number {
  if (got.length !== wanted.length) return Infinity;
  let [scale, largest] = [1, 0];
  wanted.forEach((value, i) => {
    if (Object.is(got[i], Math.fround(value))) return;
    if (!Number.isFinite(value) || !Number.isFinite(got[i])) largest = Infinity;
    scale = Math.max(scale, Math.abs(value));
    largest = Math.max(largest, Math.abs(value - got[i]));
  });
  return largest / scale;
}

/** Numbers from 0 to 1 that are the same every time: Marsaglia's xorshift of 32 bits, "Xorshift RNGs", 2003. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
