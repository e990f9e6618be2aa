import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { tanh } from "../../../kernels/elementwise/tanh.ts";
import { apply, checkElementwise, checkRow, open, refuses, testGoldens, testVariants } from "../../harness.ts";

const gpu = await open();

// Below 0.3 it is a polynomial; above, WGSL allows exp some error.
test("random tensors, with an error that is small beside small values, too", () =>
  checkElementwise(gpu, tanh, (want) => (Math.abs(want) < 0.29 ? 2 ** -22 * Math.abs(want) : 3e-7)));

test("zeros keep their sign, large values give ones, NaN stays", () =>
  checkRow(gpu, tanh, [0, -0, 3e38, -99, Infinity, -Infinity, NaN], [0, -0, 1, -1, 1, -1, NaN]));

test("it has no options", () =>
  refuses(
    () => apply(tanh, [[3]], { approximate: 1 }),
    UsageError,
    "USAGE",
    /tanh has no option "approximate"; it has/,
  ));

testVariants(gpu, tanh);
await testGoldens(gpu, "tanh");
test.run();
