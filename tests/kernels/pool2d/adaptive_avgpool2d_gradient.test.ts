import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { adaptiveAvgPool2d } from "../../../kernels/pool2d/adaptive_avgpool2d.ts";
import { adaptiveAvgPool2dGradient } from "../../../kernels/pool2d/adaptive_avgpool2d_gradient.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import {
  apply,
  assertAdjoint,
  checkKernel,
  int,
  nonFiniteTensor,
  open,
  pairOf,
  pick,
  randomTensor,
  refuses,
  rounds,
  sameBits,
} from "../../harness.ts";

const gpu = await open();

/** The shape of dy, from images that are smaller or larger. */
const draw = () => [pick(1, 3, 5), int(1, 7), int(1, 14), int(1, 14)];

test("random poolings, from smaller and from larger images", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const size = pairOf(() => int(1, 16));
    await checkKernel(gpu, adaptiveAvgPool2dGradient, { dy: randomTensor(draw()) }, { size });
  }
});

test("the gradients of the means of whole images", async () => {
  for (const size of [1, 7, [40, 33]]) {
    await checkKernel(gpu, adaptiveAvgPool2dGradient, { dy: randomTensor([3, 5, 1, 1]) }, { size });
  }
});

test("NaN and infinity reach their windows, and no other pixels", async () => {
  for (let i = 0; i < 10; i++) {
    const size = pairOf(() => int(1, 16));
    await checkKernel(gpu, adaptiveAvgPool2dGradient, { dy: nonFiniteTensor(draw()) }, { size });
  }
});

test("it is the transpose of the pooling", () => {
  for (let i = 0; i < rounds(20); i++) {
    const dy = randomTensor(draw());
    const x = randomTensor([dy.shape[0], dy.shape[1], int(1, 16), int(1, 16)]);
    const y = evaluateReference(adaptiveAvgPool2d, { x }, { outputSize: dy.shape.slice(2) });
    assertAdjoint([y, dy], [x, evaluateReference(adaptiveAvgPool2dGradient, { dy }, { size: x.shape.slice(2) })]);
  }
});

test("windows of five pixels to three share two of them", async () => {
  const dx = await gpu.eager(adaptiveAvgPool2dGradient, tensor([1, 1, 1, 3], [2, 30, 400]), { size: [1, 5] });
  sameBits(dx, tensor([1, 1, 1, 5], [1, 11, 10, 210, 200]));
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(adaptiveAvgPool2dGradient, [[1, 2, 3, 4]], options), UsageError, "USAGE", message);
  await refusesUse({}, /adaptive_avgpool2d_gradient needs the option "size"/);
  await refusesUse({ size: 0 }, /adaptive_avgpool2d_gradient: size is 0; it must be an integer of at least 1/);
  await refusesUse({ size: 7, outputSize: 3 }, /adaptive_avgpool2d_gradient has no option "outputSize"/);
  const flat = () => apply(adaptiveAvgPool2dGradient, [[3, 4]], { size: 7 });
  await refuses(flat, ShapeError, "SHAPE", /adaptive_avgpool2d_gradient takes images of shape .*, got \[3, 4\]/);
});

test.run();
