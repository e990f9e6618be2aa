import { test } from "uvu";
import { ShapeError } from "../../engine/ground/errors.ts";
import { copy } from "../../kernels/copy.ts";
import { apply, checkBits, int, open, randomShape, refuses, rounds, specialTensor } from "../harness.ts";

const gpu = await open();

test("random tensors, on bits", async () => {
  for (let i = 0; i < rounds(20); i++)
    await checkBits(gpu, copy, { x: specialTensor([...randomShape(), 4 * int(1, 9)]) });
});

test("what is no multiple of 4 is refused", () =>
  refuses(() => apply(copy, [[3, 5]]), ShapeError, "SHAPE", /copy takes a multiple of 4 elements, got \[3, 5\]/));

test.run();
