import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { leakyRelu } from "../../../kernels/elementwise/leaky_relu.ts";
import {
  apply,
  checkElementwise,
  checkRow,
  int,
  open,
  refuses,
  testGoldens,
  testVariants,
  ulps,
} from "../../harness.ts";

const gpu = await open();

test("random tensors of any slope", () =>
  checkElementwise(gpu, leakyRelu, ulps(1.5), () => ({ negativeSlope: int(-8, 8) / 8 })));

test("zeros keep their sign, infinity and NaN stay", () =>
  checkRow(gpu, leakyRelu, [0, -0, 4, -4, Infinity, -Infinity, NaN], [0, -0, 4, -1, Infinity, -Infinity, NaN], {
    negativeSlope: 0.25,
  }));

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(leakyRelu, [[3]], options), UsageError, "USAGE", message);
  await refusesUse({ slope: 1 }, /leaky_relu has no option "slope"; its options are negativeSlope/);
  await refusesUse({ negativeSlope: NaN }, /leaky_relu: negativeSlope is NaN; it must be a number/);
  await refusesUse({ negativeSlope: "0.1" }, /leaky_relu: negativeSlope is "0.1"; it must be a number/);
});

testVariants(gpu, leakyRelu);
await testGoldens(gpu, "leaky_relu");
test.run();
