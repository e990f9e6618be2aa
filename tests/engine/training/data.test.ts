import { test } from "uvu";
import * as assert from "uvu/assert";
import { arrays, ShapeError, UsageError } from "../../../index.ts";
import { refuses } from "../../harness.ts";

test("arrays: examples by their places, as a copy", async () => {
  const images = Float32Array.from({ length: 12 }, (_, i) => i);
  const dataset = arrays(images, Uint8Array.of(2, 0, 1), ["a", "b", "c"]);
  assert.equal([dataset.size, dataset.classes], [3, ["a", "b", "c"]]);
  const batch = await dataset.examples([2, 0, 2], 7);
  assert.equal(batch, { images: Float32Array.of(8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11), labels: [1, 2, 1] });
  batch.images.fill(9);
  assert.is(images[0], 0);
});

test("arrays that do not go together", async () => {
  const fails = (images: unknown, labels: unknown, message: RegExp) =>
    refuses(() => arrays(images as Float32Array, labels as number[]), ShapeError, "SHAPE", message);
  await fails(new Float32Array(12), [0, 1, 2, 3, 4], /^there are 5 labels for 12 elements of images$/);
  await fails(new Float32Array(12), [], /^there are 0 labels/);
  await fails(new Float32Array(0), [1], /^there are 1 labels for 0 elements/);
  await fails(new Float32Array(12), undefined, /^there are undefined labels/);
  await refuses(
    () => arrays([1, 2] as never, [0]),
    UsageError,
    "USAGE",
    /^images is \[1,2\]; it must be a Float32Array$/,
  );
});

test.run();
