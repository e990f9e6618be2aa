import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { maxPool2d } from "../../../kernels/pool2d/maxpool2d.ts";
import {
  apply,
  checkBits,
  drawPool,
  int,
  open,
  pairOf,
  randomTensor,
  refuses,
  rounds,
  specialTensor,
  testGoldens,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

test("random poolings, on bits: NaN wins, padding never does", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const dilation = pairOf(() => int(1, 3));
    const { x: shape, options } = drawPool(dilation);
    const x = i % 2 ? randomTensor(shape) : specialTensor(shape);
    await checkBits(gpu, maxPool2d, { x }, { ...options, dilation });
  }
});

test("a window that sees padding alone gives -infinity", async () => {
  const y = await gpu.eager(maxPool2d, tensor([1, 1, 1, 1], [5]), { kernel: 2, dilation: 2, padding: 1 });
  assert.equal([...y.data], [-Infinity]);
});

test("what does not fit is refused", async () => {
  const x = [2, 3, 6, 7];
  const refusesShape = (shape: number[], options: object, message: RegExp) =>
    refuses(() => apply(maxPool2d, [shape], options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(maxPool2d, [x], options), UsageError, "USAGE", message);

  await refusesShape([3, 6, 7], { kernel: 2 }, /maxpool2d takes images of shape \[N, C, H, W\], got \[3, 6, 7\]/);
  await refusesShape(x, { kernel: 3, padding: 2 }, /padding 2 is more than half of the window of 3/);
  await refusesShape(x, { kernel: 3, dilation: 2, padding: 3 }, /padding 3 is more than half of the window of 5/);
  await refusesShape(x, { kernel: 4, dilation: 2 }, /a 4x4 window does not fit x \[2, 3, 6, 7\] with padding 0, 0/);
  await refusesUse({}, /maxpool2d needs the option "kernel"/);
  await refusesUse(
    { kernel_size: 2 },
    /no option "kernel_size"; its options are kernel, stride, padding, dilation, ceilMode/,
  );
  await refusesUse({ kernel: [2, 0] }, /maxpool2d: kernel is \[2,0\]; it must be an integer of at least 1/);
  await refusesUse({ kernel: 2, dilation: 0 }, /maxpool2d: dilation is 0/);
});

testVariants(gpu, maxPool2d);
await testGoldens(gpu, "max_pool2d");
test.run();
