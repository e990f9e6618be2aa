import { test } from "uvu";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { expand } from "../../kernels/expand.ts";
import { apply, checkBits, drawShape, int, open, random, refuses, rounds, specialTensor } from "../harness.ts";

const gpu = await open();

test("random shapes stretched along any dimensions, on bits", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const shape = drawShape(i);
    const x = shape.slice(int(0, shape.length)).map((size) => (random() < 0.5 ? 1 : size));
    await checkBits(gpu, expand, { x: specialTensor(x) }, { shape, scale: 2 ** int(-3, 0) * (i % 2 ? 1 : -1) });
  }
});

test("six dimensions, of which four are left when neighbours are joined", () =>
  checkBits(gpu, expand, { x: specialTensor([2, 1, 1, 3, 2, 1]) }, { shape: [2, 3, 2, 3, 2, 4] }));

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(expand, [[2, 1]], options), UsageError, "USAGE", message);
  await refusesUse({}, /expand needs the option "shape"/);
  await refusesUse({ shape: [2, 3], scale: NaN }, /expand: scale is NaN; it must be a number/);
  const refusesShape = (shape: unknown, message: RegExp) =>
    refuses(() => apply(expand, [[2, 1]], { shape }), ShapeError, "SHAPE", message);
  await refusesShape([3, 4], /expand: \[2, 1\] and \[3, 4\] cannot be broadcast to one shape/);
  await refusesShape([1, 3], /expand: \[2, 1\] cannot be broadcast to \[1, 3\]/);
  await refusesShape([3], /expand: \[2, 1\] cannot be broadcast to \[3\]/);
  await refusesShape([2, 0.5], /what expand makes has shape \[2,0.5\]; wanted up to 16 positive integers/);
});

test.run();
