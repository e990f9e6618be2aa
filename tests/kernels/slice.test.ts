import { test } from "uvu";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { tensor } from "../../engine/ground/tensor.ts";
import { slice } from "../../kernels/slice.ts";
import {
  apply,
  checkBits,
  int,
  open,
  pick,
  randomShape,
  refuses,
  rounds,
  sameBits,
  specialTensor,
  testVariants,
} from "../harness.ts";

const gpu = await open();

test("random parts along any dimension, on bits", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const x = specialTensor(randomShape(1, 5).map((size) => Math.min(size, 6)));
    const dim = int(-x.shape.length, x.shape.length - 1);
    const size = x.shape.at(dim) as number;
    const start = int(0, size - 1);
    const end = int(start + 1, size);
    const ends = { start: pick(start, start - size), end: pick(end, end === size ? Infinity : end - size, end) };
    await checkBits(gpu, slice, { x }, { dim, ...ends, step: pick(1, 1, int(1, 4)) });
  }
});

test("10 random parts of images of whole vec4s of channels, on bits", async () => {
  for (let i = 0; i < 10; i++) {
    const x = specialTensor([int(2, 3), 8 * int(1, 3), int(2, 6), int(2, 6)]);
    const half = x.shape[1] / 2;
    await checkBits(
      gpu,
      slice,
      { x },
      pick({ end: half }, { start: half }, { step: 2 }, { dim: -1, start: 1, step: 2 }),
    );
  }
});

const ROW = Array.from({ length: 10 }, (_, i) => i);

for (const [options, want] of [
  [{ start: -3 }, [7, 8, 9]],
  [{ end: -7 }, [0, 1, 2]],
  [{ start: 8, end: 100 }, [8, 9]],
  [{ start: -100, end: 2 }, [0, 1]],
  [{ start: 1, end: 8, step: 3 }, [1, 4, 7]],
  [{ step: 100 }, [0]],
] as const) {
  test(`Python gives this for ${JSON.stringify(options)}`, async () => {
    const y = await gpu.eager(slice, tensor([10], ROW), { dim: 0, ...options });
    sameBits(y, tensor([want.length], want));
  });
}

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(slice, [[2, 3]], options), UsageError, "USAGE", message);
  const refusesShape = (options: object, message: RegExp) =>
    refuses(() => apply(slice, [[2, 3]], options), ShapeError, "SHAPE", message);
  await refusesUse({ dim: 2 }, /slice: dim is 2; it must be from -2 to 1, since there are 2 dimensions/);
  await refusesUse({ start: 0.5 }, /slice: start is 0.5; it must be an integer/);
  await refusesUse({ start: Infinity }, /slice: start is Infinity; it must be an integer/);
  await refusesUse({ end: null }, /slice: end is null; it must be an integer/);
  await refusesUse({ step: -1 }, /slice: step is -1; it must be a positive integer/);
  await refusesUse({ axis: 1 }, /slice has no option "axis"; its options are dim, start, end, step/);
  await refusesShape({ start: 3 }, /slice: from 3 to Infinity nothing is left of dimension 1 of \[2, 3\]/);
  await refusesShape({ dim: 0, start: 1, end: -1 }, /slice: from 1 to -1 nothing is left of dimension 0 of \[2, 3\]/);
});

testVariants(gpu, slice);
test.run();
