import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { tensor } from "../../engine/ground/tensor.ts";
import { peak } from "../../kernels/peak.ts";
import { apply, checkBits, checkKernel, int, open, random, refuses, ulps } from "../harness.ts";

const gpu = await open();

test("it counts its rounds: the sum of 0 to 7, and 4096 for each of eight", async () => {
  const x = tensor([2], [1, 1]);
  await checkBits(gpu, peak, { x }, { threads: 64 * int(1, 5) });
  const [first, second] = (await gpu.eager(peak, x, { threads: 64 })).data;
  assert.equal([first, second], [28 + 8 * 4096, 28 + 8 * 4097]);
});

test("any factor and term", async () => {
  for (let i = 0; i < 5; i++) {
    // With factors below 1 rounding errors die away.
    const x = tensor([2], [0.9 * random(), 2 * random() - 1]);
    await checkKernel(gpu, peak, { x }, {}, ulps(32));
  }
});

test("what does not fit is refused", async () => {
  await refuses(() => apply(peak, [[3]]), ShapeError, "SHAPE", /peak takes x of \[2\], factor and term, got \[3\]/);
  for (const threads of [0, 65, 64.5]) {
    const message = /peak: threads is [\d.]+; it must be a positive multiple of 64/;
    await refuses(() => apply(peak, [[2]], { threads }), UsageError, "USAGE", message);
  }
});

test.run();
