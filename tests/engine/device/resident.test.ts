// What is on the device already and what stays there: a device of one's own, buffers and textures as inputs, outputs.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { NetDefinition } from "../../../engine/definition.ts";
import type { DeviceTensor } from "../../../engine/device/resident.ts";
import { COPY_DST, COPY_SRC, MAP_READ, STORAGE } from "../../../engine/device/usage.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { DisposedError, GpuError, ImageError, ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { fromHalf } from "../../../engine/ground/half.ts";
import { type Shape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import type { Image } from "../../../engine/image/image.ts";
import type { RunResult } from "../../../engine/net.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import { openGpu } from "../../../index.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { assertClose, idle, int, open, randomTensor, refuses, small, withNet } from "../../harness.ts";

const weights = randomWeights(small);

// The values of GPUTextureUsage.
const TEXTURE_COPY_SRC = 1;
const TEXTURE_COPY_DST = 2;
const TEXTURE_BINDING = 4;

const gpu = await open();

/** What belongs to a test on a device, and ends with it. */
async function bufferOf({ device }: Gpu, data: Float32Array | Uint16Array, usage = COPY_SRC): Promise<GPUBuffer> {
  const buffer = device.createBuffer({ size: 4 * Math.ceil(data.byteLength / 4), usage: usage | COPY_DST });
  device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
  return buffer;
}

/** Reads a tensor that was left on the device. */
async function read(owner: Gpu, { shape, dtype, buffer }: DeviceTensor): Promise<Tensor> {
  const { device } = owner;
  const staging = device.createBuffer({ size: buffer.size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await owner.settle(staging.mapAsync(MAP_READ));
  const bytes = staging.getMappedRange().slice(0);
  staging.destroy();
  const count = sizeOf(shape);
  const data =
    dtype === "f32" ? new Float32Array(bytes, 0, count) : Float32Array.from(new Uint16Array(bytes, 0, count), fromHalf);
  return { shape, data };
}

/** What was left on the device, read, and freed there. */
async function readAll({ logits, probabilities, features }: RunResult<DeviceTensor>): Promise<RunResult> {
  const all = Object.entries({ logits, probabilities, ...features });
  const got: Record<string, Tensor> = {};
  for (const [name, tensor] of all) {
    got[name] = await read(gpu, tensor);
    tensor.dispose();
  }
  const { logits: first, probabilities: second, ...others } = got;
  return { logits: first, probabilities: second, features: others };
}

function textureOf({ device }: Gpu, { width, height, data }: Image, format: GPUTextureFormat = "rgba8unorm", more = 0) {
  const usage = TEXTURE_COPY_DST | TEXTURE_BINDING | more;
  const texture = device.createTexture({ size: [width, height], format, usage });
  const bytes = format.startsWith("bgra") ? data.map((_, i) => data[i % 4 < 3 ? i - 2 * (i % 4) + 2 : i]) : data;
  device.queue.writeTexture({ texture }, bytes as Uint8Array<ArrayBuffer>, { bytesPerRow: 4 * width }, [width, height]);
  return texture;
}

const drawPicture = (width = int(9, 90), height = int(9, 90)): Image => ({
  width,
  height,
  data: Uint8Array.from({ length: 4 * width * height }, () => int(0, 255)),
});

const drawInput = (batch = 1): Tensor => randomTensor([batch, 3, 12, 12]);
/** Asserts that logits are the same but for the rounding of the pictures' division, which is the device's own. */
function assertAlmost(got: RunResult, { logits: { shape, data } }: RunResult): void {
  const most = 1e-5 * Math.max(...data.map(Math.abs));
  assertClose(got.logits, { shape, data }, () => most, "the logits");
}

const onGpu = { location: "gpu" } as const;

test("a buffer of elements is an input like those in memory, and outputs can stay: both to the bit", () =>
  withNet(gpu, small, { weights, batch: 2 }, async (net) => {
    const x = drawInput(2);
    const features = ["relu", "fc"];
    const want = await net.run(x, { features });
    const buffer = await bufferOf(gpu, x.data);
    assert.equal(await net.run(buffer, { features }), want);
    assert.equal(await readAll(await net.run(buffer, { features, ...onGpu })), want);
    assert.equal(await readAll(await net.run(x, { features, ...onGpu })), want);
    assert.equal(await net.run(x, { features, location: "memory" }), want);
    buffer.destroy();
  }));

/** Takes what the first one leaves as "relu". */
const second: NetDefinition = {
  ...small,
  name: "second",
  options: { inChannels: 8, numClasses: 5 },
  imageSize: [10, 10],
};

test("what one net leaves is what another reads, with no way through memory; concurrent runs do not mix", () =>
  withNet(gpu, small, { weights }, async (net) => {
    const features = ["relu"];
    const inputs = [drawInput(), drawInput(), drawInput()];
    const between = await Promise.all(inputs.map((x) => net.run(x, { features })));
    await withNet(gpu, second, { weights: randomWeights(second) }, async (next) => {
      const want = await Promise.all(between.map((each) => next.run(each.features.relu)));
      const got = inputs.map(async (x) => {
        const left = await net.run(x, { features, ...onGpu });
        const result = await next.run(left.features.relu.buffer);
        for (const each of [left.logits, left.probabilities, left.features.relu]) each.dispose();
        return result;
      });
      assert.equal(await Promise.all(got), want);
    });
  }));

test("a batch that runs in slices takes a buffer in parts, and joins what it leaves", async () => {
  const { limits } = gpu;
  // As on a device that binds two images' activations at once.
  gpu.limits = { maxBufferSize: limits.maxBufferSize, maxStorageBufferBindingSize: 2 * 4 * 8 * 10 * 10 };
  try {
    await withNet(gpu, small, { weights, batch: 6 }, async (net) => {
      assert.is((await net.plan()).inputs[0].shape[0], 2);
      const x = drawInput(6);
      const want = await net.run(x, { features: ["relu"] });
      const buffer = await bufferOf(gpu, x.data);
      assert.equal(await readAll(await net.run(buffer, { features: ["relu"], ...onGpu })), want);
      buffer.destroy();
    });
  } finally {
    gpu.limits = limits;
  }
});

test("in f16 buffers hold f16", async () => {
  if (!gpu.traits.f16) return;
  await withNet(gpu, small, { weights, dtype: "f16" }, async (net) => {
    const halves = Uint16Array.from({ length: 3 * 12 * 12 }, () => int(0, 0x3c00));
    const want = await net.run({ shape: [1, 3, 12, 12], data: Float32Array.from(halves, fromHalf) });
    const buffer = await bufferOf(gpu, halves);
    assert.equal(await net.run(buffer), want);
    const left = await net.run(buffer, onGpu);
    assert.is(left.logits.dtype, "f16");
    assert.equal(await readAll(left), want);
    buffer.destroy();
  });
});

test("a texture is a picture, by a kernel and where a net reads pictures in memory", async () => {
  await withNet(gpu, small, { weights, batch: 2 }, async (net) => {
    const pictures = [drawPicture(), drawPicture()];
    const want = await net.run(pictures);
    const textures = [textureOf(gpu, pictures[0]), textureOf(gpu, pictures[1], "bgra8unorm")];
    const got = await net.run(textures);
    assertAlmost(got, want);
    assert.equal(await net.run([pictures[0], textures[1]]), got);
    const [[best], [second]] = await net.classify(textures, { top: 1 });
    const classes = [best.probability, second.probability];
    assert.equal(
      classes,
      [got.probabilities.data.subarray(0, 7), got.probabilities.data.subarray(7)].map((all) => Math.max(...all)),
    );
    for (const texture of textures) texture.destroy();
  });
  await withNet(gpu, "lenet5", {}, async (net) => {
    for (const format of ["rgba8unorm", "bgra8unorm"] as const) {
      const picture = drawPicture();
      const texture = textureOf(gpu, picture, format, TEXTURE_COPY_SRC);
      assert.equal(await net.run(texture), await net.run(picture));
      texture.destroy();
      const hidden = textureOf(gpu, picture, format);
      await refuses(
        () => net.run(hidden),
        ImageError,
        "IMAGE",
        /give a texture with the usage COPY_SRC, or its pixels/,
      );
      hidden.destroy();
    }
  });
});

test("buffers and textures that do not fit are refused, and the next run works", () =>
  withNet(gpu, small, { weights }, async (net) => {
    const x = drawInput();
    const want = await net.run(x);
    const fails = async (input: unknown, kind: Parameters<typeof refuses>[1], code: string, message: RegExp) => {
      for (const location of ["memory", "gpu"] as const)
        await refuses(() => net.run(input as GPUBuffer, { location } as object), kind, code, message);
      assert.equal(await net.run(x), want);
    };
    const short = await bufferOf(gpu, x.data.subarray(1));
    await fails(short, ShapeError, "SHAPE", /a buffer of 1724 bytes; \[1, 3, 12, 12\] in f32 has 1728/);
    const hidden = await bufferOf(gpu, x.data, STORAGE);
    await fails(hidden, UsageError, "USAGE", /without the usage COPY_SRC/);
    const gone = await bufferOf(gpu, x.data);
    gone.destroy();
    await fails(gone, GpuError, "GPU", /destroyed/);
    const fake = { mapAsync() {}, size: 1e6, usage: 255 };
    await fails(fake, UsageError, "USAGE", /no GPUBuffer of this device/);
    const other = await openGpu();
    const foreign = await bufferOf(other, x.data);
    await fails(foreign, GpuError, "GPU", /Buffer/);
    const strange = textureOf(other, drawPicture());
    await fails(strange, GpuError, "GPU", /Texture/);
    other.close();
    const format = gpu.device.createTexture({ size: [9, 9], format: "r32float", usage: TEXTURE_BINDING });
    await fails(format, ImageError, "IMAGE", /"r32float" in "2d", 1 layers, .*; wanted rgba8unorm or bgra8unorm in 2d/);
    const unbound = gpu.device.createTexture({ size: [9, 9], format: "rgba8unorm", usage: TEXTURE_COPY_DST });
    await fails(unbound, ImageError, "IMAGE", /usage 2; wanted .* with the usage TEXTURE_BINDING/);
    const layers = gpu.device.createTexture({ size: [9, 9, 2], format: "rgba8unorm", usage: TEXTURE_BINDING });
    await fails(layers, ImageError, "IMAGE", /2 layers/);
    const faked = { createView() {}, width: 9, height: 9, format: "rgba8unorm", usage: 255, sampleCount: 1 };
    await fails({ ...faked, dimension: "2d", depthOrArrayLayers: 1 }, ImageError, "IMAGE", /no GPUTexture/);
    await fails(faked, ImageError, "IMAGE", /no GPUTexture/);
    await refuses(() => net.run(x, { location: "disk" } as object), UsageError, "USAGE", /one of memory, gpu/);
    for (const each of [short, hidden, format, unbound, layers]) each.destroy();
  }));

test("a signal ends a run whose outputs would have stayed, and nothing of it does", () =>
  withNet(gpu, small, { weights }, async (net) => {
    const x = drawInput();
    const controller = new AbortController();
    const running = [net.run(x), net.run(x, { ...onGpu, signal: controller.signal })];
    controller.abort(new Error("enough"));
    const [first, second] = await Promise.allSettled(running);
    assert.is(first.status, "fulfilled");
    assert.is((second as PromiseRejectedResult).reason.message, "enough");
    await idle();
  }));

test("after a loss what was on the device is gone, and says so; inputs in memory are run again", async () => {
  const own = await openGpu();
  const net = await own.loadNet(small, { weights });
  const x = drawInput();
  const want = await net.run(x);
  const buffer = await bufferOf(own, x.data);
  const texture = textureOf(own, drawPicture());
  own.device.destroy();
  await refuses(() => net.run(buffer), GpuError, "DEVICE_LOST", /opened again: what was made on it is gone/);
  const left = await net.run(x, onGpu);
  assert.equal(await read(own, left.logits), want.logits);
  own.device.destroy();
  const running = [net.run(texture), net.run(x, onGpu)].map((run) => run.catch((error) => error));
  const [lost, again] = await Promise.all(running);
  assert.is(lost.code, "DEVICE_LOST");
  assert.equal(await read(own, again.logits), want.logits);
  left.logits.dispose();
  net.dispose();
  own.close();
});

/** A device that is opened as a program without this library would. */
async function deviceOf(requiredFeatures: GPUFeatureName[] = []): Promise<GPUDevice> {
  const adapter = await nodeHost.providers()[0].requestAdapter({});
  if (!adapter) throw new Error("no adapter");
  return adapter.requestDevice({ requiredFeatures });
}

test("a device of one's own is used as it is, and lives on", async () => {
  const device = await deviceOf();
  const heard = () => {};
  device.onuncapturederror = heard;
  const own = await openGpu({ device, kernelHash: undefined });
  assert.is(own.device, device);
  assert.is(own.adapter.name, gpu.adapter.name);
  assert.equal([own.traits.subgroupSize, own.traits.f16], [0, false]);
  const net = await own.loadNet(small, { weights });
  const x = drawInput();
  const first = await net.run(x);
  await withNet(gpu, small, { weights }, async (usual) => assertAlmost(first, await usual.run(x)));
  const running = net.run(x);
  own.close();
  await refuses(() => running, DisposedError, "DISPOSED", /the GPU was used after/);
  await refuses(() => net.run(x), DisposedError, "DISPOSED", /the GPU was used after/);
  assert.is(device.onuncapturederror, heard);
  // Two at once, on a device that is still whole.
  const [one, other] = await Promise.all([openGpu({ device }), openGpu({ device })]);
  const again = await one.loadNet(small, { weights });
  other.close();
  assert.equal(await again.run(x), first);
  again.dispose();
  await idle();
  assert.is(one.alive.buffers, 0);
  one.close();
  device.destroy();
});

test("a device of one's own that is lost is its owner's to replace", async () => {
  const device = await deviceOf();
  const told: string[] = [];
  const own = await openGpu({ device, onLost: ({ code }) => told.push(code) });
  const net = await own.loadNet(small, { weights });
  device.destroy();
  const why =
    /lost \(.*\), and cannot be opened again: the device that openGpu\(\) was given is lost: open another one/;
  await refuses(() => net.run(drawInput()), GpuError, "DEVICE_LOST", why);
  await refuses(() => net.run(drawInput()), GpuError, "DEVICE_LOST", why);
  assert.equal(told, ["DEVICE_LOST"]);
  own.close();
  await refuses(() => openGpu({ device }), GpuError, "DEVICE_LOST", /is lost: open another one, and give that/);
});

test("what is no device, and options of one that is yet to be opened, are refused", async () => {
  for (const device of [null, 5, {}, { createBuffer() {} }, "gpu"]) {
    if (device === null) continue;
    await refuses(() => openGpu({ device } as object), UsageError, "USAGE", /for the device; wanted a GPUDevice/);
  }
  const device = await deviceOf();
  const other = { device, powerPreference: "low-power" } as const;
  await refuses(() => openGpu(other), UsageError, "USAGE", /powerPreference is for a device that it opens/);
  const aborted = { device, signal: AbortSignal.abort(new Error("enough")) };
  assert.is(await openGpu(aborted).catch(({ message }) => message), "enough");
  const own = await openGpu({ device });
  assert.equal((await own.eager(relu, drawInput())).shape, [1, 3, 12, 12] satisfies Shape);
  own.close();
  device.destroy();
});

test.run();
