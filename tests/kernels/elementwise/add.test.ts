import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { ACTIVATIONS } from "../../../kernels/activation.ts";
import { add, sub } from "../../../kernels/elementwise/add.ts";
import {
  apply,
  checkKernel,
  drawBroadcast,
  int,
  type Operator,
  open,
  pick,
  randomTensor,
  refuses,
  rounds,
  sameBits,
  testGoldens,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

test("random sums, broadcast both ways", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const [a, b] = drawBroadcast(i).map((shape) => randomTensor(shape));
    await checkKernel(gpu, add, { a, b }, { alpha: pick(1, int(0, 8) / 8), activation: pick(...ACTIVATIONS) }, 3);
  }
});

test("sub subtracts", async () => {
  const y = await gpu.eager(sub as Operator, tensor([4], [5, 1, 0, -Infinity]), tensor([4], [2, 3, 0, 1]));
  sameBits(y, tensor([4], [3, -2, 0, -Infinity]));
});

test("NaN goes through relu, and -0 becomes 0", async () => {
  const inputs = [tensor([6], [1, -2, -0, NaN, Infinity, -Infinity]), tensor([6], [1, 1, -0, 1, 1, 1])];
  sameBits(await gpu.eager(add, ...inputs, { relu: true }), tensor([6], [2, 0, 0, NaN, Infinity, 0]));
});

test("what does not fit is refused", async () => {
  const refusesShape = (a: number[], b: number[], message: RegExp) =>
    refuses(() => apply(add, [a, b]), ShapeError, "SHAPE", message);
  await refusesShape([2, 3], [2], /add: \[2, 3\] and \[2\] cannot be broadcast to one shape/);
  await refusesShape([2, 1, 3], [3, 2, 3], /add: \[2, 1, 3\] and \[3, 2, 3\] cannot be broadcast/);
  const five = /add takes up to 4 dimensions, and \[2, 3, 2, 3, 2\] has 5 none of which can be joined here/;
  await refusesShape([2, 1, 2, 1, 2], [3, 1, 3, 1], five);
  const options = () => apply(add, [[2], [2]], { scale: 1 });
  await refuses(options, UsageError, "USAGE", /add has no option "scale"; its options are alpha, activation/);
  const alpha = () => apply(add, [[2], [2]], { alpha: NaN });
  await refuses(alpha, UsageError, "USAGE", /add: alpha is NaN; it must be a number/);
  await refuses(() => apply(add, [[2]]), UsageError, "USAGE", /add needs its input b/);
});

testVariants(gpu, add);
await testGoldens(gpu, "add", "add_relu", "sub");
test.run();
