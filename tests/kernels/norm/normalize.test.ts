import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { normalize } from "../../../kernels/norm/normalize.ts";
import {
  apply,
  assertClose,
  checkKernel,
  nonFiniteTensor,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  testVariants,
  ulps,
} from "../../harness.ts";

const gpu = await open();

test("random tensors, with and without factors", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const x = randomTensor(randomShape(1, 5), pick(1e-3, 1, 1e4));
    const scale = x.shape.length > 1 ? pick(undefined, randomTensor([x.shape.at(-2) as number, 1])) : undefined;
    await checkKernel(gpu, normalize, { x, scale }, { eps: pick(1e-12, 0.5) }, ulps(64));
  }
});

test("rows of every length, by more workgroups than one", async () => {
  for (const size of [1, 2, 32, 65, 769])
    await checkKernel(gpu, normalize, { x: randomTensor([pick(1, 3, 131), size]) }, {}, ulps(64));
});

test("what has no length, or hardly any, is divided by eps", async () => {
  const y = await gpu.eager(normalize, tensor([3, 2], [0, 0, 3e-13, -2e-13, 3, 4]));
  assertClose(y, { shape: [3, 2], data: Float64Array.of(0, 0, 0.3, -0.2, 0.6, 0.8) }, ulps(8));
});

test("NaN and infinity spoil their rows, and no others", () =>
  checkKernel(gpu, normalize, { x: nonFiniteTensor([40, 20]) }, {}, ulps(64)));

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(normalize, [[2, 3]], options), UsageError, "USAGE", message);
  await refusesUse({ eps: -1 }, /normalize: eps is -1; it must be 0 or more/);
  await refusesUse({ p: 1 }, /normalize has no option "p"; its options are eps/);
  const refusesShape = (shapes: number[][], message: RegExp) =>
    refuses(() => apply(normalize, shapes), ShapeError, "SHAPE", message);
  await refusesShape([[]], /normalize takes x \[\.\.\., R, D\] and scale \[R, 1\], got \[\]$/);
  await refusesShape([[2, 3], [2]], /got \[2, 3\] and a scale of \[2\]$/);
  await refusesShape(
    [
      [4, 2, 3],
      [3, 1],
    ],
    /got \[4, 2, 3\] and a scale of \[3, 1\]$/,
  );
});

testVariants(gpu, normalize);
test.run();
