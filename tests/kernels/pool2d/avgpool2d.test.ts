import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { avgPool2d } from "../../../kernels/pool2d/avgpool2d.ts";
import {
  apply,
  checkKernel,
  drawPool,
  int,
  nonFiniteTensor,
  open,
  pick,
  randomTensor,
  refuses,
  rounds,
  testGoldens,
} from "../../harness.ts";

const gpu = await open();

test("random poolings", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const { x, options } = drawPool();
    const divisorOverride = pick(null, null, int(1, 9));
    const all = { ...options, divisorOverride, countIncludePad: pick(false, true) };
    await checkKernel(gpu, avgPool2d, { x: randomTensor(x) }, all);
  }
});

test("NaN and infinity reach the windows that see them, and no others", async () => {
  for (let i = 0; i < 10; i++) {
    const { x, options } = drawPool();
    await checkKernel(gpu, avgPool2d, { x: nonFiniteTensor(x) }, options);
  }
});

test("what does not fit is refused", async () => {
  const x = [2, 3, 6, 7];
  const refusesShape = (shape: number[], options: object, message: RegExp) =>
    refuses(() => apply(avgPool2d, [shape], options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(avgPool2d, [x], options), UsageError, "USAGE", message);

  await refusesShape([3, 6, 7], { kernel: 2 }, /avgpool2d takes images of shape \[N, C, H, W\], got \[3, 6, 7\]/);
  await refusesShape(x, { kernel: 3, padding: 2 }, /padding 2 is more than half of the window of 3/);
  await refusesShape(x, { kernel: [7, 2] }, /a 7x2 window does not fit x \[2, 3, 6, 7\] with padding 0, 0/);
  await refusesUse({}, /avgpool2d needs the option "kernel"/);
  await refusesUse(
    { kernel: 2, ceil_mode: true },
    /no option "ceil_mode"; its options are kernel, stride, padding, ceilMode, countIncludePad, divisorOverride/,
  );
  await refusesUse({ kernel: 0 }, /avgpool2d: kernel is 0; it must be an integer of at least 1/);
  await refusesUse({ kernel: 2, stride: [0, 1] }, /avgpool2d: stride is \[0,1\]/);
  await refusesUse({ kernel: 2, padding: -1 }, /avgpool2d: padding is -1; it must be an integer of at least 0/);
  await refusesUse({ kernel: 2, divisorOverride: 0 }, /divisorOverride is 0; it must be a positive integer or null/);
});

await testGoldens(gpu, "avg_pool2d");
test.run();
