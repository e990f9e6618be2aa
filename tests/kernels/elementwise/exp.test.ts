import { test } from "uvu";
import { exp } from "../../../kernels/elementwise/exp.ts";
import { checkElementwise, checkRow, open } from "../../harness.ts";

const gpu = await open();

// WGSL allows 3 + 2 |x| units in the last place.
test("random tensors", () =>
  checkElementwise(gpu, exp, (want) => (3 + 2 * Math.abs(Math.log(want))) * 2 ** -23 * want));

test("one of zero, and nothing of what is very negative", () => checkRow(gpu, exp, [0, -0, -1000], [1, 1, 0]));

test.run();
