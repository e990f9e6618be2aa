import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { gelu } from "../../../kernels/elementwise/gelu.ts";
import {
  apply,
  checkElementwise,
  checkRow,
  open,
  refuses,
  testGoldens,
  testVariants,
  ulpsOfExponential,
} from "../../harness.ts";

const gpu = await open();

test("random tensors", () => checkElementwise(gpu, gelu, ulpsOfExponential(8)));

test("zeros keep their sign, large values stay or vanish, and NaN stays", () =>
  checkRow(gpu, gelu, [0, -0, 200, -200, Infinity, NaN], [0, -0, 200, -0, Infinity, NaN]));

test("it has no options", () =>
  refuses(
    () => apply(gelu, [[3]], { approximate: 1 }),
    UsageError,
    "USAGE",
    /gelu has no option "approximate"; it has/,
  ));

testVariants(gpu, gelu);
await testGoldens(gpu, "gelu");
test.run();
