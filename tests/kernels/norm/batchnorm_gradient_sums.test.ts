import { test } from "uvu";
import { ShapeError } from "../../../engine/ground/errors.ts";
import { type Shape, tensor } from "../../../engine/ground/tensor.ts";
import { batchNormGradientSums } from "../../../kernels/norm/batchnorm_gradient_sums.ts";
import {
  apply,
  checkKernel,
  drawBatch,
  int,
  magnitudes,
  nonFiniteTensor,
  open,
  pick,
  randomTensor,
  refuses,
  rounds,
  sumBound,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

async function check(shape: Shape, dy = randomTensor(shape), divided: object = {}): Promise<void> {
  const { data } = magnitudes({ statistics: randomTensor([2, shape[1]]) }).statistics;
  const statistics = (sign: number) =>
    tensor(
      [2, shape[1]],
      data.map((v, c) => (c < shape[1] ? sign * v : v)),
    );
  const inputs = { dy, x: randomTensor(shape), statistics: statistics(pick(-1, 1)) };
  const options = { eps: pick(1e-5, 0.1, 1), ...divided };
  // The mean is subtracted.
  const positive = { ...magnitudes(inputs), statistics: statistics(-1) };
  await checkKernel(
    gpu,
    batchNormGradientSums,
    inputs,
    options,
    sumBound(batchNormGradientSums, positive, options, 16),
  );
}

test("random batches", async () => {
  for (let i = 0; i < rounds(40); i++) await check(drawBatch(i));
});

testVariants(gpu, batchNormGradientSums);

test("channels of every length, by all threads of a workgroup and by some", async () => {
  for (const inner of [127, 128, 129, 4095, 4097]) await check([2, pick(1, 3), inner]);
});

test("rows of every number, of which several channels share a workgroup", async () => {
  for (const rows of [2, 63, 64, 65, 511, 512, 2047, 2048, 5000]) await check([rows, pick(1, 5, 16, 68)]);
});

test("the images of a large batch", () => check([8, 2, 160, 160]));

test("images of many pixels, whose parts are merged", async () => {
  for (const [h, w] of [
    [16, 16],
    [17, 31],
    [40, 33],
  ])
    await check([2, pick(4, 8, 40), h, w]);
});

test("parts of every length, by threads alone and with others", async () => {
  for (const part of [1, 7, 128, 600]) {
    for (const alone of [true, false]) {
      await check([int(9, 40), pick(1, 12), 5, 7], undefined, { part, alone });
      await check([int(200, 700), pick(4, 68)], undefined, { part, alone });
    }
  }
});

test("NaN and infinity reach the sums that see them, and no others", () =>
  check([3, 8, 20], nonFiniteTensor([3, 8, 20])));

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: number[][], message: RegExp) =>
    refuses(() => apply(batchNormGradientSums, shapes), ShapeError, "SHAPE", message);
  const [x, statistics] = [
    [4, 3, 5],
    [2, 3],
  ];
  await refusesShape([[4, 3], x, statistics], /batchnorm_gradient_sums: dy is \[4, 3\]; it must be \[4, 3, 5\]/);
  await refusesShape([x, x, [3, 2]], /batchnorm_gradient_sums: statistics is \[3, 2\]; it must be \[2, 3\]/);
});

test.run();
