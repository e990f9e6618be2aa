import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { mul } from "../../../kernels/elementwise/mul.ts";
import {
  apply,
  checkKernel,
  drawBroadcast,
  int,
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

test("random products, broadcast both ways", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const [a, b] = drawBroadcast(i).map((shape) => randomTensor(shape));
    await checkKernel(gpu, mul, { a, b }, {}, 1);
  }
});

test("NaN and infinity", async () => {
  const y = await gpu.eager(mul, tensor([5], [2, -0, NaN, Infinity, Infinity]), tensor([5], [3, 1, 1, -2, 0]));
  sameBits(y, tensor([5], [6, -0, NaN, -Infinity, NaN]));
});

test("random products of images of whole vec4s of channels, also by channel, pixel or image", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const [n, c, h, w] = [int(1, 3), 4 * int(1, 4), int(1, 6), int(1, 6)];
    const other = pick([n, c, h, w], [n, c, 1, 1], [1, c, 1, 1], [c, 1, 1], [n, 1, h, w], [h, w], [1]);
    const [x, y] = [randomTensor([n, c, h, w]), randomTensor(other)];
    const [a, b] = pick([x, y], [y, x]);
    await checkKernel(gpu, mul, { a, b }, {}, 1);
  }
});

test("what does not fit is refused", async () => {
  const refusesShape = (a: number[], b: number[], message: RegExp) =>
    refuses(() => apply(mul, [a, b]), ShapeError, "SHAPE", message);
  await refusesShape([2, 3], [2], /mul: \[2, 3\] and \[2\] cannot be broadcast to one shape/);
  await refusesShape([2, 1, 3], [3, 2, 3], /mul: \[2, 1, 3\] and \[3, 2, 3\] cannot be broadcast/);
  const five = /mul takes up to 4 dimensions, and \[2, 3, 2, 3, 2\] has 5 none of which can be joined here/;
  await refusesShape([2, 1, 2, 1, 2], [3, 1, 3, 1], five);
  const options = () => apply(mul, [[2], [2]], { scale: 1 });
  await refuses(options, UsageError, "USAGE", /mul has no option "scale"; it has no options/);
  await refuses(() => apply(mul, [[2]]), UsageError, "USAGE", /mul needs its input b/);
});

testVariants(gpu, mul);

await testGoldens(gpu, "mul");
test.run();
