import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../engine/ground/errors.ts";
import { softmax } from "../../kernels/softmax.ts";
import {
  apply,
  checkKernel,
  checkRow,
  int,
  nonFiniteTensor,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  testGoldens,
  testVariants,
  ulps,
} from "../harness.ts";

const gpu = await open();

test("random tensors along any dimension, and their logarithms", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const shape = randomShape(1, 5);
    const x = randomTensor(shape, pick(1e-3, 1, 8));
    const dim = int(-shape.length, shape.length - 1);
    await checkKernel(gpu, softmax, { x }, { dim }, ulps(32));
    await checkKernel(gpu, softmax, { x }, { dim, log: true }, (want) => 1e-6 + 2 ** -22 * Math.abs(want));
  }
});

test("rows of every length, by the variant too", async () => {
  for (const length of [1, 63, 257, 1000, 4096]) {
    const x = randomTensor([pick(1, 3, 5), length], 5);
    await checkKernel(gpu, softmax, { x }, {}, ulps(64));
    await checkKernel(gpu, softmax, { x }, { log: true }, (want) => 4e-6 + 2 ** -21 * Math.abs(want));
  }
});

test("rows with NaN and infinity in them, by the variant too", async () => {
  for (const log of [false, true]) await checkKernel(gpu, softmax, { x: nonFiniteTensor([8, 90]) }, { log }, ulps(64));
  const x = { shape: [2, 70], data: new Float32Array(140).fill(-Infinity) };
  x.data[100] = 1;
  await checkKernel(gpu, softmax, { x }, {}, ulps(64));
});

testVariants(gpu, softmax);

test("a thousand classes sum to 1", async () => {
  const { data } = await gpu.eager(softmax, randomTensor([1, 1000], 5));
  const sum = data.reduce((a, b) => a + b, 0);
  assert.ok(Math.abs(sum - 1) < 1e-5, `the sum is ${sum}`);
});

test("large values do not overflow, -infinity has probability 0", async () => {
  await checkRow(gpu, softmax, [3e38, -3e38, 1], [1, 0, 0]);
  await checkRow(gpu, softmax, [-Infinity, 5, -Infinity], [0, 1, 0]);
  await checkRow(gpu, softmax, [-Infinity, 5, -Infinity], [-Infinity, 0, -Infinity], { log: true });
});

for (const log of [false, true]) {
  const name = log ? "logarithms" : "probabilities";
  for (const spoiler of [NaN, Infinity, -Infinity]) {
    test(`no ${name} come of ${spoiler}`, async () => {
      const row = Number.isNaN(spoiler) || spoiler > 0 ? [1, spoiler, 2] : [spoiler, spoiler, spoiler];
      for (let turn = 0; turn < 3; turn++) {
        await checkRow(gpu, softmax, [...row.slice(turn), ...row.slice(0, turn)], [NaN, NaN, NaN], { log });
      }
    });
  }
}

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(softmax, [[2, 3]], options), UsageError, "USAGE", message);
  await refusesUse({ dim: 2 }, /softmax: dim is 2; it must be from -2 to 1, since there are 2 dimensions/);
  await refusesUse({ dim: -3 }, /softmax: dim is -3/);
  await refusesUse({ dim: 0.5 }, /softmax: dim is 0.5/);
  await refusesUse({ axis: 1 }, /softmax has no option "axis"; its options are dim, log/);
});

await testGoldens(gpu, "softmax", "log_softmax");
test.run();
