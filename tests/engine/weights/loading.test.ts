// What happens while weights are on their way.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Gpu, openGpu } from "../../../engine/gpu.ts";
import { FileError, GpuError } from "../../../engine/ground/errors.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import type { ByteSource } from "../../../engine/weights/checkpoint.ts";
import { encodeSafetensors } from "../../../engine/weights/safetensors.ts";
import { bytesSource } from "../../../engine/weights/sources.ts";
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

async function lenetFile(): Promise<ByteSource> {
  const { tensors, read } = randomWeights(lenet5);
  const all = await Promise.all(
    [...tensors].map(async ([name, { shape }]) => [name, { shape, data: await read(name) }]),
  );
  return bytesSource(encodeSafetensors(new Map(all as never)));
}

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

test.run();
