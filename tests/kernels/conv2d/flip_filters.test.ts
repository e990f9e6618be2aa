import { test } from "uvu";
import { ShapeError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { flipFilters } from "../../../kernels/conv2d/flip_filters.ts";
import { apply, checkBits, open, randomShape, refuses, rounds, sameBits, specialTensor } from "../../harness.ts";

const gpu = await open();

test("random filters, on bits", async () => {
  for (let i = 0; i < rounds(20); i++) await checkBits(gpu, flipFilters, { x: specialTensor(randomShape(4)) });
});

test("channels change places, and filters are turned by half a turn", async () => {
  const x = tensor([2, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
  sameBits(await gpu.eager(flipFilters, x), tensor([1, 2, 2, 2], [4, 3, 2, 1, 8, 7, 6, 5]));
});

test("what does not fit is refused", () =>
  refuses(() => apply(flipFilters, [[2, 3, 4]]), ShapeError, "SHAPE", /flip_filters takes .*, got \[2, 3, 4\]/));

test.run();
