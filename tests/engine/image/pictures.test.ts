import { test } from "uvu";
import * as assert from "uvu/assert";
import type { NetDefinition } from "../../../engine/definition.ts";
import { ImageError, ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { type Image, preprocess } from "../../../engine/image/image.ts";
import { fitTransforms, IMAGENET, type Transforms } from "../../../engine/image/transforms.ts";
import { leakyRelu } from "../../../kernels/elementwise/leaky_relu.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { imagenet } from "../../../nets/imagenet.ts";
import { lenet5 } from "../../../nets/lenet.ts";
import { open, refuses } from "../../harness.ts";

const gpu = await open();
const SIDE = 32;

/** Its logits are its input. */
const identity = (channels = 3): NetDefinition => ({
  ...imagenet,
  name: "identity",
  options: { inChannels: channels, numClasses: channels * SIDE * SIDE },
  imageSize: [SIDE, SIDE],
  build: (x) => leakyRelu(flatten(x), { negativeSlope: 1 }),
  weights: {},
});

const data = Uint8Array.from({ length: 60 * 40 * 4 }, (_, i) => Math.imul(i, 2654435761) >>> 24);
const image: Image = { width: 60, height: 40, data };
const load = (options: object = {}, channels = 3) => gpu.loadNet(identity(channels), { weights: {}, ...options });
const close = (got: Float32Array, want: Float32Array, what: string) =>
  assert.ok(got.length === want.length && got.every((value, i) => Math.abs(value - want[i]) < 1e-6), what);

test("transforms of one's own, for a net or for a run, complete the net's", async () => {
  const usual = fitTransforms(IMAGENET, SIDE, 3);
  const own: Partial<Transforms> = { resize: 50, interpolation: "bicubic" };
  const net = await load({ transforms: own });
  close((await net.run(image)).logits.data, preprocess(image, { ...usual, ...own }), "the net's");
  const mean = [0.1, 0.2, 0.3];
  const both = await net.run(image, { transforms: { mean } });
  close(both.logits.data, preprocess(image, { ...usual, ...own, mean }), "the run's before the net's");
  const [{ index }] = await net.classify(image, { transforms: { mean }, top: 1 });
  assert.is(index, both.logits.data.indexOf(Math.max(...both.logits.data)));
  net.dispose();
  const plain = await load();
  close((await plain.run(image)).logits.data, preprocess(image, usual), "without any");
  close((await plain.run(image, { transforms: own })).logits.data, preprocess(image, { ...usual, ...own }), "a run's");
  plain.dispose();
});

test("a net of one channel sees grey, a net of four is told of", async () => {
  const grey = await load({}, 1);
  close((await grey.run(image)).logits.data, preprocess(image, fitTransforms(IMAGENET, SIDE, 1), 1), "grey");
  grey.dispose();
  const four = await load({}, 4);
  await refuses(
    () => four.run(image),
    UsageError,
    "USAGE",
    /channels is 4; it must be 1 \(grey\) or 3 \(RGB\) for pictures/,
  );
  assert.is((await four.run(new Float32Array(4 * SIDE * SIDE))).logits.data.length, 4 * SIDE * SIDE);
  four.dispose();
});

test("LeNet-5 takes transforms of one's own, if they are whole", async () => {
  const transforms: Transforms = { resize: 32, crop: 32, mean: [0.5], std: [0.5] };
  close(await lenet5.preprocess(image, [1, 32, 32], transforms), preprocess(image, transforms, 1), "the same");
  const net = await gpu.loadNet("lenet5");
  await net.run(image, { transforms });
  await refuses(
    () => net.run(image, { transforms: { resize: 40 } }),
    UsageError,
    "USAGE",
    /lenet5 has no usual transforms: give mean, std as well/,
  );
  net.dispose();
});

test("senseless transforms and orientations are refused, before anything is loaded", async () => {
  const cases: [object, typeof UsageError | typeof ShapeError, RegExp][] = [
    [{ transforms: { crop: 31 } }, UsageError, /crop is 31, and the net was loaded for 32 x 32 pixels/],
    [{ transforms: { size: 31 } }, UsageError, /transforms has no option "size"; its options are resize, crop, mean/],
    [{ transforms: { mean: [0.5] } }, UsageError, /mean has 1 values for 3 channels/],
    [{ transforms: { resize: -1 } }, UsageError, /resize is -1/],
    [{ transforms: { interpolation: "area" } }, UsageError, /interpolation is "area"; it must be bilinear or bicubic/],
    [{ transforms: "imagenet" }, UsageError, /transforms is "imagenet"; wanted an object/],
    [{ transforms: { resize: 9 }, imageSize: [32, 40] }, ShapeError, /transforms make squares, .* for 32 x 40 pixels/],
    [{ orientation: 6 }, UsageError, /orientation is 6; it must be none or exif/],
  ];
  const net = await load();
  for (const [options, kind, message] of cases) {
    const code = kind === UsageError ? "USAGE" : "SHAPE";
    await refuses(() => load({ ...options, numClasses: 3, weights: "nowhere" }), kind, code, message);
    if (!("imageSize" in options)) await refuses(() => net.run(image, options), kind, code, message);
  }
  await refuses(
    () => net.classify(image, { tops: 3 } as never),
    UsageError,
    "USAGE",
    /classify\(\) has no option "tops"/,
  );
  net.dispose();
});

test("what is no picture is refused in a few words", async () => {
  const net = await load({ batch: 2 });
  const cases: [unknown, RegExp][] = [
    [new Float32Array(1e5), /got a Float32Array for a picture; wanted \{ width, height, data \}/],
    [new Uint16Array(9), /got a Uint16Array for a picture/],
    [[1, 2], /got 1 for a picture/],
    [undefined, /got undefined for a picture/],
    [[image, undefined], /got undefined for a picture/],
    ["x".repeat(1e6), /^got "x{80}\.\.\." for a picture/],
    [{ ...image, width: 59 }, /an image of 59 x 40 pixels has 9440 bytes of RGBA, not 9600/],
    [{ ...image, width: Number.NaN }, /an image of NaN x 40 pixels: both sizes must be positive integers/],
    [{ ...image, data: new Float32Array(data) }, /is a Float32Array; wanted 9600 bytes of RGBA/],
    [{ ...image, data: [...data] }, /is an Array; wanted/],
  ];
  for (const [picture, message] of cases) {
    await refuses(() => net.classify(picture as Image), ImageError, "IMAGE", message);
  }
  net.dispose();
});

test("pixels are copied at once, also those of a Buffer and of memory that threads share", async () => {
  const net = await load();
  const want = preprocess(image, fitTransforms(IMAGENET, SIDE, 3));
  const shared = new Uint8Array(new SharedArrayBuffer(data.length));
  for (const own of [Buffer.from(data), shared, Uint8ClampedArray.from(data)]) {
    own.set(data);
    const run = net.run({ ...image, data: own });
    own.fill(0);
    close((await run).logits.data, want, own.constructor.name);
  }
  const elements = new Float32Array(new SharedArrayBuffer(4 * want.length));
  elements.set(want);
  const run = net.run(elements);
  elements.fill(0);
  close((await run).logits.data, want, "elements");
  net.dispose();
});

test.run();
