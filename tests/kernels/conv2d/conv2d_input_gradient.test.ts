import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import type { Shape } from "../../../engine/ground/tensor.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { conv2dInputGradient } from "../../../kernels/conv2d/conv2d_input_gradient.ts";
import type { Padding } from "../../../kernels/options.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import {
  apply,
  assertAdjoint,
  checkKernel,
  drawConvolution,
  int,
  nonFiniteTensor,
  open,
  pick,
  randomTensor,
  refuses,
  rounds,
  sameBits,
} from "../../harness.ts";

const gpu = await open();

interface Convolution {
  readonly x: Shape;
  readonly w: Shape;
  readonly options: object;
}

function draw({ x, w, options }: Convolution, drawSlopes = randomTensor) {
  const dy = drawSlopes(apply(conv2d, [x, w], options).shape);
  return { inputs: { dy, w: randomTensor(w) }, all: { ...options, size: x.slice(2) } };
}

function check(convolution: Convolution, drawSlopes?: typeof randomTensor): Promise<void> {
  const { inputs, all } = draw(convolution, drawSlopes);
  return checkKernel(gpu, conv2dInputGradient, inputs, all);
}

test("random convolutions", async () => {
  for (let i = 0; i < rounds(40, 12); i++) await check(drawConvolution());
});

test("random grouped convolutions, and 20 depthwise ones", async () => {
  for (let i = 0; i < rounds(20); i++) {
    await check(drawConvolution({ groups: int(2, 4), groupIn: int(1, 3), groupOut: int(1, 3) }));
    await check(drawConvolution({ groups: int(2, 9), groupIn: 1, groupOut: pick(1, 2) }));
  }
});

test("it is the transpose of the convolution", () => {
  for (let i = 0; i < 10; i++) {
    const convolution = drawConvolution({ groups: pick(1, 2), groupIn: int(1, 4), groupOut: int(1, 4) });
    const { inputs, all } = draw(convolution);
    const x = randomTensor(convolution.x);
    const y = evaluateReference(conv2d, { x, w: inputs.w }, convolution.options);
    assertAdjoint([y, inputs.dy], [x, evaluateReference(conv2dInputGradient, inputs, all)]);
  }
});

test("long sums: 16 channels of 20x20, and hundreds of channels", async () => {
  await check({ x: [4, 16, 20, 20], w: [16, 16, 3, 3], options: { padding: 1 } });
  await check({ x: [2, 3, 4, 4], w: [500, 3, 3, 3], options: { padding: 1 } });
});

test("NaN and infinity reach the pixels that were multiplied with them, and no others", async () => {
  for (let i = 0; i < 10; i++) await check(drawConvolution({ groupOut: 2 }), nonFiniteTensor);
});

test("pixels that no window has, between windows and behind the last, have no gradient", async () => {
  const dy = tensor([1, 1, 1, 3], [Infinity, NaN, 5]);
  const y = await gpu.eager(conv2dInputGradient, dy, tensor([1, 1, 1, 2], [2, 1]), { stride: 3, size: [1, 10] });
  sameBits(y, tensor([1, 1, 1, 10], [Infinity, Infinity, 0, NaN, NaN, 0, 10, 5, 0, 0]));
});

test("a kernel that is larger than the image is read where the image is", async () => {
  // The image is one pixel, in the last row and the first column of the window.
  const w = tensor([1, 1, 3, 3], [NaN, NaN, NaN, NaN, NaN, NaN, 3, NaN, NaN]);
  const padding: Padding = [2, 0, 0, 2];
  const y = await gpu.eager(conv2dInputGradient, tensor([1, 1, 1, 1], [2]), w, { padding, size: 1 });
  sameBits(y, tensor([1, 1, 1, 1], [6]));
});

test("what does not fit is refused", async () => {
  const dy = [1, 6, 6, 7];
  const w = [6, 4, 3, 3];
  const size = [8, 9];
  const refusesShape = (shapes: number[][], options: object, message: RegExp) =>
    refuses(() => apply(conv2dInputGradient, shapes, options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(conv2dInputGradient, [dy, w], options), UsageError, "USAGE", message);

  await refusesShape([[6, 6, 7], w], { size }, /conv2d_input_gradient takes images of shape .*, got \[6, 6, 7\]/);
  await refusesShape([dy, [6, 4, 3]], { size }, /conv2d_input_gradient: w must be \[O, C\/groups, KH, KW\]/);
  const unlike = /conv2d_input_gradient: dy is \[1, 6, 6, 7\]; the convolution of x .* with w .* gives /;
  await refusesShape([dy, w], { size: [8, 8] }, unlike);
  await refusesShape([dy, w], { size, padding: [0, 0, 0, 1] }, unlike);
  await refusesShape([dy, [5, 4, 3, 3]], { size }, unlike);
  await refusesShape([dy, w], { size, groups: 4 }, /groups is 4; it must divide the 16 input and 6 output channels/);
  for (const groups of [0, 1.5])
    await refusesShape([dy, w], { size, groups }, /: groups is (0|1\.5); it must divide the /);
  await refusesShape([dy, w], { size: 2 }, /a 3x3 kernel with dilation 1x1 does not fit x \[1, 4, 2, 2\]/);
  await refusesUse({}, /conv2d_input_gradient needs the option "size"/);
  await refusesUse({ size: 0 }, /conv2d_input_gradient: size is 0; it must be an integer of at least 1/);
  await refusesUse({ size, stride: 0 }, /stride is 0; it must be an integer of at least 1/);
  await refusesUse({ size, activation: "relu" }, /no option "activation"; its options are stride, .*, groups, size/);
});

test.run();
