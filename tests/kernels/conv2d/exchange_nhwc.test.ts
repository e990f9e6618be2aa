import { test } from "uvu";
import { exchangeNhwc } from "../../../kernels/conv2d/exchange_nhwc.ts";
import { checkBits, drawCut, int, open, pick, randomTensor, rounds } from "../../harness.ts";

const gpu = await open();

test("random batches, also of images that are no multiple of 4", async () => {
  for (let i = 0; i < rounds(20); i++) {
    await checkBits(gpu, exchangeNhwc, { x: randomTensor([int(1, 9), int(1, 6), int(1, 6), pick(4, 8, 12)]) });
  }
});

test("a part of the images, of their rows and of their columns", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const shape = [int(1, 9), int(1, 6), int(1, 6), pick(4, 8)];
    await checkBits(gpu, exchangeNhwc, { x: randomTensor(shape) }, drawCut(shape));
  }
});

test.run();
