// Devices that list what they cannot compile: every way in which a driver fails at that, and what runs nevertheless.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { create } from "webgpu";
import type { AdapterKind } from "../../../engine/device/device.ts";
import { usableFeatures } from "../../../engine/device/features.ts";
import type { Host } from "../../../engine/device/host.ts";
import { openGpu } from "../../../engine/gpu.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import { rates } from "../../../kernels/rates.ts";
import { variants } from "../../../kernels/variants.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { open, randomTensor, refuses, small } from "../../harness.ts";

const gpu = await open();

const SUBGROUPS = "subgroups";
const F16 = "shader-f16";
const MATRICES = "chromium-experimental-subgroup-matrix";
const ALL = [SUBGROUPS, F16, MATRICES];
const HEADS = { [SUBGROUPS]: "enable subgroups;", [F16]: "enable f16;", [MATRICES]: "enable chromium_" };

/** What an adapter with tensor cores tells. */
const INFO = {
  vendor: "maker",
  architecture: "",
  device: "Card 7",
  description: "",
  subgroupMinSize: 8,
  subgroupMaxSize: 8,
  isFallbackAdapter: true,
  subgroupMatrixConfigs: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
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
    const has = missing === undefined ? [] : real.filter((name) => name !== missing);
    test(`${failure} fails at ${missing ?? "every feature"}: nets run without it, and a warning says so`, async () => {
      const kinds: AdapterKind[] = [];
      const load = async (kind: AdapterKind) => {
        kinds.push(kind);
        return variants;
      };
      const other = await openGpu({ variants: load, rates }, hostWith(has, failure));
      const { subgroupSize, f16, matrices } = other.traits;
      assert.equal([subgroupSize > 0, f16, matrices], [has.includes(SUBGROUPS), has.includes(F16), false]);
      const [{ software, subgroupSize: lanes, matrices: units }] = kinds;
      assert.equal([software, lanes, units], [true, 8, false]);
      const told = ALL.filter((name) => !has.includes(name));
      const reason = failure === "the driver" ? "internal error: 0x80004005$" : ".*not allowed";
      assert.is(other.warnings.length, told.length, other.warnings.join("\n"));
      told.forEach((name, i) => {
        assert.match(other.warnings[i], new RegExp(`^the adapter lists ${name}, but compiles no kernel.*: ${reason}`));
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

/** Dawn without a driver. Kept for good: see ARCHITECTURE.md. */
const nullDawn = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);

/** Its device compiles nothing, but reads every shader. */
async function nullDevice(): Promise<GPUDevice> {
  const adapter = await nullDawn.requestAdapter();
  const device = await (adapter as GPUAdapter).requestDevice({ requiredFeatures: ALL as GPUFeatureName[] });
  // Its subgroups may have 128 lanes, of which a workgroup with matrices needs a multiple.
  const { createShaderModule } = device;
  device.createShaderModule = (given) =>
    createShaderModule.call(device, {
      ...given,
      code: given.code.replace("workgroup_size(64)", "workgroup_size(128)"),
    });
  return device;
}

test("what compiles is used, and nothing is told", async () => {
  const device = await nullDevice();
  const use = async (info: object) => usableFeatures(device, { ...INFO, ...info } as GPUAdapterInfo);
  const matrices = async (info: object) => (await use(info)).traits.matrices;
  assert.equal(await use({}), { traits: { subgroupSize: 8, f16: true, matrices: true }, warnings: [] });
  const nvidia = { vendor: "nvidia", subgroupMatrixConfigs: undefined };
  assert.is(await matrices(nvidia), true, "Dawn before it told of sizes");
  assert.is(await matrices({ ...nvidia, vendor: "intel" }), false);
  assert.is(await matrices({ subgroupMatrixConfigs: [] }), false);
  assert.is(await matrices({ subgroupMinSize: 128, subgroupMaxSize: 128 }), false);
  const varying = { subgroupMinSize: 4, subgroupMaxSize: 64 };
  assert.equal((await use(varying)).traits, { subgroupSize: 0, f16: true, matrices: false });
  device.destroy();
});

test.run();
