import { test } from "uvu";
import { UsageError } from "../../engine/ground/errors.ts";
import { sizeOf, tensor } from "../../engine/ground/tensor.ts";
import { gather } from "../../kernels/gather.ts";
import { apply, checkBits, int, open, randomShape, refuses, rounds, sameBits, specialTensor } from "../harness.ts";

const gpu = await open();

test("random selections along any dimension, on bits", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const x = specialTensor(randomShape(1, 3));
    const dim = int(-x.shape.length, x.shape.length - 1);
    const size = x.shape.at(dim) as number;
    const shape = randomShape(0, 3).map((picks) => Math.min(picks, 5));
    const indices = tensor(
      shape,
      Array.from({ length: sizeOf(shape) }, () => int(-size, size - 1)),
    );
    await checkBits(gpu, gather, { x, indices }, { dim });
  }
});

test("embeddings", async () => {
  const x = tensor([3, 2], [0, 1, 10, 11, 20, 21]);
  const y = await gpu.eager(gather, x, tensor([2, 2], [2, 0, 0, -2]));
  sameBits(y, tensor([2, 2, 2], [20, 21, 0, 1, 0, 1, 10, 11]));
});

test("a place that is not there is NaN", async () => {
  const y = await gpu.eager(gather, tensor([3], [5, 6, 7]), tensor([7], [0, 3, -4, NaN, Infinity, -Infinity, 1e30]));
  sameBits(y, tensor([7], [5, NaN, NaN, NaN, NaN, NaN, NaN]));
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(gather, [[2, 3], [4]], options), UsageError, "USAGE", message);
  await refusesUse({ dim: 2 }, /gather: dim is 2; it must be from -2 to 1, since there are 2 dimensions/);
  await refusesUse({ axis: 0 }, /gather has no option "axis"; its options are dim/);
  await refuses(() => apply(gather, [[2, 3]]), UsageError, "USAGE", /gather needs its input indices/);
});

test.run();
