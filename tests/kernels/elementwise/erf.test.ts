import { test } from "uvu";
import { erf } from "../../../kernels/elementwise/erf.ts";
import { checkElementwise, checkRow, open, ulps } from "../../harness.ts";

const gpu = await open();

test("random tensors", () => checkElementwise(gpu, erf, ulps(8)));

test("zeros keep their sign, large values give ones, NaN stays", () =>
  checkRow(gpu, erf, [0, -0, 200, -200, Infinity, NaN], [0, -0, 1, -1, 1, NaN]));

test.run();
