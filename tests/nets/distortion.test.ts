// The distortion of the digits that LeNet-5 is trained on.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { drawsOf } from "../../engine/training/augmentation.ts";
import { distorted } from "../../nets/weights/distortion.ts";

/** A filled square, 8 pixels wide, whose upper left corner is at (10, 12). */
const square = new Uint8Array(28 * 28);
for (let y = 12; y < 20; y++) square.fill(255, y * 28 + 10, y * 28 + 18);

const inkOf = (digit: Float32Array) => digit.reduce((sum, ink) => sum + ink, 0) / 255;

test("without chance a digit lies in the middle of its frame, its strokes a little thicker", () => {
  const got = distorted(square, () => 0.5);
  for (let y = 0; y < 32; y++) {
    for (let x = 0; x < 32; x++) {
      const [dx, dy] = [x - 12, y - 14];
      const [across, down] = [dx, dy].map((d) => d >= 0 && d < 8);
      const besides = (across && (dy === -1 || dy === 8)) || (down && (dx === -1 || dx === 8));
      const want = across && down ? 255 : besides ? 25.5 : 0;
      assert.ok(Math.abs(got[32 * y + x] - want) < 1e-3, `${got[32 * y + x]} at (${x}, ${y}), wanted ${want}`);
    }
  }
});

test("the same draws make the same digit, others another, of about as much ink, and none out of nothing", () => {
  const first = distorted(square, drawsOf(1, 2));
  assert.equal(distorted(square, drawsOf(1, 2)), first);
  for (const [key, place] of [
    [1, 3],
    [2, 2],
  ])
    assert.not.equal(distorted(square, drawsOf(key, place)), first);
  for (let place = 0; place < 200; place++) {
    const ink = inkOf(distorted(square, drawsOf(7, place)));
    // Of 64 pixels: the least and the largest scale, strokes and bend together.
    assert.ok(ink > 64 * 0.4 && ink < 64 * 2.2, `${ink} of 64`);
    assert.is(inkOf(distorted(new Uint8Array(28 * 28), drawsOf(7, place))), 0);
  }
});

test.run();
