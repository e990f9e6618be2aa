import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Executable, Inputs } from "../../engine/device/executable.ts";
import { Graph } from "../../engine/graph/graph.ts";
import { makePlan } from "../../engine/graph/plan.ts";
import { GpuError, ImageError, ShapeError, UsageError } from "../../engine/ground/errors.ts";
import type { Dtype } from "../../engine/ground/options.ts";
import type { Shape } from "../../engine/ground/tensor.ts";
import { type Image, preprocess } from "../../engine/image/image.ts";
import { uploadPicture } from "../../engine/image/shown.ts";
import { prepareTexture } from "../../engine/image/texture.ts";
import { IMAGENET, type Transforms } from "../../engine/image/transforms.ts";
import { withModel } from "../../engine/model.ts";
import { leakyRelu } from "../../kernels/elementwise/leaky_relu.ts";
import { preprocess as kernel } from "../../kernels/preprocess.ts";
import { nets } from "../../nets/index.ts";
import { int, open, pick, random, refuses, rounds, someOf } from "../harness.ts";

const gpu = await open();

/** Runs y = x on inputs that may be written by the GPU. */
async function withIdentity<T>(shape: Shape, dtype: Dtype, use: (executable: Executable) => Promise<T>): Promise<T> {
  const graph = new Graph();
  graph.name("y", leakyRelu(graph.input("x", shape), { negativeSlope: 1 }));
  return withModel(gpu, graph, {}, async (model) =>
    use(await model.prepare(makePlan(graph, ["y"], gpu.limits, dtype))),
  );
}

/** What the kernel makes of a picture, as the second of two images. */
async function prepare(image: Image, transforms: Transforms, channels = 3, dtype: Dtype = "f32") {
  const { crop } = transforms;
  const texture = await uploadPicture(gpu, image);
  try {
    const input = await prepareTexture(gpu, kernel, texture, transforms, channels, dtype);
    const size = channels * crop * crop;
    const x = (encoder: GPUCommandEncoder, target: GPUBufferBinding) => input.write(encoder, target, size);
    const run = (executable: Executable) => executable.run({ x });
    const { y } = await withIdentity([2, channels, crop, crop], dtype, run).finally(input.dispose);
    assert.ok(
      y.data.subarray(0, size).every((value) => value === 0),
      "the other image was written to",
    );
    return y.data.subarray(size);
  } finally {
    texture.destroy();
  }
}

/** Noise, edges and slopes: what resampling could get wrong. */
function draw(width: number, height: number): Image {
  const [period, noise] = [int(1, 40), pick(0, 30, 255)];
  const data = Uint8Array.from({ length: width * height * 4 }, (_, i) => {
    const [x, y, c] = [(i >> 2) % width, Math.floor((i >> 2) / width), i & 3];
    const edge = (Math.floor(x / period) + Math.floor(y / period) + c) % 2 ? 200 : 30;
    return Math.min(255, Math.max(0, edge + x - y + noise * (random() - 0.5)));
  });
  return { width, height, data };
}

/** Compares with the CPU's transforms, in units of pixel values from 0 to 1. */
async function check(image: Image, transforms: Transforms, channels = 3, dtype: Dtype = "f32"): Promise<void> {
  const got = await prepare(image, transforms, channels, dtype);
  const want = preprocess(image, transforms, channels);
  // Very high pictures are resampled in the other order.
  assertEqual(got, want, transforms, dtype, image.height > 100 * image.width ? 1 / 255 : 0);
}

/** Asserts that elements are those of the CPU's transforms to the bit, but for the rounding of the last operations. */
function assertEqual(
  got: Float32Array,
  want: Float32Array,
  { crop, mean, std }: Transforms,
  dtype: Dtype = "f32",
  tolerance = 0,
): void {
  const rounding = dtype === "f16" ? 2 ** -11 : 2 ** -22;
  want.forEach((value, i) => {
    const c = Math.floor(i / crop ** 2);
    const difference = Math.abs(got[i] - value) * std[c];
    const bound = tolerance + rounding * (Math.abs(value * std[c]) + mean[c]);
    assert.ok(difference <= bound, `element ${i} is ${got[i]}, wanted ${value}`);
  });
}

const GREY: Transforms = { resize: 40, crop: 32, mean: [0.5], std: [0.25] };

