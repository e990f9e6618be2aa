import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { type Shape, tensor } from "../../../engine/ground/tensor.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { conv2dWeightGradient } from "../../../kernels/conv2d/conv2d_weight_gradient.ts";
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

function draw({ x, w, options }: Convolution, drawImage = randomTensor) {
  const dy = randomTensor(apply(conv2d, [x, w], options).shape);
  return { inputs: { x: drawImage(x), dy }, all: { ...options, kernel: w.slice(2) } };
}

function check(convolution: Convolution, drawImage?: typeof randomTensor): Promise<void> {
  const { inputs, all } = draw(convolution, drawImage);
  return checkKernel(gpu, conv2dWeightGradient, inputs, all);
}

test("random convolutions", async () => {
  for (let i = 0; i < rounds(40, 12); i++) await check(drawConvolution());
});

test("random grouped convolutions, and 20 depthwise ones", async () => {
  for (let i = 0; i < rounds(20); i++) {
    await check(drawConvolution({ groups: int(2, 4), groupIn: int(1, 3), groupOut: int(1, 6) }));
    await check(drawConvolution({ groups: int(2, 9), groupIn: 1, groupOut: pick(1, 2) }));
  }
});

test("it is the transpose of the convolution, which is linear in its weights, too", () => {
  for (let i = 0; i < 10; i++) {
    const convolution = drawConvolution({ groups: pick(1, 2), groupIn: int(1, 4), groupOut: int(1, 4) });
    const { inputs, all } = draw(convolution);
    const w = randomTensor(convolution.w);
    const y = evaluateReference(conv2d, { x: inputs.x, w }, convolution.options);
    assertAdjoint([y, inputs.dy], [w, evaluateReference(conv2dWeightGradient, inputs, all)]);
  }
});

test("long sums: four images of 20x20, and one large image", async () => {
  await check({ x: [4, 16, 20, 20], w: [16, 16, 3, 3], options: { padding: 1 } });
  await check({ x: [1, 1, 150, 200], w: [5, 1, 2, 3], options: {} });
});

test("NaN and infinity reach the weights that were multiplied with them, and no others", async () => {
  for (let i = 0; i < 10; i++) await check(drawConvolution({ groupIn: 2 }), nonFiniteTensor);
});

test("padding is no part of the sums, even where the image's first pixel is not finite", async () => {
  for (const spoiler of [NaN, Infinity, -Infinity, 4]) {
    const x = tensor([1, 1, 2, 2], [spoiler, 1, 2, 3]);
    const dy = tensor([1, 1, 2, 2], [1, 10, 100, 1000]);
    const dw = await gpu.eager(conv2dWeightGradient, x, dy, { padding: 1, kernel: 3 });
    const seen = [1000 * spoiler, 1000 + 100 * spoiler, 100, 2000 + 10 * spoiler, 3210 + spoiler, 301, 20, 32, 3];
    sameBits(dw, tensor([1, 1, 3, 3], seen), `${spoiler}`);
  }
});

test("weights that see padding alone have no gradient", async () => {
  const dw = await gpu.eager(conv2dWeightGradient, tensor([1, 1, 1, 1], [2]), tensor([1, 1, 1, 1], [3]), {
    padding: [2, 0, 0, 2],
    kernel: 3,
  });
  sameBits(dw, tensor([1, 1, 3, 3], [0, 0, 0, 0, 0, 0, 6, 0, 0]));
});

test("what does not fit is refused", async () => {
  const x = [1, 4, 8, 9];
  const dy = [1, 6, 6, 7];
  const kernel = 3;
  const refusesShape = (shapes: number[][], options: object, message: RegExp) =>
    refuses(() => apply(conv2dWeightGradient, shapes, options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(conv2dWeightGradient, [x, dy], options), UsageError, "USAGE", message);

  await refusesShape([[4, 8, 9], dy], { kernel }, /conv2d_weight_gradient takes images of .*, got \[4, 8, 9\]/);
  await refusesShape([x, [6, 6, 7]], { kernel }, /conv2d_weight_gradient takes images of .*, got \[6, 6, 7\]/);
  const unlike = /conv2d_weight_gradient: dy is \[\d, 6, 6, 7\]; the convolution of x .* with w .* gives /;
  await refusesShape([x, dy], { kernel: 2 }, unlike);
  await refusesShape([x, dy], { kernel, stride: 2 }, unlike);
  await refusesShape([x, [2, 6, 6, 7]], { kernel }, unlike);
  await refusesShape([x, dy], { kernel: [9, 3] }, /a 9x3 kernel with dilation 1x1 does not fit x \[1, 4, 8, 9\]/);
  await refusesShape([x, dy], { kernel, groups: 3 }, /groups is 3; it must divide the 4 input and 6 output channels/);
  await refusesShape([x, dy], { kernel, groups: 4 }, /groups is 4; it must divide the 4 input and 6 output channels/);
  await refusesShape([x, dy], { kernel, groups: 0 }, /groups is 0/);
  await refusesUse({}, /conv2d_weight_gradient needs the option "kernel"/);
  await refusesUse({ kernel: 0 }, /conv2d_weight_gradient: kernel is 0; it must be an integer of at least 1/);
  await refusesUse({ kernel, padding: -1 }, /padding is -1; it must be an integer of at least 0/);
  await refusesUse({ kernel, size: 8 }, /no option "size"; its options are stride, padding, dilation, groups, kernel/);
});

test.run();
