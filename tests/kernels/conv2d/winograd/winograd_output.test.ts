import { test } from "uvu";
import { winogradOutput } from "../../../../kernels/conv2d/winograd/winograd_output.ts";
import { checkKernel, drawnActivations, int, open, pick, random, randomTensor, rounds } from "../../../harness.ts";

const gpu = await open();

/** Rows of the transform add up to 19 in magnitude, and it is applied twice. */
const LARGEST = 361;

test("random images of any size, with and without bias, residual and relu", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const size = [pick(1, 3, 5), int(1, 20), int(1, 20)];
    const channels = 4 * int(1, 5);
    const inputs = {
      x: randomTensor([36, size[0] * Math.ceil(size[1] / 4) * Math.ceil(size[2] / 4), channels]),
      b: random() < 0.5 ? randomTensor([channels]) : undefined,
      r: random() < 0.5 ? randomTensor([...size, channels]) : undefined,
    };
    const options = { size, activation: pick(...drawnActivations(gpu)), unroll: i % 2 > 0 };
    await checkKernel(gpu, winogradOutput, inputs, options, () => 8 * 2 ** -24 * LARGEST);
  }
});

test.run();
