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
async function check(x: Tensor, options: object = {}): Promise<void> {
  const channels = x.shape[1];
  const largest = x.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const isMean = (index: number) => Math.floor(index / channels) % 2 === 0;
  const bound = (want: number, index: number) => 2 ** -24 * (isMean(index) ? 4 * largest : 24 * want);
  await checkKernel(gpu, batchNormStatistics, { x }, options, bound);
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

test("images of many pixels, whose parts are merged", async () => {
  for (const [h, w] of [
    [16, 16],
    [17, 31],
    [40, 33],
  ])
    await check(randomTensor([2, pick(4, 8, 40), h, w]));
});

test("parts of every length, by threads alone and with others", async () => {
  for (const part of [1, 7, 128, 600]) {
    for (const alone of [true, false]) {
      await check(randomTensor([int(9, 40), pick(1, 12), 5, 7]), { part, alone });
      await check(randomTensor([int(200, 700), pick(4, 68)]), { part, alone });
    }
  }
});

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
