import { test } from "uvu";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { conv2dDepthwiseWeightGradient } from "../../../kernels/conv2d/conv2d_depthwise_weight_gradient.ts";
import { conv2dWeightGradient } from "../../../kernels/conv2d/conv2d_weight_gradient.ts";
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

test("random depthwise convolutions, in NHWC and as the variant of the plain kernel", async () => {
  for (let i = 0; i < rounds(60); i++) {
    const { x, w, options } = drawConvolution({ groups: 4 * int(1, 9), groupIn: 1, groupOut: 1 });
    const [, channels, height, width] = apply(conv2d, [x, w], options).shape;
    const all = { ...options, kernel: w.slice(2) };
    const [n, , ...size] = x;
    const dy = randomTensor([n, height, width, channels]);
    const parts = { ...all, part: pick(Infinity, 1, 2, 7) };
    await checkKernel(gpu, conv2dDepthwiseWeightGradient, { x: randomTensor([n, ...size, channels]), dy }, parts);
    const images = { x: randomTensor(x), dy: randomTensor([n, channels, height, width]) };
    await checkKernel(gpu, conv2dWeightGradient, images, all);
  }
});

testVariants(gpu, conv2dWeightGradient, ["conv2d_stem_weight_gradient"]);

test.run();
