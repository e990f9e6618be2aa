// Devices that are lost, and what fails once: what comes after works.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Host } from "../../../engine/device/host.ts";
import { type Gpu, type OpenOptions, openGpu as openWith } from "../../../engine/gpu.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import { FileError, GpuError } from "../../../engine/ground/errors.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import { Model } from "../../../engine/model.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import { arraysCheckpoint } from "../../../engine/weights/sources.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import { rates } from "../../../kernels/rates.ts";
import { variants } from "../../../kernels/variants.ts";
import { lenet5 } from "../../../nets/lenet.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { idle, inDepth, int, isDeep, randomTensor, refuses, small } from "../../harness.ts";

const open = (options: OpenOptions = {}, host: Host = nodeHost): Promise<Gpu> =>
  openWith({ variants, rates, ...options }, host);

const weights = randomWeights(small);
const draw = (): Tensor => randomTensor([1, 3, 12, 12]);
const load = (gpu: Gpu) => gpu.loadNet(small, { weights });

/** A device's end, as a driver would bring it about. */
const lose = (gpu: Gpu) => gpu.device.destroy();

const later = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A device outlives three losses within a minute. */
const DEVICES = isDeep ? 34 : 1;

test(`${3 * DEVICES} losses at any moment: what runs is run again, with equal results`, async () => {
  let losses = 0;
  for (let device = 0; device < DEVICES; device++) {
    const told: GpuError[] = [];
    const gpu = await open({ onLost: (error) => told.push(error) });
    const net = await load(gpu);
    const inputs = [draw(), draw(), draw()];
    const wanted = await Promise.all(inputs.map((x) => net.run(x, { features: ["relu"] })));
    for (let loss = 0; loss < 3; loss++, losses++) {
      const before = gpu.device;
      const running = inputs.map((x) => net.run(x, { features: ["relu"] }));
      // In the middle of it, or before it has begun.
      if (int(0, 2) > 0) await later(int(0, 6));
      lose(gpu);
      assert.equal(await Promise.all(running), wanted);
      // And all that follows.
      assert.equal(await net.run(inputs[0]), { ...wanted[0], features: {} });
      assert.is.not(gpu.device, before);
    }
    assert.equal(
      told.map(({ code }) => code),
      ["DEVICE_LOST", "DEVICE_LOST", "DEVICE_LOST"],
    );
    const other = await gpu.loadNet(lenet5);
    other.dispose();
    net.dispose();
    await idle();
    assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
    gpu.close();
  }
  assert.ok(losses >= 3 * DEVICES);
});

test("a device that is lost while weights load, and before anything else is done, is opened again", async () => {
  const gpu = await open();
  const x = draw();
  const wanted = await gpu.eager(relu, x);
  lose(gpu);
  assert.equal(await gpu.eager(relu, x), wanted);
  lose(gpu);
  await idle();
  let reads = 0;
  const slow = {
    ...weights,
    async read(...given: Parameters<typeof weights.read>) {
      if (++reads === 2) lose(gpu);
      return weights.read(...given);
    },
  };
  const net = await gpu.loadNet(small, { weights: slow });
  assert.ok(reads > Object.keys(weights.tensors).length + 2);
  await net.run(x);
  net.dispose();
  gpu.close();
});

test("after three losses within a minute the fourth is the last, and everything says why", async () => {
  const told: GpuError[] = [];
  const gpu = await open({ onLost: (error) => told.push(error) });
  const net = await load(gpu);
  for (let i = 0; i < 3; i++) {
    lose(gpu);
    await net.run(draw());
  }
  lose(gpu);
  const why = /the GPU device was lost \(.*\), 4 times within a minute; open it again with openGpu\(\)/;
  const all = [() => net.run(draw()), () => net.run(draw()), () => load(gpu), () => gpu.eager(relu, draw())];
  await Promise.all(all.map((each) => refuses(each, GpuError, "DEVICE_LOST", why)));
  assert.is(told.length, 4);
  net.dispose();
  gpu.close();
});

test("where no device can be opened again it is told so, and tried again by the next call", async () => {
  let gone = false;
  const host: Host = { ...nodeHost, providers: () => (gone ? [] : nodeHost.providers()) };
  const gpu = await open({}, host);
  const net = await load(gpu);
  gone = true;
  lose(gpu);
  const why = /the GPU device was lost \(.*\), and cannot be opened again: there is no WebGPU adapter/;
  await refuses(() => net.run(draw()), GpuError, "DEVICE_LOST", why);
  gone = false;
  await net.run(draw());
  net.dispose();
  gpu.close();
});

test("a read of weights that fails once fails one call", async () => {
  const gpu = await open();
  const graph = new Graph();
  const x = graph.input("x", [2, 4]);
  graph.name("a", linear(x, graph.param("wa", [3, 4])));
  graph.name("b", linear(x, graph.param("wb", [3, 4])));
  const checkpoint = arraysCheckpoint({ wa: randomTensor([3, 4]), wb: randomTensor([3, 4]) });
  let broken = true;
  const model = await Model.load(
    gpu,
    graph,
    {
      ...checkpoint,
      async read(name, ...range) {
        if (name === "wb" && broken) throw new FileError("the disk is gone");
        return checkpoint.read(name, ...range);
      },
    },
    { outputs: ["a"] },
  );
  const { data } = randomTensor([2, 4]);
  const held = { ...gpu.alive };
  await refuses(() => model.run({ x: data }, ["b"]), FileError, "FILE", /the disk is gone/);
  assert.equal(gpu.alive, held);
  await model.run({ x: data }, ["a"]);
  broken = false;
  await model.run({ x: data }, ["b"]);
  await model.dispose();
  assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
  gpu.close();
});

