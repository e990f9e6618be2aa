import { test } from "uvu";
import { winogradOutput2x2 } from "../../../../kernels/conv2d/winograd/winograd_output_2x2.ts";
import { checkKernel, drawnActivations, int, open, pick, random, randomTensor, rounds } from "../../../harness.ts";

const gpu = await open();

/** Rows of the transform add up to 3 in magnitude, and it is applied twice; then a bias and a residual. */
const LARGEST = 9 + 2;

test("random images of any size, with and without bias, residual and relu", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const size = [pick(1, 3, 5), int(1, 20), int(1, 20)];
    const channels = 4 * int(1, 5);
    const inputs = {
      x: randomTensor([16, size[0] * Math.ceil(size[1] / 2) * Math.ceil(size[2] / 2), channels]),
      b: random() < 0.5 ? randomTensor([channels]) : undefined,
      r: random() < 0.5 ? randomTensor([...size, channels]) : undefined,
    };
    const activation = pick(...drawnActivations(gpu));
    await checkKernel(
      gpu,
      winogradOutput2x2,
      inputs,
      { size, activation, unroll: i % 2 > 0 },
      () => 8 * 2 ** -24 * LARGEST,
    );
  }
});

test.run();
