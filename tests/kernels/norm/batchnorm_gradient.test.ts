import { test } from "uvu";
import { Graph } from "../../../engine/graph/graph.ts";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { batchNorm } from "../../../kernels/norm/batchnorm.ts";
import { batchNormGradient, gradient } from "../../../kernels/norm/batchnorm_gradient.ts";
import {
  apply,
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

test("random gradients, with and without weight, and through the statistics or not", async () => {
  for (let i = 0; i < rounds(40); i++) {
    // Of the large one a thread has several elements of a channel.
    const shape = i === 1 ? [9, 4, 40, 41] : drawBatch(i);
    const [, channels] = shape;
    const { data } = magnitudes({ statistics: randomTensor([2, channels]) }).statistics;
    const statistics = (sign: number) =>
      tensor(
        [2, channels],
        data.map((v, c) => (c < channels ? sign * v : v)),
      );
    const weight = pick(undefined, randomTensor([channels]));
    const sums = i % 2 ? randomTensor([2, channels], 10) : undefined;
    const inputs = {
      dy: randomTensor(shape),
      x: randomTensor(shape),
      statistics: statistics(pick(-1, 1)),
      weight,
      sums,
    };
    const options = { eps: pick(1e-5, 0.1, 1) };
    // The mean and the sums are subtracted.
    const negative = sums && { ...sums, data: sums.data.map((v) => -Math.abs(v)) };
    const positive = { ...magnitudes(inputs), statistics: statistics(-1), sums: negative };
    await checkKernel(gpu, batchNormGradient, inputs, options, sumBound(batchNormGradient, positive, options, 16));
  }
});

testVariants(gpu, batchNormGradient);

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: (number[] | undefined)[], message: RegExp) =>
    refuses(() => apply(batchNormGradient, shapes), ShapeError, "SHAPE", message);
  const [x, statistics] = [
    [4, 3, 5],
    [2, 3],
  ];
  await refusesShape([[4, 3], x, statistics], /batchnorm_gradient: dy is \[4, 3\]; it must be \[4, 3, 5\]/);
  await refusesShape([x, x, [2]], /batchnorm_gradient: statistics is \[2\]; it must be \[2, 3\]/);
  await refusesShape([x, x, statistics, [2]], /batchnorm_gradient: weight is \[2\]; it must be \[3\]/);
  await refusesShape([x, x, statistics, undefined, [3]], /batchnorm_gradient: sums is \[3\]; it must be \[2, 3\]/);
});

test("a fused activation has no gradient", async () => {
  const graph = new Graph();
  const [x, mean, variance] = [graph.input("x", [2, 3]), graph.param("mean", [3]), graph.param("variance", [3])];
  const options = { eps: 1e-5, momentum: 0.1, activation: "relu" } as const;
  const y = batchNorm(x, mean, variance, options);
  const message = /batchnorm has no gradient with its activation fused: apply it as an operator of its own/;
  const fused = () => gradient({ inputs: { x, mean, variance }, options, y, dy: y });
  await refuses(fused, UsageError, "USAGE", message);
});

test.run();
