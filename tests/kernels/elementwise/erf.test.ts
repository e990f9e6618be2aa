import { test } from "uvu";
import { erf } from "../../../kernels/elementwise/erf.ts";
import { checkElementwise, checkRow, open } from "../../harness.ts";

const gpu = await open();

test("random tensors", () => checkElementwise(gpu, erf, () => 6e-7));

test("large values give ones, NaN stays", () => checkRow(gpu, erf, [200, -200, NaN], [1, -1, NaN]));

test.run();
