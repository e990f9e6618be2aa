import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { avgPool2d } from "../../../kernels/pool2d/avgpool2d.ts";
import { avgPool2dGradient } from "../../../kernels/pool2d/avgpool2d_gradient.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import {
  apply,
  assertAdjoint,
  checkKernel,
  drawPool,
  int,
  nonFiniteTensor,
  open,
  pick,
  randomTensor,
  refuses,
  rounds,
  sameBits,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

/** A random pooling: the shapes of x and y, and its options. */
function draw(channels: number) {
  const { x: drawn, options } = drawPool();
  const x = drawn.with(1, channels);
  const divisorOverride = pick(null, null, int(1, 9));
  const all = { ...options, divisorOverride, countIncludePad: pick(false, true) };
  return { x, y: apply(avgPool2d, [x], all).shape, options: all };
}

for (const [what, drawSlopes] of [
  ["also by ceilMode, by all divisors and with windows that overlap", randomTensor],
  ["whose NaN and infinities reach their windows, and no other pixels", nonFiniteTensor],
] as const) {
  test(`random poolings, ${what}`, async () => {
    for (let i = 0; i < rounds(40); i++) {
      const { x, y, options } = draw(i % 2 ? 8 : int(1, 5));
      await checkKernel(gpu, avgPool2dGradient, { dy: drawSlopes(y) }, { ...options, size: x.slice(2) });
    }
  });
}

testVariants(gpu, avgPool2dGradient);

test("it is the transpose of the pooling", () => {
  for (let i = 0; i < rounds(20); i++) {
    const { x: shape, y: small, options } = draw(int(1, 9));
    const [x, dy] = [randomTensor(shape), randomTensor(small)];
    const dx = evaluateReference(avgPool2dGradient, { dy }, { ...options, size: shape.slice(2) });
    assertAdjoint([evaluateReference(avgPool2d, { x }, options), dy], [x, dx]);
  }
});

const row = (values: readonly number[]) => tensor([1, 1, 1, values.length], values);

test("what ceilMode adds counts in no divisor, what is padded does if asked for", async () => {
  // The last window has one pixel, and one of the padding.
  const common = { kernel: [1, 4], stride: [1, 3], padding: [0, 1], ceilMode: true, size: [1, 6] } as const;
  const dy = row([12, 12, 12]);
  const slopes = (options: object) => gpu.eager(avgPool2dGradient, dy, { ...common, ...options });
  sameBits(await slopes({}), row([3, 3, 6, 3, 3, 9]));
  sameBits(await slopes({ countIncludePad: false }), row([4, 4, 7, 3, 3, 15]));
  sameBits(await slopes({ divisorOverride: 2 }), row([6, 6, 12, 6, 6, 12]));
});

test("pixels that no window has have no gradient", async () => {
  const dx = await gpu.eager(avgPool2dGradient, row([NaN, 3]), { kernel: [1, 2], stride: [1, 4], size: [1, 8] });
  sameBits(dx, row([NaN, NaN, 0, 0, 1.5, 1.5, 0, 0]));
});

test("what does not fit is refused", async () => {
  const dy = [2, 3, 3, 3];
  const size = [6, 7];
  const refusesShape = (shape: number[], options: object, message: RegExp) =>
    refuses(() => apply(avgPool2dGradient, [shape], options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(avgPool2dGradient, [dy], options), UsageError, "USAGE", message);

  await refusesShape([3], { kernel: 2, size }, /avgpool2d takes images of shape \[N, C, H, W\], got \[3, 6, 7\]/);
  await refusesShape([2, 3, 4], { kernel: 2, size }, /dy is \[2, 3, 4\]; it must be \[2, 3, 3, 3\]/);
  const unlike = /avgpool2d_gradient: dy is \[2, 3, 3, 3\]; it must be \[2, 3, 3, 4\]/;
  await refusesShape(dy, { kernel: 2, ceilMode: true, size }, unlike);
  await refusesShape(dy, { kernel: 8, size }, /a 8x8 window does not fit x \[2, 3, 6, 7\]/);
  await refusesUse({ kernel: 2 }, /avgpool2d_gradient needs the option "size"/);
  await refusesUse({ size }, /avgpool2d_gradient needs the option "kernel"/);
  await refusesUse({ kernel: 2, size: 0 }, /avgpool2d_gradient: size is 0; it must be an integer of at least 1/);
  await refusesUse({ kernel: 2, size, divisorOverride: 0 }, /divisorOverride is 0; it must be a positive integer/);
  await refusesUse({ kernel: 2, size, dilation: 2 }, /avgpool2d_gradient has no option "dilation"/);
});

test.run();
