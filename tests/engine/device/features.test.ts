// Devices that list what they cannot compile: every way in which a driver fails at that, and what runs nevertheless.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { AdapterKind } from "../../../engine/device/device.ts";
import { usableFeatures } from "../../../engine/device/features.ts";
import type { Host } from "../../../engine/device/host.ts";
import { openGpu } from "../../../engine/gpu.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import { rates } from "../../../kernels/rates.ts";
import { variants } from "../../../kernels/variants.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { matricesOf, open, randomTensor, refuses, small } from "../../harness.ts";
import { nullDevice } from "../../null_device.ts";

const gpu = await open();

const SUBGROUPS = "subgroups";
const F16 = "shader-f16";
const MATRICES = "chromium-experimental-subgroup-matrix";
const ALL = [SUBGROUPS, F16, MATRICES];
const HEADS = { [SUBGROUPS]: "enable subgroups;", [F16]: "enable f16;", [MATRICES]: "enable chromium_" };

const TENSOR_CORES = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };

/** What an adapter with tensor cores tells. */
const INFO = {
  vendor: "maker",
  architecture: "",
  device: "Card 7",
  description: "",
  subgroupMinSize: 8,
  subgroupMaxSize: 8,
  isFallbackAdapter: true,
  subgroupMatrixConfigs: [TENSOR_CORES],
} as unknown as GPUAdapterInfo;

type Failure = "the compiler" | "the driver";

/**
 * A host whose device lists all features and has those that `has` names and this machine's adapter has. Its compiler refuses
 * shaders with others, as Dawn does, or its driver fails at their pipelines.
 */
function hostWith(has: readonly string[], failure: Failure): Host {
  const requestAdapter = async (options: GPURequestAdapterOptions) => {
    const [provider] = nodeHost.providers();
    const real = (await provider.requestAdapter(options)) as GPUAdapter;
    const features = new Set([...real.features, ...ALL]);
    const requestDevice = async () => {
      const device = await real.requestDevice({ requiredFeatures: has as GPUFeatureName[] });
      const compiles = [...device.features];
      Object.defineProperty(device, "features", { value: features });
      if (failure === "the driver") failPipelines(device, compiles);
      return device;
    };
    return { features, limits: real.limits, info: INFO, requestDevice } as unknown as GPUAdapter;
  };
  return { ...nodeHost, storage: undefined, providers: () => [{ requestAdapter }] };
}

/** Takes every shader, and fails at the pipelines of those that enable what is not in `compiles`. */
function failPipelines(device: GPUDevice, compiles: readonly string[]): void {
  const { createShaderModule, createComputePipelineAsync } = device;
  const bad = new Set<GPUShaderModule>();
  const heads = Object.entries(HEADS).flatMap(([name, head]) => (compiles.includes(name) ? [] : [head]));
  device.createShaderModule = (descriptor) => {
    const isBad = heads.some((head) => descriptor.code.includes(head));
    const code = isBad ? "@compute @workgroup_size(1) fn main() {}" : descriptor.code;
    const module = createShaderModule.call(device, { ...descriptor, code });
    if (isBad) bad.add(module);
    return module;
  };
  device.createComputePipelineAsync = (descriptor) =>
    bad.has(descriptor.compute.module)
      ? Promise.reject(new Error("internal error: 0x80004005\nin the driver's compiler"))
      : createComputePipelineAsync.call(device, descriptor);
}

const real = ALL.filter((name) => gpu.device.features.has(name));
const x = randomTensor([1, 3, 12, 12]);

for (const failure of ["the compiler", "the driver"] as const) {
  for (const missing of [...real, undefined]) {
    // A device with matrices has subgroups, whether asked for or not.
    const isLost = (name: string) => name === missing || (name === MATRICES && missing === SUBGROUPS);
    const has = missing === undefined ? [] : real.filter((name) => !isLost(name));
    test(`${failure} fails at ${missing ?? "every feature"}: nets run without it, and a warning says so`, async () => {
      const kinds: AdapterKind[] = [];
      const load = async (kind: AdapterKind) => {
        kinds.push(kind);
        return variants;
      };
      const other = await openGpu({ variants: load, rates }, hostWith(has, failure));
      const { subgroupSize, f16, matrices } = other.traits;
      assert.equal([subgroupSize > 0, f16, matrices], [has.includes(SUBGROUPS), has.includes(F16), undefined]);
      const [kind] = kinds;
      assert.equal([kind.software, kind.subgroupSize, kind.matrices], [true, 8, undefined]);
      // The matrix units of software adapters are not tried.
      const told = [SUBGROUPS, F16].filter((name) => !has.includes(name));
      const reason = failure === "the driver" ? "internal error: 0x80004005$" : ".*not allowed";
      assert.is(other.warnings.length, told.length, other.warnings.join("\n"));
      told.forEach((name, i) => {
        assert.match(
          other.warnings[i],
          new RegExp(`^the adapter lists ${name}, but kernels with it fail.*: ${reason}`),
        );
        assert.not.match(other.warnings[i], /\n/);
      });
      const weights = randomWeights(small);
      const [wanted, got] = await Promise.all(
        [gpu, other].map(async (each) => {
          const net = await each.loadNet(small, { weights });
          const { logits } = await net.run(x);
          net.dispose();
          return logits.data;
        }),
      );
      for (const [i, value] of got.entries()) assert.ok(Math.abs(value - wanted[i]) < 1e-4, `${value}, ${wanted[i]}`);
      if (!f16) await refuses(() => other.loadNet(small, { weights, dtype: "f16" }), UsageError, "USAGE", /f16/);
      // A device that is opened again is tried again, and what was told is not told twice.
      const { warnings } = other;
      const before = [...warnings];
      other.device.destroy();
      await other.ready();
      assert.equal(warnings, before);
      other.close();
    });
  }
}

