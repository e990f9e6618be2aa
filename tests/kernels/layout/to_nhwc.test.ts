import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError } from "../../../engine/ground/errors.ts";
import { toNhwc } from "../../../kernels/layout/to_nhwc.ts";
import { apply, checkBits, int, open, pick, refuses, rounds, specialTensor } from "../../harness.ts";

const gpu = await open();

test("random images, on bits, with channels padded to whole vec4s", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const [batch, channels, height, width] = [pick(1, 3, 5), int(1, 13), int(1, 9), int(1, 9)];
    const shape = [batch, channels, height, width];
    assert.equal(apply(toNhwc, [shape]).shape, [batch, height, width, 4 * Math.ceil(channels / 4)]);
    await checkBits(gpu, toNhwc, { x: specialTensor(shape) });
  }
});

test("anything but images is refused", () =>
  refuses(
    () => apply(toNhwc, [[2, 3]]),
    ShapeError,
    "SHAPE",
    /to_nhwc takes images of shape \[N, C, H, W\], got \[2, 3\]/,
  ));

test.run();
