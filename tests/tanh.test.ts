import { test } from "uvu";
import { UsageError } from "../engine/errors.ts";
import { tanh } from "../kernels/tanh.ts";
import { apply, checkElementwise, checkRow, open, refuses, testGoldens } from "./harness.ts";

const gpu = await open();

test("40 random tensors, with an error that is small beside small values, too", () =>
  checkElementwise(gpu, tanh, (want) => Math.min(3e-7, 2 ** -19 * Math.abs(want))));

test("zeros keep their sign, large values give ones, NaN stays", () =>
  checkRow(gpu, tanh, [0, -0, 3e38, -99, Infinity, -Infinity, NaN], [0, -0, 1, -1, 1, -1, NaN]));

test("it has no options", () =>
  refuses(
    () => apply(tanh, [[3]], { approximate: 1 }),
    UsageError,
    "USAGE",
    /tanh has no option "approximate"; it has/,
  ));

await testGoldens(gpu, "tanh");
test.run();
