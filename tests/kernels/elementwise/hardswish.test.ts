import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { hardSwish } from "../../../kernels/elementwise/hardswish.ts";
import { apply, checkElementwise, checkRow, open, refuses, testGoldens, testVariants } from "../../harness.ts";

const gpu = await open();

test("random tensors", () => checkElementwise(gpu, hardSwish, (want) => 6e-7 + 2 ** -22 * Math.abs(want)));

test("zeros keep their sign, it is x from 3 on, and NaN stays", () =>
  checkRow(gpu, hardSwish, [0, -0, -3, 3, -9, 9, Infinity, NaN], [0, -0, -0, 3, -0, 9, Infinity, NaN]));

test("it has no options", () =>
  refuses(() => apply(hardSwish, [[3]], { inplace: 1 }), UsageError, "USAGE", /hardswish has no option "inplace"/));

testVariants(gpu, hardSwish);
await testGoldens(gpu, "hardswish");
test.run();
