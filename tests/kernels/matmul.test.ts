import { test } from "uvu";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { matmul } from "../../kernels/matmul.ts";
import {
  apply,
  checkKernel,
  drawBroadcast,
  int,
  magnitudes,
  nonFiniteTensor,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  testGoldens,
} from "../harness.ts";

const gpu = await open();

test("random products, with a matrix of either side for all or one for each", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const [m, n, k] = [int(1, 40), int(1, 40), int(1, 100)];
    const leading = pick([], [int(1, 5)], randomShape(2, 2));
    const [left, right] = pick([leading, leading], [leading, []], [[], leading]);
    await checkKernel(gpu, matmul, { a: randomTensor([...left, m, k]), b: randomTensor([...right, k, n]) });
  }
});

test("random products whose leading dimensions are broadcast both ways, and scaled", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const [[left, right], m, n, k] = [drawBroadcast(1), int(1, 5), int(1, 5), int(1, 9)];
    const inputs = { a: randomTensor([...left, m, k]), b: randomTensor([...right, k, n]) };
    await checkKernel(gpu, matmul, inputs, { scale: pick(1, 0.125, 3) }, k + 2);
  }
});

test("long sums, as those over all rows of a batch, are added up in two levels", async () => {
  // Of one sign: in a single chain, some of the hundred would be off by three times as much and more.
  const inputs = magnitudes({ a: randomTensor([10, 4096]), b: randomTensor([4096, 10]) });
  await checkKernel(gpu, matmul, inputs, {}, 16);
});

test("NaN and infinity stay in their row", () =>
  checkKernel(gpu, matmul, { a: nonFiniteTensor([9, 13]), b: randomTensor([13, 5]) }));

test("what does not fit is refused", async () => {
  const refusesShape = (a: number[], b: number[]) => {
    const got = `got [${a.join(", ")}] and [${b.join(", ")}]`.replace(/[[\]]/g, "\\$&");
    const message = new RegExp(`matmul takes \\[\\.\\.\\., M, K\\] and .*, ${got}`);
    return refuses(() => apply(matmul, [a, b]), ShapeError, "SHAPE", message);
  };
  await refusesShape([2, 3], [2, 3]);
  await refusesShape([3], [3, 2]);
  await refusesShape([2, 3], [3]);
  const apart = () =>
    apply(matmul, [
      [2, 4, 3],
      [5, 3, 4],
    ]);
  await refuses(apart, ShapeError, "SHAPE", /matmul: \[2\] and \[5\] cannot be broadcast to one shape/);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(
      () =>
        apply(
          matmul,
          [
            [2, 2],
            [2, 2],
          ],
          options,
        ),
      UsageError,
      "USAGE",
      message,
    );
  await refusesUse({ transpose: true }, /matmul has no option "transpose"; its options are scale/);
  await refusesUse({ scale: NaN }, /matmul: scale is NaN; it must be a number/);
});

await testGoldens(gpu, "matmul");
test.run();
