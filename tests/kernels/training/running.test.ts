import { test } from "uvu";
import { tensor } from "../../../engine/ground/tensor.ts";
import { running } from "../../../kernels/training/running.ts";
import { assertClose, magnitudes, open, pick, randomTensor, sameBits } from "../../harness.ts";
import { runInPlace } from "./in_place.ts";

const gpu = await open();

const drawVariances = (channels: number) => magnitudes({ variance: randomTensor([channels]) }).variance;

/** Means, then variances. */
const drawStatistics = (channels: number) =>
  tensor([2, channels], [...randomTensor([channels]).data, ...drawVariances(channels).data]);

test("five batches move mean and variance, which is unbiased, by a part of the difference", async () => {
  for (const channels of [1, 63, 65, 200]) {
    const options = { momentum: pick(0.1, 0.5, 1), count: pick(2, 7, 1000) };
    const kept = { mean: randomTensor([channels]), variance: drawVariances(channels) };
    const batches = Array.from({ length: 5 }, () => drawStatistics(channels));
    const steps = batches.map((statistics) => ({ statistics, norm: tensor([1], [3e38]) }));
    const states = await runInPlace(gpu, kept, steps, ({ statistics, mean, variance, norm }) =>
      running(statistics, mean, variance, norm, options),
    );
    const want = { mean: Float64Array.from(kept.mean.data), variance: Float64Array.from(kept.variance.data) };
    for (const [i, { data }] of batches.entries()) {
      for (let c = 0; c < channels; c++) {
        const unbiased = (data[channels + c] * options.count) / (options.count - 1);
        want.mean[c] += options.momentum * (data[c] - want.mean[c]);
        want.variance[c] += options.momentum * (unbiased - want.variance[c]);
      }
      for (const name of ["mean", "variance"] as const) {
        const wanted = { shape: [channels], data: want[name] };
        assertClose(states[i][name], wanted, () => 32 * 2 ** -24, `${name} after batch ${i + 1}`);
      }
    }
  }
});

test("a step whose gradients are not finite leaves the statistics as they are", async () => {
  const kept = { mean: randomTensor([65]), variance: drawVariances(65) };
  const steps = [NaN, Infinity].map((norm) => ({ statistics: drawStatistics(65), norm: tensor([1], [norm]) }));
  const states = await runInPlace(gpu, kept, steps, ({ statistics, mean, variance, norm }) =>
    running(statistics, mean, variance, norm, { count: 10 }),
  );
  for (const { mean, variance } of states) {
    sameBits(mean, kept.mean);
    sameBits(variance, kept.variance);
  }
});

test.run();
