import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Value } from "../../engine/graph/value.ts";
import { UsageError } from "../../engine/ground/errors.ts";
import { dropout } from "../../kernels/dropout.ts";
import { relu } from "../../kernels/elementwise/relu.ts";
import { flatten } from "../../kernels/flatten.ts";
import { apply, type Operator, open, randomTensor, refuses, sameBits, specialTensor, testGoldens } from "../harness.ts";

const gpu = await open();

test("the elements stay, the dimensions from startDim on become one", async () => {
  const x = specialTensor([2, 3, 4, 5]);
  const to = async (shape: number[], options: object) =>
    sameBits(await gpu.eager(flatten as Operator, x, options), { ...x, shape });
  await to([2, 60], {});
  await to([120], { startDim: 0 });
  await to([2, 3, 20], { startDim: 2 });
  await to([2, 3, 20], { startDim: -2 });
  await to([2, 3, 4, 5], { startDim: 3 });
});

test("it can be chained, read by kernels and asked for", async () => {
  const x = randomTensor([2, 3, 4, 5]);
  const twice = (v: Value) => flatten(relu(flatten(flatten(v, { startDim: 2 }))), { startDim: 0 });
  const y = await gpu.eager(twice as Operator, x);
  sameBits(y, { shape: [120], data: x.data.map((v) => Math.max(v, 0)) });
});

test("dropout is nothing", () => {
  const x = apply(relu, [[2, 3]]);
  assert.is(dropout(x), x);
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(flatten, [[2, 3]], options), UsageError, "USAGE", message);
  await refusesUse({ startDim: 2 }, /flatten: startDim is 2; it must be from -2 to 1, since there are 2 dimensions/);
  await refusesUse({ startDim: 0.5 }, /flatten: startDim is 0.5/);
  await refusesUse({ start_dim: 1 }, /flatten has no option "start_dim"; its options are startDim/);
});

await testGoldens(gpu, "flatten");
test.run();
