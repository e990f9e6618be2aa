import { test } from "uvu";
import { winogradInput2x2 } from "../../../../kernels/conv2d/winograd/winograd_input_2x2.ts";
import { checkKernel, int, open, pick, randomTensor, rounds } from "../../../harness.ts";

const gpu = await open();

/** Rows of the transform add up to 2 in magnitude, and it is applied twice. */
const LARGEST = 4;

test("random images of any padding, with loops unrolled and not", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const x = randomTensor([pick(1, 3, 5), int(3, 20), int(3, 20), 4 * int(1, 5)]);
    const padding = Array.from({ length: 4 }, () => int(0, 3));
    await checkKernel(gpu, winogradInput2x2, { x }, { padding, unroll: i % 2 > 0 }, () => 8 * 2 ** -24 * LARGEST);
  }
});

test.run();