/** A device that compiles nothing, but reads every shader, and finds zeros in every buffer. */
async function deviceWith(...more: string[]): Promise<GPUDevice> {
  const device = await nullDevice([...ALL, ...more]);
  findIn(device, 0);
  // Its subgroups may have 128 lanes, of which a workgroup with matrices needs a multiple.
  const threads = /workgroup_size\((64|4 \* SUBGROUP)\)/;
  const { createShaderModule } = device;
  device.createShaderModule = (given) =>
    createShaderModule.call(device, { ...given, code: given.code.replace(threads, "workgroup_size(128)") });
  return device;
}

function findIn(device: GPUDevice, value: number): void {
  const { createBuffer } = device;
  device.createBuffer = (given) => {
    const buffer = createBuffer.call(device, given);
    buffer.getMappedRange = () => Uint32Array.of(value).buffer;
    return buffer;
  };
}

const memory = 16384;

test("what compiles is used, and nothing is told", async () => {
  const device = await deviceWith();
  const use = async (info: object) => usableFeatures(device, { ...INFO, ...info } as GPUAdapterInfo, false);
  const matrices = async (info: object) => (await use(info)).traits.matrices;
  const found = matricesOf({ subgroup: 8, memory });
  assert.equal(await use({}), { traits: { subgroupSize: 8, f16: true, matrices: found }, warnings: [] });
  const nvidia = { vendor: "nvidia", subgroupMatrixConfigs: undefined };
  assert.equal(await matrices(nvidia), found, "Dawn before it told of sizes");
  assert.is(await matrices({ ...nvidia, vendor: "intel" }), undefined);
  assert.is(await matrices({ subgroupMatrixConfigs: [] }), undefined);
  assert.is(await matrices({ subgroupMinSize: 128, subgroupMaxSize: 128 }), undefined);
  const varying = { subgroupMinSize: 4, subgroupMaxSize: 64 };
  assert.equal((await use(varying)).traits, { subgroupSize: 0, f16: true, matrices: undefined });
  device.destroy();
});

test("matrix units are those of the vendor, and of subgroups of a size that is asked for where there are several", async () => {
  const device = await deviceWith("subgroup-size-control");
  const config = (componentType: string, resultComponentType: string, M: number, N: number, K: number) => {
    return { componentType, resultComponentType, M, N, K };
  };
  const find = async (least: number, most: number, ...configs: object[]) => {
    const info = { ...INFO, subgroupMinSize: least, subgroupMaxSize: most, subgroupMatrixConfigs: configs };
    return (await usableFeatures(device, info as unknown as GPUAdapterInfo, false)).traits.matrices;
  };
  const whole = config("i8", "i32", 16, 16, 32);
  const halves = config("f16", "f16", 8, 8, 8);
  const intel = await find(16, 32, whole, config("f16", "f16", 8, 16, 16), config("f16", "f32", 8, 16, 16));
  assert.equal(intel, matricesOf({ m: 8, sized: true, memory }), "the null device has them of all sizes");
  const amd = await find(32, 64, config("f16", "f16", 16, 16, 16), TENSOR_CORES);
  assert.equal(amd, matricesOf({ subgroup: 64, sized: true, memory }));
  const apple = await find(32, 32, halves, config("f32", "f32", 8, 8, 8));
  assert.equal(apple, matricesOf({ m: 8, n: 8, k: 8, factors: "f32", memory }));
  assert.is(await find(32, 32, whole, halves), undefined, "sums in f16 are no sums in f32");
  const several = await find(32, 32, config("f16", "f32", 8, 8, 8), config("f32", "f32", 8, 8, 8), TENSOR_CORES);
  assert.equal(several, matricesOf({ memory }), "the largest of f16");
  device.destroy();
});

test("matrix units by the older form of loads and stores, and none where products are wrong", async () => {
  const device = await deviceWith();
  const { createShaderModule } = device;
  device.createShaderModule = (given) =>
    createShaderModule.call(device, { ...given, code: given.code.replaceAll("row_major", "of_rows") });
  const use = () => usableFeatures(device, INFO, false);
  assert.equal((await use()).traits.matrices, matricesOf({ subgroup: 8, memory, orderArgument: true }));
  findIn(device, 1);
  const { traits, warnings } = await use();
  assert.is(traits.matrices, undefined);
  assert.is(warnings.length, 1);
  assert.match(warnings[0], /chromium-experimental-subgroup-matrix, but kernels with it fail, and are not used: /);
  device.createShaderModule = createShaderModule;
  assert.match((await use()).warnings[0], /and are not used: its products are wrong$/);
  device.destroy();
});

test.run();
