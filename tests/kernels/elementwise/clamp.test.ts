import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { clamp, relu6 } from "../../../kernels/elementwise/clamp.ts";
import { apply, checkElementwise, checkRow, int, open, refuses, testGoldens, testVariants } from "../../harness.ts";

const gpu = await open();
const exact = () => 0;

test("random tensors", () =>
  checkElementwise(gpu, clamp, exact, () => ({ low: int(-16, 4) / 8, high: int(-4, 16) / 8 })));

test("an open end, infinity and NaN", async () => {
  const x = [-7, -1, 0, 2, 7, Infinity, -Infinity, NaN];
  await checkRow(gpu, clamp, x, x);
  await checkRow(gpu, clamp, x, [-1, -1, 0, 2, 7, Infinity, -1, NaN], { low: -1 });
  await checkRow(gpu, clamp, x, [-7, -1, 0, 2, 2, 2, -Infinity, NaN], { high: 2 });
});

test("relu6 is the clamp from 0 to 6", () =>
  checkRow(gpu, relu6, [-7, -0.5, 0, 2.5, 6, 7, Infinity, -Infinity, NaN], [0, 0, 0, 2.5, 6, 6, 6, 0, NaN]));

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(clamp, [[3]], options), UsageError, "USAGE", message);
  await refusesUse({ min: 1 }, /clamp has no option "min"; its options are low, high/);
  await refusesUse({ low: NaN }, /clamp: low is NaN; it must be a number/);
});

testVariants(gpu, clamp);
await testGoldens(gpu, "clamp", "relu6");
test.run();
