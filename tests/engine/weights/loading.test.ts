// What happens while weights are on their way.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Gpu, openGpu } from "../../../engine/gpu.ts";
import { FileError, GpuError, UsageError, WeightsError } from "../../../engine/ground/errors.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import type { ByteSource, Checkpoint } from "../../../engine/weights/checkpoint.ts";
import { encodeSafetensors } from "../../../engine/weights/safetensors.ts";
import { arraysCheckpoint, bytesSource } from "../../../engine/weights/sources.ts";
import { lenet5 } from "../../../nets/lenet.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { idle, refuses } from "../../harness.ts";

/** Opens a GPU whose weights come from `source`, and counts the kernels that it begins and ends to compile. */
async function openWith(source: (compiling: { begun: number; ended: number }) => Promise<ByteSource>): Promise<Gpu> {
  const compiling = { begun: 0, ended: 0 };
  const gpu = await openGpu({}, { ...nodeHost, storage: undefined, open: () => source(compiling) });
  const compile = gpu.device.createComputePipelineAsync.bind(gpu.device);
  gpu.device.createComputePipelineAsync = async (descriptor) => {
    compiling.begun++;
    const pipeline = await compile(descriptor);
    compiling.ended++;
    return pipeline;
  };
  test.after(() => gpu.close());
  return gpu;
}

/** Random weights, under other names and from another seed where that is asked for. */
async function lenetTensors(seed = 1, rename = (name: string) => name): Promise<Map<string, Tensor>> {
  const { tensors, read } = randomWeights(lenet5, {}, seed);
  const named = [...tensors].map(
    async ([name, { shape }]) => [rename(name), { shape, data: await read(name) }] as const,
  );
  return new Map(await Promise.all(named));
}

const lenetFile = async (): Promise<ByteSource> => bytesSource(encodeSafetensors(await lenetTensors()));

test("kernels compile while weights are on their way, and only once", async () => {
  let whenOpened = { begun: 0, ended: 0 };
  let whenThere = whenOpened;
  const gpu = await openWith(async (compiling) => {
    whenOpened = { ...compiling };
    // Nothing but the compiling can end this.
    while (compiling.ended < whenOpened.begun) await gpu.settle(idle());
    whenThere = compiling;
    return lenetFile();
  });
  const net = await gpu.loadNet(lenet5, { weights: "lenet5.safetensors" });
  assert.ok(whenOpened.begun >= 4, `${whenOpened.begun} kernels were begun when the weights were asked for`);
  assert.equal(whenThere, { begun: whenOpened.begun, ended: whenOpened.begun });
  await net.run(new Float32Array(1024));
  net.dispose();
});

test("weights that cannot be opened are told of at once, whatever compiles", async () => {
  const gpu = await openWith(() => Promise.reject(new FileError("there is no such file")));
  const ends: ((reason: Error) => void)[] = [];
  gpu.device.createComputePipelineAsync = () => new Promise((_, reject) => ends.push(reject));
  await refuses(() => gpu.loadNet(lenet5, { weights: "nowhere.pth" }), FileError, "FILE", /no such file/);
  assert.is(gpu.alive.buffers, 0);
  assert.ok(ends.length >= 4);
  for (const end of ends) end(new Error("nobody waits"));
});

test("a kernel that does not compile fails the net, and is compiled again for the next one", async () => {
  const gpu = await openWith(lenetFile);
  const compile = gpu.device.createComputePipelineAsync;
  gpu.device.createComputePipelineAsync = () => Promise.reject(new Error("the compiler is tired"));
  const load = () => gpu.loadNet(lenet5, { weights: "lenet5.safetensors" });
  await refuses(load, GpuError, "SHADER", /does not compile: the compiler is tired/);
  await idle();
  assert.is(gpu.alive.buffers, 0);
  gpu.device.createComputePipelineAsync = compile;
  const net = await load();
  await net.run(new Float32Array(1024));
  net.dispose();
});

test("a net is loaded through its prefix, and from the mapping that is chosen; it says so", async () => {
  const gpu = await openWith(lenetFile);
  const x = Float32Array.from({ length: 1024 }, (_, i) => Math.sin(i));
  const logits = async (weights: Checkpoint, weightsKey?: string) => {
    const net = await gpu.loadNet(lenet5, { weights, weightsKey });
    const result = await net.run(x);
    net.dispose();
    return { logits: [...result.logits.data], warnings: [...net.warnings] };
  };
  const plain = arraysCheckpoint(await lenetTensors());
  const other = arraysCheckpoint(await lenetTensors(2));
  const wrapped = arraysCheckpoint(await lenetTensors(1, (name) => `module.${name}`), "w.pth");
  const [wanted, second] = [await logits(plain), await logits(other)];
  assert.equal(wanted.warnings, []);
  assert.not.equal(wanted.logits, second.logits);
  assert.equal(await logits(wrapped), {
    logits: wanted.logits,
    warnings: ['"module" was taken off the names of the tensors of w.pth: without, they fit'],
  });
  const parts = new Map([
    ["model", other],
    ["ema", wrapped],
  ]);
  const several: Checkpoint = { ...other, parts };
  assert.equal((await logits(several, "ema")).logits, wanted.logits);
  assert.equal(await logits(several, "model"), second);
  await refuses(
    () => logits(several),
    WeightsError,
    "WEIGHTS",
    /2 mappings .*: "model", "ema"; choose one with weightsKey/,
  );
  await refuses(() => logits(several, "net"), UsageError, "USAGE", /no mapping "net" for weightsKey/);
  assert.is(gpu.alive.buffers, 0);
});

test.run();
