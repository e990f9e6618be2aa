import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { DEFAULT_LIMITS } from "../../../engine/graph/plan.ts";
import { GpuError, UsageError } from "../../../engine/ground/errors.ts";
import { openGpu } from "../../../index.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { open, randomTensor, refuses } from "../../harness.ts";

const gpu = await open();

const PACKAGE = new URL("../../../", import.meta.url);

/** Runs a program in a Node of its own, which must come to its end by itself; returns what it prints. */
async function runNode(program: string, env: Record<string, string> = {}): Promise<string> {
  const options = { timeout: 60_000, env: { ...process.env, ...env } };
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], options);
  return stdout.trim();
}

/** Opens a GPU under another value of SHADENET_ADAPTER. */
async function openAs(choice: string) {
  const before = process.env.SHADENET_ADAPTER;
  process.env.SHADENET_ADAPTER = choice;
  try {
    return await openGpu();
  } finally {
    if (before === undefined) delete process.env.SHADENET_ADAPTER;
    else process.env.SHADENET_ADAPTER = before;
  }
}

test("it tells which adapter it got", () => {
  const { name, software, fallback } = gpu.adapter;
  assert.ok(name.length > 0);
  assert.is(software, /llvmpipe|swiftshader/i.test(name));
  if (process.env.SHADENET_ADAPTER === "embedded") assert.is(fallback, "SHADENET_ADAPTER=embedded asks for it");
});

test("it asks for the adapter's own limits, or for the default ones", async () => {
  const plain = await openGpu({ limits: "default" });
  assert.is(plain.device.limits.maxStorageBufferBindingSize, DEFAULT_LIMITS.maxStorageBufferBindingSize);
  assert.is(plain.device.limits.maxBufferSize, DEFAULT_LIMITS.maxBufferSize);
  assert.ok(gpu.device.limits.maxBufferSize >= plain.device.limits.maxBufferSize);
  plain.close();
});

test("several can be open at once", async () => {
  const others = await Promise.all([openGpu(), openGpu()]);
  for (const other of others) {
    const { data } = await other.eager(relu, randomTensor([9]));
    assert.ok(data.every((v) => v >= 0));
    other.close();
  }
  await gpu.eager(relu, randomTensor([9]));
});

test("without an adapter it says what to install", async () => {
  await refuses(() => openAs("none"), GpuError, "NO_ADAPTER", /there is no WebGPU adapter: .{20}/);
});

test("SHADENET_ADAPTER has legal values", async () => {
  await refuses(
    () => openAs("gpu"),
    UsageError,
    "USAGE",
    /SHADENET_ADAPTER is "gpu"; it can be system, embedded, none or unset/,
  );
});

test("unknown options and nets are refused, naming the legal ones", async () => {
  const options = () => openGpu({ power: "low" } as object);
  await refuses(
    options,
    UsageError,
    "USAGE",
    /openGpu\(\) has no option "power"; its options are powerPreference, limits, device, onLost, signal, nets/,
  );
  await refuses(() => gpu.loadNet("lenet"), UsageError, "USAGE", /there is no net "lenet"; there are lenet5/);
  const net = () => gpu.loadNet("lenet5", { batchSize: 2 });
  await refuses(
    net,
    UsageError,
    "USAGE",
    /lenet5 has no option "batchSize"; its options are inChannels, numClasses, .*weights, weightsKey, batch/,
  );
});

test("elsewhere than on Linux it says what is wrong there", async () => {
  const openOn = (platform: string, choice: string, backend = "") =>
    runNode(
      `Object.defineProperty(process, "platform", { value: "${platform}" });
      const { openGpu } = await import("${new URL("index.js", PACKAGE)}");
      console.log(await openGpu().then((gpu) => gpu.adapter.name, ({ code, message }) => code + ": " + message));
      process.exit();`,
      { SHADENET_ADAPTER: choice, DAWNNODE_BACKEND: backend },
    );
  assert.match(await openOn("darwin", "none"), /^NO_ADAPTER: there is no WebGPU adapter: .*Metal/);
  assert.match(await openOn("win32", "none"), /^NO_ADAPTER: there is no WebGPU adapter: .*Direct3D 12/);
  const embedded =
    /^USAGE: SHADENET_ADAPTER is "embedded", which is for Linux on x64, and this is darwin on \w+; unset it/;
  assert.match(await openOn("darwin", "embedded"), embedded);
  // Dawn's own library is not that of this machine.
  assert.match(await openOn("darwin", ""), /^NO_ADAPTER: "webgpu" fails: .*npm install webgpu/s);
  assert.match(await openOn("linux", "system", "odd"), /^NO_ADAPTER: /);
});

test("the same source is compiled once, a broken one each time", async () => {
  const code = "@compute @workgroup_size(1) fn main() {}";
  assert.is(gpu.pipeline("a", code, []), gpu.pipeline("b", code, []));
  await gpu.pipeline("a", code, []);
  const broken = "@compute @workgroup_size(1) fn main() { let x = y; }";
  const compile = () => gpu.pipeline("broken", broken, []);
  const first = compile();
  assert.is(first, compile());
  for (const pipeline of [() => first, compile]) {
    await refuses(pipeline, GpuError, "SHADER", /broken does not compile: .*unresolved value 'y'/s);
  }
  assert.is.not(first, compile());
  await compile().catch(() => {});
});

test("an error that no call had asked for is a warning, and fails nobody else", async () => {
  const other = await openGpu({ kernelHash: undefined });
  other.device.createBuffer({ label: "odd", size: 16, usage: 0 });
  await other.settle(other.device.queue.onSubmittedWorkDone());
  other.check();
  assert.is(other.warnings.length, 1);
  assert.match(other.warnings[0], /the GPU reported: [\s\S]*odd/);
  other.close();
});

test("it is disposable where the platform knows that", async () => {
  if (!Symbol.dispose) return;
  const other = await openGpu();
  other[Symbol.dispose]();
  assert.throws(() => other.check(), /the GPU was used after/);
});

test("opening leaves the environment as it was", async () => {
  const program = `
    import { openGpu } from "${new URL("index.js", PACKAGE)}";
    const before = JSON.stringify(process.env);
    await openGpu().then((gpu) => gpu.close(), () => {});
    console.log(JSON.stringify(process.env) === before);`;
  for (const choice of ["system", "embedded"]) assert.is(await runNode(program, { SHADENET_ADAPTER: choice }), "true");
});

test("importing opens nothing and touches no navigator", async () => {
  for (const entry of ["index", "browser", "core"]) {
    const program = `
      Object.defineProperty(globalThis, "navigator", { get() { throw new Error("navigator was touched"); } });
      await import("${new URL(`${entry}.js`, PACKAGE)}");
      process.report.excludeNetwork = true;
      console.log(process.report.getReport().sharedObjects.filter((path) => /dawn|vulkan/.test(path)).join());`;
    assert.is(await runNode(program), "", entry);
  }
});

test("a program that closes its GPU ends by itself", async () => {
  const program = `
    import { openGpu } from "${new URL("index.js", PACKAGE)}";
    const gpu = await openGpu();
    const net = await gpu.loadNet("lenet5");
    const { logits } = await net.run(new Float32Array(32 * 32));
    net.dispose();
    gpu.close();
    console.log(logits.shape.join());`;
  const start = performance.now();
  assert.is(await runNode(program), "1,10");
  assert.ok(performance.now() - start < 30_000);
});

test.run();
