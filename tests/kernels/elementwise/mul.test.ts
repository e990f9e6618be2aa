import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { mul } from "../../../kernels/elementwise/mul.ts";
import {
  apply,
  checkKernel,
  drawBroadcast,
  open,
  randomTensor,
  refuses,
  sameBits,
  testGoldens,
} from "../../harness.ts";

const gpu = await open();

test("40 random products, broadcast both ways", async () => {
  for (let i = 0; i < 40; i++) {
    const [a, b] = drawBroadcast().map((shape) => randomTensor(shape));
    await checkKernel(gpu, mul, { a, b }, {}, 1);
  }
});

test("NaN and infinity", async () => {
  const y = await gpu.eager(mul, tensor([5], [2, -0, NaN, Infinity, Infinity]), tensor([5], [3, 1, 1, -2, 0]));
  sameBits(y, tensor([5], [6, -0, NaN, -Infinity, NaN]));
});

test("what does not fit is refused", async () => {
  const refusesShape = (a: number[], b: number[], message: RegExp) =>
    refuses(() => apply(mul, [a, b]), ShapeError, "SHAPE", message);
  await refusesShape([2, 3], [2], /mul: \[2, 3\] and \[2\] cannot be broadcast to one shape/);
  await refusesShape([2, 1, 3], [3, 2, 3], /mul: \[2, 1, 3\] and \[3, 2, 3\] cannot be broadcast/);
  await refusesShape([1, 1, 1, 1, 1], [1], /mul takes up to 4 dimensions, got \[1, 1, 1, 1, 1\] and \[1\]/);
  const options = () => apply(mul, [[2], [2]], { scale: 1 });
  await refuses(options, UsageError, "USAGE", /mul has no option "scale"; it has no options/);
  await refuses(() => apply(mul, [[2]]), UsageError, "USAGE", /mul needs its input b/);
});

await testGoldens(gpu, "mul");
test.run();
