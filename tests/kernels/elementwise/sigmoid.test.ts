import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { sigmoid } from "../../../kernels/elementwise/sigmoid.ts";
import { apply, checkElementwise, checkRow, open, refuses, testGoldens, testVariants, ulps } from "../../harness.ts";

const gpu = await open();

test("random tensors", () => checkElementwise(gpu, sigmoid, ulps(40)));

test("it saturates at 0 and 1, and NaN stays", () =>
  checkRow(gpu, sigmoid, [0, -0, 200, -200, Infinity, -Infinity, NaN], [0.5, 0.5, 1, 0, 1, 0, NaN]));

test("it has no options", () =>
  refuses(() => apply(sigmoid, [[3]], { beta: 1 }), UsageError, "USAGE", /sigmoid has no option "beta"; it has no/));

testVariants(gpu, sigmoid);
await testGoldens(gpu, "sigmoid");
test.run();
