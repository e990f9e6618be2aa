import { test } from "uvu";
import { ShapeError } from "../../../engine/ground/errors.ts";
import { batchNormMerged } from "../../../kernels/norm/batchnorm_merged.ts";
import { apply, checkKernel, int, magnitudes, open, pick, randomTensor, refuses, rounds } from "../../harness.ts";

const gpu = await open();

/** Means and variances [parts, 2, C]; the bound is that of sums of as many terms, whose differences are twice the largest at most. */
async function check(parts: number, channels: number, scale = 1): Promise<void> {
  const { shape, data } = randomTensor([parts, 2, channels], scale);
  const isVariance = (i: number) => Math.floor(i / channels) % 2 === 1;
  const x = { shape, data: data.map((v, i) => (isVariance(i) ? Math.abs(v) : v)) };
  const largest = Math.max(...magnitudes({ x }).x.data);
  const part = int(2, 500);
  const terms = part * (parts - 1) + int(1, part);
  const units = 4 + 2 * parts;
  const bound = (want: number, i: number) => 2 ** -24 * units * (i < channels ? largest : want + largest ** 2);
  await checkKernel(gpu, batchNormMerged, { x }, { terms, part }, bound);
}

test("random parts, of which the last has less", async () => {
  for (let i = 0; i < rounds(40); i++) await check(int(1, 40), pick(1, 3, 4, 64, 70), pick(1e-3, 1, 100));
});

test("what does not fit is refused", async () => {
  const refusesShape = (x: number[], options: object, message: RegExp) =>
    refuses(() => apply(batchNormMerged, [x], options), ShapeError, "SHAPE", message);
  await refusesShape([3, 2, 5], { terms: 8, part: 4 }, /batchnorm_merged: x is \[3, 2, 5\]; it must be \[2, 2, C\]/);
  await refusesShape([2, 3], { terms: 8, part: 4 }, /it must be \[2, 2, C\]/);
});

test.run();
