import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { hardSigmoid } from "../../../kernels/elementwise/hardsigmoid.ts";
import { apply, checkElementwise, checkRow, open, refuses, testGoldens, testVariants } from "../../harness.ts";

const gpu = await open();

test("random tensors", () => checkElementwise(gpu, hardSigmoid, () => 3e-7));

test("it is 0 up to -3 and 1 from 3 on, and NaN stays", () =>
  checkRow(gpu, hardSigmoid, [0, -3, 3, -9, 9, Infinity, -Infinity, NaN], [0.5, 0, 1, 0, 1, 1, 0, NaN]));

test("it has no options", () =>
  refuses(() => apply(hardSigmoid, [[3]], { inplace: 1 }), UsageError, "USAGE", /hardsigmoid has no option "inplace"/));

testVariants(gpu, hardSigmoid);
await testGoldens(gpu, "hardsigmoid");
test.run();
