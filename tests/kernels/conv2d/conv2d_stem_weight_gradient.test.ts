import { test } from "uvu";
import { NHWC, permuteShape } from "../../../engine/ground/tensor.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { conv2dStemWeightGradient } from "../../../kernels/conv2d/conv2d_stem_weight_gradient.ts";
import { conv2dWeightGradient } from "../../../kernels/conv2d/conv2d_weight_gradient.ts";
import { padded } from "../../../kernels/layout/to_nhwc.ts";
import {
  apply,
  checkKernel,
  drawConvolution,
  int,
  open,
  pick,
  randomTensor,
  rounds,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

test("random convolutions of few channels, with x in NCHW and in NHWC, and as the variant of the plain kernel", async () => {
  for (let i = 0; i < rounds(60); i++) {
    const { x, w, options } = drawConvolution({ groupIn: int(1, 6), groupOut: int(1, 20) });
    const all = { ...options, dilation: 1, kernel: w.slice(2) };
    const { shape } = apply(conv2d, [x, w], { ...options, dilation: 1 });
    const inRows = (images: readonly number[]) => permuteShape(images.with(1, padded(images[1])), NHWC);
    for (const nhwc of [false, true]) {
      const inputs = { x: randomTensor(nhwc ? inRows(x) : x), dy: randomTensor(inRows(shape)) };
      await checkKernel(gpu, conv2dStemWeightGradient, inputs, { ...all, channels: [w[0], w[1]], nhwc });
    }
    await checkKernel(gpu, conv2dWeightGradient, { x: randomTensor(x), dy: randomTensor(shape) }, all);
  }
});

test("wide filters, of which several workgroups share a row, and those that move by more than they are wide", async () => {
  const wide = [
    [6, 1],
    [7, 2],
    [11, 4],
    [16, pick(15, 16, 17)],
  ];
  for (const [width, stride] of wide) {
    const x = randomTensor([2, 1, 3, 40]);
    const { shape } = apply(conv2d, [x.shape, [9, 1, 2, width]], { stride, padding: [0, 5] });
    const dy = randomTensor([2, ...shape.slice(2), 12]);
    const all = { stride, padding: [0, 5], kernel: [2, width], channels: [9, 1], nhwc: false };
    await checkKernel(gpu, conv2dStemWeightGradient, { x, dy }, all);
  }
});

testVariants(gpu, conv2dWeightGradient, ["conv2d_depthwise_weight_gradient"]);

test.run();
