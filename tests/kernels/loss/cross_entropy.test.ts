import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import { crossEntropy } from "../../../kernels/loss/cross_entropy.ts";
import {
  apply,
  assertClose,
  checkKernel,
  int,
  magnitudes,
  open,
  pick,
  randomTensor,
  refuses,
  rounds,
  ulps,
} from "../../harness.ts";

const gpu = await open();

/** The loss is a sum of positive terms. */
async function check(logits: Tensor, labelSmoothing: number): Promise<void> {
  const [rows, classes] = logits.shape;
  const labels = tensor(
    [rows],
    Array.from({ length: rows }, () => int(0, classes - 1)),
  );
  const weight = pick(undefined, magnitudes({ weight: randomTensor([classes]) }).weight);
  const largest = logits.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const bound = (want: number) => 2 ** -24 * (32 * Math.abs(want) + 4 * largest + 4);
  await checkKernel(gpu, crossEntropy, { logits, labels, weight }, { labelSmoothing }, bound);
}

test("random batches, with and without weights and smoothing", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    await check(randomTensor([int(1, 40), int(1, 30)], pick(0.01, 1, 20)), pick(0, 0.1, 1));
  }
});

test("few classes, and the classes of ImageNet, batches of all sizes", async () => {
  for (const rows of [1, 63, 64, 65, 300]) await check(randomTensor([rows, int(2, 40)], 5), pick(0, 0.1));
  for (const rows of [1, 15, 16, 17, 256]) await check(randomTensor([rows, 1000], 5), pick(0, 0.1));
});

const loss = async (logits: number[], label: number, options = {}): Promise<number> => {
  const one = tensor([1, logits.length], logits);
  return (await gpu.eager(crossEntropy, one, tensor([1], [label]), options)).data[0];
};

test("it is a number without dimensions, the weighted mean of what the rows lose", async () => {
  const logits = tensor([2, 2], [0, 0, Math.log(3), 0]);
  const labels = tensor([2], [1, 0]);
  const y = await gpu.eager(crossEntropy, logits, labels, tensor([2], [1, 3]));
  const data = Float64Array.of((3 * Math.log(2) + Math.log(4 / 3)) / 4);
  assertClose(y, { shape: [], data }, ulps(8));
});

test("large logits do not overflow, and those of minus infinity stand for what cannot be", async () => {
  assert.is(await loss([3e38, -3e38, 1], 0), 0);
  assert.ok(Math.abs((await loss([1e4, 1e4 - 1], 1)) - Math.log(1 + Math.E)) < 1e-6);
  assert.is(await loss([-Infinity, 5, -Infinity], 1), 0);
  assert.is(await loss([-Infinity, 5, -Infinity], 0), Infinity);
});

test("NaN, infinity, and a label that is no class make it NaN", async () => {
  for (const spoiler of [NaN, Infinity]) assert.ok(Number.isNaN(await loss([1, spoiler, 2], 0)), `${spoiler}`);
  assert.ok(Number.isNaN(await loss([-Infinity, -Infinity], 0)), "nothing but minus infinity");
  for (const label of [-1, 0.5, 3, 1e10, -100, NaN, Infinity]) {
    assert.ok(Number.isNaN(await loss([1, 2, 3], label)), `label ${label}`);
  }
});

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: number[][], message: RegExp) =>
    refuses(() => apply(crossEntropy, shapes), ShapeError, "SHAPE", message);
  await refusesShape([[2, 3, 4], [2]], /cross_entropy takes logits \[N, K\], got \[2, 3, 4\]/);
  await refusesShape([[2, 3], [3]], /cross_entropy: labels is \[3\]; it must be \[2\]/);
  await refusesShape([[2, 3], [2], [2]], /cross_entropy: weight is \[2\]; it must be \[3\]/);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(crossEntropy, [[2, 3], [2]], options), UsageError, "USAGE", message);
  await refusesUse({ labelSmoothing: 1.1 }, /cross_entropy: labelSmoothing is 1.1; it must be from 0 to 1/);
  await refusesUse({ labelSmoothing: NaN }, /cross_entropy: labelSmoothing is NaN/);
  await refusesUse({ reduction: "sum" }, /cross_entropy has no option "reduction"; its options are labelSmoothing/);
  await refuses(() => apply(crossEntropy, [[2, 3]]), UsageError, "USAGE", /cross_entropy needs its input labels/);
});

test.run();
