import { test } from "uvu";
import { adaptiveAvgPool2d } from "../../../kernels/pool2d/adaptive_avgpool2d.ts";
import { avgPool2d } from "../../../kernels/pool2d/avgpool2d.ts";
import { maxPool2d } from "../../../kernels/pool2d/maxpool2d.ts";
import {
  checkBits,
  checkKernel,
  drawPool,
  int,
  open,
  pairOf,
  pick,
  randomTensor,
  rounds,
  specialTensor,
} from "../../harness.ts";

// The one kernel behind the NHWC variants of three: the checks run every variant that takes a call.
const gpu = await open();

/** Random images and options of a pooling, with whole vec4s of channels or without. */
function draw(dilation?: ReturnType<typeof pairOf>) {
  const { x, options } = drawPool(dilation);
  return { shape: [x[0], pick(1, 4, 6, 8), ...x.slice(2)], options };
}

test("random maxima, on bits", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const dilation = pairOf(() => int(1, 3));
    const { shape, options } = draw(dilation);
    await checkBits(gpu, maxPool2d, { x: specialTensor(shape) }, { ...options, dilation });
  }
});

test("random means, by every divisor", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const { shape, options } = draw();
    const divisor = { countIncludePad: pick(true, false), divisorOverride: pick(null, int(1, 9)) };
    await checkKernel(gpu, avgPool2d, { x: randomTensor(shape) }, { ...options, ...divisor });
  }
});

test("20 adaptive means whose windows are of one size, also of one element and of the whole image", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const outputSize = [int(1, 5), int(1, 5)] as const;
    const x = randomTensor([pick(1, 3), int(1, 9), outputSize[0] * int(1, 4), outputSize[1] * int(1, 4)]);
    await checkKernel(gpu, adaptiveAvgPool2d, { x }, { outputSize });
  }
});

test.run();
