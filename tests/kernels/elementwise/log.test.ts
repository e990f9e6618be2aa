import { test } from "uvu";
import { log } from "../../../kernels/elementwise/log.ts";
import { checkKernel, checkRow, open, pick, randomShape, randomTensor, rounds } from "../../harness.ts";

const gpu = await open();

test("random tensors of positive numbers", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const { shape, data } = randomTensor(randomShape(1), pick(1e-3, 0.4, 2, 30));
    const x = { shape, data: data.map((v) => Math.abs(v) + 1e-6) };
    await checkKernel(gpu, log, { x }, {}, (want) => 2 ** -20 + 2 ** -21 * Math.abs(want));
  }
});

test("zero of one", () => checkRow(gpu, log, [1], [0]));

test.run();