test("a picture becomes what the CPU's transforms make of it", async () => {
  const sizes = [
    [320, 240],
    [512, 512],
    [1000, 731],
    [256, 256],
    [37, 53],
    [3, 2],
    [1, 1],
    [2000, 31],
    [9, 890],
    [3, 1100],
  ];
  for (const [width, height] of someOf(sizes, 4)) await check(draw(width, height), IMAGENET);
  for (let i = 0; i < rounds(6); i++) {
    const crop = int(1, 60);
    const resize = int(1, 70);
    await check(draw(int(1, 300), int(1, 300)), { ...IMAGENET, resize, crop });
    await check(draw(int(1, 200), int(1, 200)), { ...IMAGENET, resize, crop, interpolation: "bicubic" });
    await check(draw(int(1, 90), int(1, 90)), { ...GREY, resize, crop }, 1);
  }
});

test("it does so in f16, where the device has that", async () => {
  if (!gpu.traits.f16) return console.log("this device has no f16");
  await check(draw(300, 200), IMAGENET, 3, "f16");
  await check(draw(50, 60), { ...GREY, crop: 31 }, 1, "f16");
});

test("the nets for ImageNet prepare pictures of any size by it", async () => {
  const { preprocess, preprocessTexture } = nets.resnet18;
  const image = draw(100, 80);
  const texture = await uploadPicture(gpu, image);
  const shape = [3, 64, 64];
  const input = await preprocessTexture?.(gpu, texture, shape, "f32");
  const x = (encoder: GPUCommandEncoder, target: GPUBufferBinding) => input?.write(encoder, target, 0);
  const { y } = await withIdentity([1, ...shape], "f32", (executable) => executable.run({ x }));
  assertEqual(y.data, await preprocess(image, shape), { ...IMAGENET, crop: 64 });
  assert.is(await preprocessTexture?.(gpu, texture, [3, 64, 32], "f32"), undefined);
  await refuses(() => preprocessTexture?.(gpu, texture, [4, 64, 64], "f32"), UsageError, "USAGE", /channels is 4/);
  input?.dispose();
  texture.destroy();
});

test("pictures that cannot be taken have clear errors, and leave nothing", async () => {
  const textures = { made: 0, destroyed: 0 };
  const create = gpu.device.createTexture;
  gpu.device.createTexture = (descriptor) => {
    const texture = create.call(gpu.device, descriptor);
    const { destroy } = texture;
    texture.destroy = () => {
      textures.destroyed++;
      destroy.call(texture);
    };
    textures.made++;
    return texture;
  };
  const refusesPicture = (image: unknown, message: RegExp) =>
    refuses(() => uploadPicture(gpu, image as Image), ImageError, "IMAGE", message);
  const data = new Uint8Array(400_000);
  await refusesPicture({ width: 100_000, height: 1, data }, /100000 x 1 pixels; this GPU takes at most \d+ x \d+/);
  await refusesPicture({ width: 0, height: 5, data }, /has no pixels: wait until it has loaded/);
  await refusesPicture({ width: 500, height: 500, data }, /cannot be read/);
  await refusesPicture(new Blob(["text"]), /the given file must be decoded first/);
  gpu.device.createTexture = create;
  assert.equal(textures, { made: 1, destroyed: 1 });
  gpu.check();
});

test("inputs that are promised keep their place; one that fails leaves the others alone", () =>
  withIdentity([3], "f32", async (executable) => {
    const order: number[] = [];
    const later = (i: number, ms: number): Promise<Inputs> =>
      new Promise((resolve) => setTimeout(() => resolve({ x: Float32Array.of(i, i, i) }), ms));
    const runs = [later(0, 20), later(1, 1), Promise.reject(new GpuError("GPU", "odd")), later(3, 0)].map((inputs, i) =>
      executable.run(inputs).then(({ y }) => {
        order.push(i);
        return y.data[0];
      }),
    );
    await refuses(() => runs[2], GpuError, "GPU", /odd/);
    assert.equal([await runs[0], await runs[1], await runs[3]], [0, 1, 3]);
    assert.equal(order, [0, 1, 3]);
    await refuses(() => executable.run({}), ShapeError, "SHAPE", /the input "x" must be a Float32Array/);
  }));

test.run();