test("a read-back or an allocation that fails once fails one call", async () => {
  const gpu = await open();
  const net = await load(gpu);
  const x = draw();
  const wanted = await net.run(x);
  const { mapAsync } = Object.getPrototypeOf(gpu.device.createBuffer({ size: 4, usage: 9 }));
  const prototype = Object.getPrototypeOf(gpu.device.createBuffer({ size: 4, usage: 9 }));
  prototype.mapAsync = async function (this: GPUBuffer, ...given: Parameters<GPUBuffer["mapAsync"]>) {
    if (/probabilities/.test(this.label)) throw new Error("the mapping failed");
    return mapAsync.apply(this, given);
  };
  try {
    await refuses(() => net.run(x), Error as never, undefined as never, /the mapping failed/);
  } finally {
    prototype.mapAsync = mapAsync;
  }
  assert.equal(await net.run(x), wanted);

  const createBuffer = gpu.createBuffer;
  gpu.createBuffer = async () => {
    throw new GpuError("OUT_OF_MEMORY", "there is none");
  };
  await refuses(() => net.run(x, { features: ["relu"] }), GpuError, "OUT_OF_MEMORY", /there is none/);
  gpu.createBuffer = createBuffer;
  await net.run(x, { features: ["relu"] });
  net.dispose();
  await idle();
  assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
  gpu.close();
});

test("what the device has against the work of one net is told to that one alone", async () => {
  const gpu = await open();
  const [one, other] = await Promise.all([load(gpu), load(gpu)]);
  const executable = await one.executable();
  const foreign = gpu.device.createBuffer({ size: 16, usage: 4 });
  const odd = (encoder: GPUCommandEncoder, target: GPUBufferBinding) =>
    encoder.copyBufferToBuffer(foreign, 0, target.buffer, 0, 1 << 20);
  const wrong = refuses(() => executable.run({ x: odd }), GpuError, "GPU", /./);
  await Promise.all([wrong, other.run(draw()), other.run(draw())]);
  await one.run(draw());
  assert.equal(gpu.warnings, []);
  one.dispose();
  other.dispose();
  gpu.close();
});

inDepth("plans for lists of features are bounded, whatever the order of names, and can be freed", async () => {
  const gpu = await open();
  const net = await gpu.loadNet("lenet5x", {}).catch(() => gpu.loadNet(lenet5));
  const x = randomTensor(net.inputShape);
  const base = gpu.alive.buffers;
  const names = net.layers.filter((name) => !["logits", "probabilities"].includes(name)).slice(0, 6);
  await net.run(x, { features: [names[0], names[1]] });
  const one = gpu.alive.buffers;
  await net.run(x, { features: [names[1], names[0], names[1]] });
  assert.is(gpu.alive.buffers, one);
  let most = 0;
  for (let list = 1; list < 64; list++) {
    await net.run(x, { features: names.filter((_, i) => list & (1 << i)) });
    most = Math.max(most, gpu.alive.buffers);
  }
  assert.ok(most - base <= 9 * 40, `${most - base} buffers`);
  await net.release([names[5]]);
  await net.release();
  await idle();
  assert.is(gpu.alive.buffers, base);
  await net.run(x, { features: names });
  net.dispose();
  await idle();
  assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
  gpu.close();
});

test("a signal ends opening, running and classifying, and one for loading ends with loading", async () => {
  const reason = new Error("enough");
  const aborted = AbortSignal.abort(reason);
  const ended = (work: () => Promise<unknown>) =>
    work().then(
      () => assert.unreachable("it went on"),
      (error) => assert.is(error, reason),
    );
  await ended(() => open({ signal: aborted }));
  const opening = new AbortController();
  const opened = open({ signal: opening.signal });
  opening.abort(reason);
  await ended(() => opened);

  const gpu = await open();
  const loading = new AbortController();
  const told: unknown[] = [];
  const net = await gpu.loadNet(small, { weights, signal: loading.signal, onProgress: (each) => told.push(each) });
  loading.abort(reason);
  const count = told.length;
  await net.run(draw(), { features: ["relu"] });
  assert.is(told.length, count);

  await ended(() => net.run(draw(), { signal: aborted }));
  await ended(() => net.classify({ width: 12, height: 12, data: new Uint8Array(576) }, { signal: aborted }));
  const running = new AbortController();
  const runs = [net.run(draw(), { signal: running.signal }), net.run(draw(), { signal: running.signal })];
  running.abort(reason);
  await Promise.all(runs.map((run) => ended(() => run)));
  await net.run(draw());
  net.dispose();
  await idle();
  assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
  gpu.close();
});

test.run();
