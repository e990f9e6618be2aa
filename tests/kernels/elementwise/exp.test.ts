import { test } from "uvu";
import { exp } from "../../../kernels/elementwise/exp.ts";
import { checkElementwise, checkRow, open, ulpsOfExponential } from "../../harness.ts";

const gpu = await open();

test("random tensors", () => checkElementwise(gpu, exp, ulpsOfExponential(3)));

test("one of zero, and nothing of what is very negative", () => checkRow(gpu, exp, [0, -0, -1000], [1, 1, 0]));

test.run();
