import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Value } from "../../../engine/graph/value.ts";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import { batchNormBy, batchNormTrain } from "../../../kernels/norm/batchnorm_train.ts";
import {
  apply,
  assertClose,
  checkKernel,
  drawBatch,
  magnitudes,
  open,
  pick,
  randomTensor,
  refuses,
  rounds,
  sumBound,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

const train = (x: Tensor, weight?: Tensor, bias?: Tensor, options?: object): Promise<Tensor> =>
  gpu.eager((...args: [Value, Value?, Value?]) => batchNormTrain(...args, options).y, x, weight, bias);

test("random normalizations by given statistics, with and without weight, bias, a residual and an activation", async () => {
  for (let i = 0; i < rounds(40); i++) {
    // Of the large one a thread has several elements of a channel.
    const shape = i === 1 ? [9, 4, 40, 41] : drawBatch(i);
    const [, channels] = shape;
    const perChannel = () => randomTensor([channels]);
    const [means, variances] = [perChannel().data, magnitudes({ variance: perChannel() }).variance.data];
    const statistics = (factor: number) => tensor([2, channels], [...means.map((v) => factor * v), ...variances]);
    const x = randomTensor(shape);
    const others = {
      x,
      weight: pick(undefined, perChannel()),
      bias: pick(undefined, perChannel()),
      r: pick(undefined, randomTensor(shape)),
    };
    const inputs = { ...others, statistics: statistics(1) };
    const options = { eps: pick(1e-5, 0.1, 1), activation: pick("none", "relu", "relu6") };
    // The mean is subtracted.
    const negative = tensor(
      [2, channels],
      statistics(1).data.map((v, c) => (c < channels ? -Math.abs(v) : v)),
    );
    const positive = { ...magnitudes(others), statistics: negative };
    await checkKernel(gpu, batchNormBy, inputs, options, sumBound(batchNormBy, positive, options, 16));
  }
});

testVariants(gpu, batchNormBy);

test("a batch is normalized by its own statistics", async () => {
  const x = tensor([2, 2, 2], [1, 2, 10, 20, 3, 6, 30, 20]);
  const y = await train(x, tensor([2], [2, -1]), tensor([2], [0.5, 3]), { eps: 0.5 });
  const [first, second] = [Math.sqrt(3.5 + 0.5), Math.sqrt(50 + 0.5)];
  const scaled = (v: number) => 0.5 + (2 * (v - 3)) / first;
  const flipped = (v: number) => 3 - (v - 20) / second;
  const data = [...[1, 2].map(scaled), ...[10, 20].map(flipped), ...[3, 6].map(scaled), ...[30, 20].map(flipped)];
  assertClose(y, { shape: [2, 2, 2], data: Float64Array.from(data) }, () => 1e-6);
});

test("NaN and infinity spoil their channels, and no others", async () => {
  for (const spoiler of [NaN, Infinity, -Infinity]) {
    const x = randomTensor([3, 4, 50]);
    x.data[4 * 50 + 60] = spoiler;
    const { data } = await train(x);
    data.forEach((v, index) => {
      assert.is(Number.isNaN(v), Math.floor(index / 50) % 4 === 1, `y[${index}] is ${v} after ${spoiler}`);
    });
  }
});

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: (number[] | undefined)[], message: RegExp) =>
    refuses(() => apply(batchNormBy, shapes), ShapeError, "SHAPE", message);
  await refusesShape([[3], [2, 3]], /batchnorm_train takes \[N, C, \.\.\.\], got \[3\]/);
  await refusesShape([[1, 2, 3], [2]], /batchnorm_train: statistics is \[2\]; it must be \[2, 2\]/);
  await refusesShape([[1, 2, 3], [2, 2], [3]], /batchnorm_train: weight is \[3\]; it must be \[2\]/);
  await refusesShape([[1, 2, 3], [2, 2], undefined, [2, 1]], /batchnorm_train: bias is \[2, 1\]; it must be \[2\]/);
  const residual = [[1, 2, 3], [2, 2], undefined, undefined, [2, 3]];
  await refusesShape(residual, /batchnorm_train: r is \[2, 3\]; it must be \[1, 2, 3\]/);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(
      () =>
        apply(
          batchNormBy,
          [
            [1, 2, 3],
            [2, 2],
          ],
          options,
        ),
      UsageError,
      "USAGE",
      message,
    );
  await refusesUse({ eps: -1 }, /batchnorm_train: eps is -1; it must be 0 or more/);
  await refusesUse({ activation: "elu" }, /batchnorm_train: activation is "elu"; it must be one of none, relu, /);
  await refusesUse({ momentum: 1 }, /batchnorm_train has no option "momentum"; its options are eps, activation/);
  await refuses(() => train(randomTensor([1, 3])), ShapeError, "SHAPE", /\[1, 3\] has one value per channel/);
});

test.run();
