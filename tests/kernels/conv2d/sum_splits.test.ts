import { test } from "uvu";
import { ACTIVATIONS } from "../../../kernels/activation.ts";
import { sumSplits } from "../../../kernels/conv2d/sum_splits.ts";
import { checkKernel, int, nonFiniteTensor, open, pick, random, randomTensor } from "../../harness.ts";

const gpu = await open();

const drawShape = () => [pick(1, 3, 5), int(1, 9), int(1, 9), 4 * int(1, 9)];

test("40 random sums, with and without bias, residual and relu", async () => {
  for (let i = 0; i < 40; i++) {
    const shape = drawShape();
    const inputs = {
      x: randomTensor([int(1, 16), ...shape]),
      b: random() < 0.5 ? randomTensor([shape[3]]) : undefined,
      r: random() < 0.5 ? randomTensor(shape) : undefined,
    };
    await checkKernel(gpu, sumSplits, inputs, { activation: pick(...ACTIVATIONS) });
  }
});

test("NaN and infinity reach their own sum, with and without relu", async () => {
  for (const activation of ["relu", "none"]) {
    const shape = drawShape();
    const inputs = { x: nonFiniteTensor([3, ...shape]), b: randomTensor([shape[3]]), r: nonFiniteTensor(shape) };
    await checkKernel(gpu, sumSplits, inputs, { activation });
  }
});

test.run();
