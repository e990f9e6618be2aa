import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import { crossEntropyGradient } from "../../../kernels/loss/cross_entropy_gradient.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import { apply, checkKernel, int, magnitudes, open, pick, randomTensor, refuses, rounds } from "../../harness.ts";

const gpu = await open();

async function check(logits: Tensor, labelSmoothing: number): Promise<void> {
  const [rows, classes] = logits.shape;
  const labels = tensor(
    [rows],
    Array.from({ length: rows }, () => int(0, classes - 1)),
  );
  const weight = pick(undefined, magnitudes({ weight: randomTensor([classes]) }).weight);
  const dy = randomTensor([]);
  // What a row's targets are at most, on which the differences from the probabilities have their errors.
  const most = (weight?.data.reduce((a, b) => Math.max(a, b)) ?? 1) * Math.abs(dy.data[0]);
  const total = labels.data.reduce((sum, label) => sum + (weight?.data[label] ?? 1), 0);
  const spread = logits.data.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const bound = (want: number) => 2 ** -24 * (32 * Math.abs(want) + ((16 + 2 * spread) * most) / total);
  await checkKernel(gpu, crossEntropyGradient, { logits, labels, dy, weight }, { labelSmoothing }, bound);
}

test("random batches, with and without weights and smoothing", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    await check(randomTensor([int(1, 40), int(1, 30)], pick(0.01, 1, 20)), pick(0, 0.1, 1));
  }
});

test("few classes, and the classes of ImageNet, batches of all sizes", async () => {
  for (const rows of [1, 63, 64, 65, 300]) await check(randomTensor([rows, int(2, 40)], 5), pick(0, 0.1));
  for (const rows of [1, 15, 65, 256]) await check(randomTensor([rows, 1000], 5), pick(0, 0.1));
});

test("large logits do not overflow, and those of minus infinity have no gradient", async () => {
  const logits = tensor([2, 3], [3e38, -3e38, 1, -Infinity, 5, -Infinity]);
  const { data } = await gpu.eager(crossEntropyGradient, logits, tensor([2], [0, 1]), tensor([], [1]));
  assert.equal([...data].map(Math.abs), [0, 0, 0, 0, 0, 0]);
});

test("NaN and infinity spoil their rows, and no others", async () => {
  for (const row of [
    [1, NaN, 2],
    [Infinity, 1, 2],
    [-Infinity, -Infinity, -Infinity],
  ]) {
    const logits = tensor([2, 3], [...row, 1, 2, 3]);
    const { data } = await gpu.eager(crossEntropyGradient, logits, tensor([2], [2, 1]), tensor([], [1]));
    assert.equal([...data].map(Number.isNaN), [true, true, true, false, false, false], `${row}`);
  }
});

test("a label that is no class makes the gradient NaN, as it does the loss", async () => {
  for (const label of [-1, 0.5, 3, NaN]) {
    const inputs = { logits: randomTensor([2, 3]), labels: tensor([2], [0, label]), dy: tensor([], [1]) };
    const { data } = evaluateReference(crossEntropyGradient, inputs);
    assert.ok(data.every(Number.isNaN), `label ${label}`);
    await checkKernel(gpu, crossEntropyGradient, inputs);
  }
});

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: number[][], message: RegExp) =>
    refuses(() => apply(crossEntropyGradient, shapes), ShapeError, "SHAPE", message);
  await refusesShape([[2], [2], []], /cross_entropy_gradient takes logits \[N, K\], got \[2\]/);
  await refusesShape([[2, 3], [2, 1], []], /cross_entropy_gradient: labels is \[2, 1\]; it must be \[2\]/);
  await refusesShape([[2, 3], [2], [1]], /cross_entropy_gradient: dy is \[1\]; it must be \[\]/);
  await refusesShape([[2, 3], [2], [], [2]], /cross_entropy_gradient: weight is \[2\]; it must be \[3\]/);
  const odd = () => apply(crossEntropyGradient, [[2, 3], [2], []], { labelSmoothing: -1 });
  await refuses(odd, UsageError, "USAGE", /cross_entropy_gradient: labelSmoothing is -1; it must be from 0 to 1/);
});

test.run();
