import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { maxPool2dIndices } from "../../../kernels/pool2d/maxpool2d_indices.ts";
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
  sameBits,
  specialTensor,
  testVariants,
  tiedTensor,
} from "../../harness.ts";

const gpu = await open();

test("random poolings, of equal values, and of NaN, infinities, zeros and denormals, to the bit", async () => {
  for (let i = 0; i < rounds(60); i++) {
    const dilation = pairOf(() => int(1, 3));
    const { x: drawn, options } = drawPool(dilation);
    const x = [randomTensor, tiedTensor, specialTensor][i % 3](drawn.with(1, i % 2 ? 8 : int(1, 5)));
    await checkBits(gpu, maxPool2dIndices, { x }, { ...options, dilation });
  }
});

testVariants(gpu, maxPool2dIndices);

test("of equal maxima the first is taken, of NaN the last, row by row, as in PyTorch; of padding none", async () => {
  const inf = Infinity;
  const rows: [x: number[], index: number][] = [
    [[2, 2, 2], 0],
    [[1, 2, 2], 1],
    [[-0, 0, -0], 0],
    [[-inf, -inf, -inf], 0],
    [[-inf, -1, inf], 2],
    [[NaN, 1, inf], 0],
    [[1, NaN, inf], 1],
    [[NaN, NaN, 3], 1],
    [[NaN, 1, NaN], 2],
  ];
  for (const [values, index] of rows) {
    const x = tensor([1, 1, 1, values.length], values);
    sameBits(await gpu.eager(maxPool2dIndices, x, { kernel: [1, 3] }), tensor([1, 1, 1, 1], [index]), `${values}`);
  }
  const x = tensor([1, 1, 2, 2], [1, 5, 5, 5]);
  sameBits(await gpu.eager(maxPool2dIndices, x, { kernel: 2 }), tensor([1, 1, 1, 1], [1]));
  const padding = await gpu.eager(maxPool2dIndices, tensor([1, 1, 1, 1], [5]), { kernel: 2, dilation: 2, padding: 1 });
  sameBits(padding, tensor([1, 1, 1, 1], [-1]));
});

test("what does not fit is refused", async () => {
  const x = [2, 3, 6, 7];
  const refusesShape = (shape: number[], options: object, message: RegExp) =>
    refuses(() => apply(maxPool2dIndices, [shape], options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(maxPool2dIndices, [x], options), UsageError, "USAGE", message);
  await refusesShape([6, 7], { kernel: 2 }, /maxpool2d_indices takes images of shape .*, got \[6, 7\]/);
  await refusesShape(x, { kernel: [7, 2] }, /maxpool2d_indices: a 7x2 window does not fit x \[2, 3, 6, 7\]/);
  await refusesShape(x, { kernel: 3, padding: 2 }, /padding 2 is more than half of the window of 3/);
  await refusesUse({}, /maxpool2d_indices needs the option "kernel"/);
});

test.run();
