import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { silu } from "../../../kernels/elementwise/silu.ts";
import { apply, checkElementwise, checkRow, open, refuses, testGoldens, testVariants, ulps } from "../../harness.ts";

const gpu = await open();

test("random tensors", () => checkElementwise(gpu, silu, ulps(40)));

test("zeros keep their sign, large values stay or vanish, and NaN stays", () =>
  checkRow(gpu, silu, [0, -0, 200, -200, Infinity, NaN], [0, -0, 200, -0, Infinity, NaN]));

test("it has no options", () =>
  refuses(() => apply(silu, [[3]], { beta: 1 }), UsageError, "USAGE", /silu has no option "beta"; it has no/));

testVariants(gpu, silu);
await testGoldens(gpu, "silu");
test.run();
