import { test } from "uvu";
import { ShapeError } from "../../../engine/ground/errors.ts";
import { exchange } from "../../../kernels/conv2d/exchange.ts";
import { apply, checkBits, int, open, pick, randomTensor, refuses, rounds, testVariants } from "../../harness.ts";

const gpu = await open();

test("random batches, also of images that are no multiple of 4", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const [n, c, h, w] = [int(1, 9), i % 2 ? pick(4, 8, 12) : int(1, 9), int(1, 6), int(1, 6)];
    await checkBits(gpu, exchange, { x: randomTensor([n, c, h, w]) });
  }
});

testVariants(gpu, exchange);

test("what is no batch of images is refused", () =>
  refuses(() => apply(exchange, [[3, 4]]), ShapeError, "SHAPE", /exchange takes images of shape .*, got \[3, 4\]/));

test.run();
