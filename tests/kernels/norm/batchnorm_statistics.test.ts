import { test } from "uvu";
import { ShapeError } from "../../../engine/ground/errors.ts";
import { sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import { batchNormStatistics } from "../../../kernels/norm/batchnorm_statistics.ts";
import {
  apply,
  checkKernel,
  drawBatch,
  int,
  open,
  pick,
  randomTensor,
  refuses,
  rounds,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

/** The mean may lose what its largest term does, the variance a few units of its own. */
async function check(x: Tensor): Promise<void> {
  const channels = x.shape[1];
  const largest = x.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const bound = (want: number, index: number) => (index < channels ? 4 * 2 ** -24 * largest : 24 * 2 ** -24 * want);
  await checkKernel(gpu, batchNormStatistics, { x }, {}, bound);
}

test("random batches, of two values per channel or more", async () => {
  for (let i = 0; i < rounds(40); i++) {
    await check(randomTensor(drawBatch(i, 2), pick(1e-3, 1, 100)));
    await check(randomTensor([1, int(1, 9), int(2, 20)]));
  }
});

testVariants(gpu, batchNormStatistics);

test("channels of every length, by all threads of a workgroup and by some", async () => {
  for (const inner of [127, 128, 129, 4095, 4097]) await check(randomTensor([2, pick(1, 3), inner]));
});

test("rows of every number, of which several channels share a workgroup", async () => {
  for (const rows of [2, 63, 64, 65, 511, 512, 2047, 2048, 5000]) await check(randomTensor([rows, pick(1, 5, 16, 68)]));
});

test("the images of a large batch", () => check(randomTensor([8, 2, 160, 160])));

test("values far from zero keep their differences", async () => {
  const { shape, data } = randomTensor([3, 4, 500]);
  await check({ shape, data: data.map((v) => v + 1000) });
});

test("a channel of which half is zeros is as exact as others", async () => {
  const x = randomTensor([2, 1, 20000]);
  await check({ ...x, data: x.data.map((v, i) => (i < sizeOf(x.shape) / 2 ? v + 0.2 : 0)) });
});

test("what does not fit is refused", async () => {
  const refusesShape = (x: number[], message: RegExp) =>
    refuses(() => apply(batchNormStatistics, [x]), ShapeError, "SHAPE", message);
  await refusesShape([3], /batchnorm_statistics takes \[N, C, \.\.\.\], got \[3\]/);
  const one = /batchnorm_statistics: \[1, 3, 1, 1\] has one value per channel, .* train on larger batches/;
  await refusesShape([1, 3, 1, 1], one);
  await refusesShape([1, 7], /\[1, 7\] has one value per channel/);
});

test.run();
