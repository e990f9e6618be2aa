import { gzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { digitInput } from "../../../engine/image/image.ts";
import { mnist } from "../../../engine/training/mnist.ts";
import { FileError, type Image } from "../../../index.ts";
import { readMnist } from "../../../nets/weights/mnist.ts";
import { refuses } from "../../harness.ts";
import { idx, madeDigits } from "./digits.ts";

const { images, labels } = madeDigits(12);

test("digits are what LeNet-5 makes of a picture of them, by their places", async () => {
  const { images: pixels, labels: classes } = readMnist("test");
  const dataset = await mnist(idx([classes.length, 28, 28], pixels), idx([classes.length], classes));
  assert.is(dataset.size, 10_000);
  assert.equal(dataset.classes, [..."0123456789"]);
  const places = [9_999, 3, 3, 17];
  const batch = await dataset.examples(places, 5);
  assert.equal(Array.from(batch.labels), [6, 0, 0, 7]);
  assert.is(batch.images.length, 4 * 32 * 32);
  places.forEach((place, n) => {
    const data = new Uint8Array(28 * 28 * 4).fill(255);
    pixels.subarray(place * 784, (place + 1) * 784).forEach((p, i) => {
      data.fill(p, 4 * i, 4 * i + 3);
    });
    const picture: Image = { width: 28, height: 28, data };
    assert.equal(batch.images.subarray(n * 1024, (n + 1) * 1024), digitInput(picture), `digit ${place}`);
  });
});

test("files are bytes, buffers or Files, gzipped or not", async () => {
  const wanted = await (await mnist(images, labels)).examples([0, 11]);
  for (const pack of [
    (bytes: Uint8Array) => gzipSync(bytes),
    (bytes: Uint8Array) => new Uint8Array(bytes).buffer,
    (bytes: Uint8Array) => new File([gzipSync(bytes)], "packed"),
    (bytes: Uint8Array) => new Blob([new Uint8Array(bytes)]),
    (bytes: Uint8Array) => {
      const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
      shared.set(bytes);
      return shared;
    },
  ]) {
    const got = await (await mnist(pack(images), pack(labels))).examples([0, 11]);
    assert.equal(got.images, wanted.images);
    assert.equal(Array.from(got.labels), [0, 1]);
  }
  const named = await mnist(images, labels, [..."abcdefghijkl"]);
  assert.is(named.classes?.length, 12);
});

test("files that are none, are cut short or do not belong together", async () => {
  const packed = gzipSync(images);
  const fails = (given: unknown, others: unknown, message: RegExp, classes?: string[]) =>
    refuses(() => mnist(given as Uint8Array, others as Uint8Array, classes), FileError, "FILE", message);
  await fails(labels, labels, /^the file of images begins with the number 2049; wanted MNIST's images, a file like/);
  await fails(images, images, /^the file of labels begins with the number 2051; wanted MNIST's labels, .*idx1-ubyte/);
  await fails(new File(["<html>"], "page.gz"), labels, /^page\.gz begins with the number/);
  for (const length of [0, 3, 15])
    await fails(
      images.subarray(0, length),
      labels,
      /images is cut short: it has \d+ bytes of more; download it again$/,
    );
  await fails(images.subarray(0, 5_000), labels, /is cut short: it has 5000 bytes of 9424/);
  await fails(packed.subarray(0, packed.length - 9), labels, /^the file of images cannot be unpacked \(.*cut short/);
  const damaged = Uint8Array.from(packed);
  damaged.fill(255, 20, 40);
  await fails(damaged, labels, /cannot be unpacked/);
  await fails(Buffer.concat([images, labels]), labels, /has 9444 bytes, and its header says 9424/);
  await fails(idx([0, 28, 28], new Uint8Array()), idx([0], new Uint8Array()), /has no images/);
  await fails(idx([1, 32, 32], new Uint8Array(1024)), labels, /images of 32 x 32 pixels; wanted MNIST's 28 x 28/);
  await fails(images, madeDigits(11).labels, /has 12 images and the file of labels 11 labels: take both of the same/);
  await fails(images, labels, /^the label of image 5 in the file of labels is 5, and there are 5 classes/, [
    ..."abcde",
  ]);
  await fails("train-images", labels, /^the file of images is "train-images"; wanted its bytes$/);
});

test.run();
