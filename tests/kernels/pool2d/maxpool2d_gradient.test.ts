import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import { maxPool2d } from "../../../kernels/pool2d/maxpool2d.ts";
import { maxPool2dGradient } from "../../../kernels/pool2d/maxpool2d_gradient.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import {
  apply,
  assertAdjoint,
  checkKernel,
  drawPool,
  int,
  open,
  pairOf,
  randomTensor,
  refuses,
  rounds,
  sameBits,
  specialTensor,
  sumBound,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

/** Values of which many are equal. */
const tiedTensor = (shape: readonly number[]): Tensor => {
  const { data } = randomTensor(shape);
  return { shape, data: data.map((v) => Math.round(v)) };
};

/** A random pooling, of gradients that are added up where windows overlap. */
async function check(draw: (shape: readonly number[]) => Tensor, channels: number): Promise<void> {
  const dilation = pairOf(() => int(1, 3));
  const { x: drawn, options } = drawPool(dilation);
  const shape = drawn.with(1, channels);
  const all = { ...options, dilation };
  const x = draw(shape);
  const dy = randomTensor(apply(maxPool2d, [shape], all).shape);
  const positive = { x, dy: { ...dy, data: dy.data.map(Math.abs) } };
  await checkKernel(gpu, maxPool2dGradient, { x, dy }, all, sumBound(maxPool2dGradient, positive, all, 8));
}

test("random poolings, also by ceilMode and with windows that overlap", async () => {
  for (let i = 0; i < rounds(40); i++) await check(randomTensor, i % 2 ? 8 : int(1, 5));
});

test("random poolings of equal values, and of NaN, infinities, zeros and denormals", async () => {
  for (let i = 0; i < rounds(40); i++) await check(i % 2 ? tiedTensor : specialTensor, i % 4 < 2 ? 4 : int(1, 5));
});

testVariants(gpu, maxPool2dGradient);

test("it picks what the pooling has picked", () => {
  for (let i = 0; i < 10; i++) {
    const { x: shape, options } = drawPool();
    const x = randomTensor(shape);
    const y = evaluateReference(maxPool2d, { x }, options);
    const dy = randomTensor(y.shape);
    assertAdjoint([y, dy], [x, evaluateReference(maxPool2dGradient, { x, dy }, options)]);
  }
});

const row = (values: readonly number[]) => tensor([1, 1, 1, values.length], values);

test("of equal maxima the first takes the gradient, of NaN the last, as in PyTorch", async () => {
  const inf = Infinity;
  const cases: [x: number[], dx: number[]][] = [
    [
      [2, 2, 2],
      [7, 0, 0],
    ],
    [
      [1, 2, 2],
      [0, 7, 0],
    ],
    [
      [-0, 0, -0],
      [7, 0, 0],
    ],
    [
      [-inf, -inf, -inf],
      [7, 0, 0],
    ],
    [
      [-inf, -1, inf],
      [0, 0, 7],
    ],
    [
      [NaN, 1, inf],
      [7, 0, 0],
    ],
    [
      [1, NaN, inf],
      [0, 7, 0],
    ],
    [
      [NaN, NaN, 3],
      [0, 7, 0],
    ],
    [
      [NaN, 1, NaN],
      [0, 0, 7],
    ],
  ];
  for (const [x, dx] of cases) {
    sameBits(await gpu.eager(maxPool2dGradient, row(x), row([7]), { kernel: [1, 3] }), row(dx), `${x}`);
  }
  // Row by row, in two dimensions.
  const x = tensor([1, 1, 2, 2], [1, 5, 5, 5]);
  const dx = await gpu.eager(maxPool2dGradient, x, tensor([1, 1, 1, 1], [7]), { kernel: 2 });
  sameBits(dx, tensor([1, 1, 2, 2], [0, 7, 0, 0]));
});

test("a maximum takes the gradients of all windows that have it; padding takes none", async () => {
  const options = { kernel: [1, 3], stride: 1, padding: [0, 1] } as const;
  const dx = await gpu.eager(maxPool2dGradient, row([-3, 9, -1, -2, -2]), row([1, 10, 100, 1000, 10000]), options);
  sameBits(dx, row([0, 111, 1000, 10000, 0]));
});

test("a window that sees padding alone gives its gradient to nobody", async () => {
  const options = { kernel: 2, dilation: 2, padding: 1 };
  const dx = await gpu.eager(maxPool2dGradient, tensor([1, 1, 1, 1], [5]), tensor([1, 1, 1, 1], [3]), options);
  sameBits(dx, tensor([1, 1, 1, 1], [0]));
});

test("what does not fit is refused", async () => {
  const x = [2, 3, 6, 7];
  const refusesShape = (shapes: number[][], options: object, message: RegExp) =>
    refuses(() => apply(maxPool2dGradient, shapes, options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(maxPool2dGradient, [x, [2, 3, 3, 3]], options), UsageError, "USAGE", message);

  await refusesShape([[6, 7], x], { kernel: 2 }, /maxpool2d_gradient takes images of shape .*, got \[6, 7\]/);
  const unlike = /maxpool2d_gradient: dy is \[2, 3, 3, 3\]; it must be \[2, 3, 3, 4\]/;
  await refusesShape([x, [2, 3, 3, 3]], { kernel: 2, ceilMode: true }, unlike);
  await refusesShape([x, x], { kernel: [7, 2] }, /maxpool2d_gradient: a 7x2 window does not fit x \[2, 3, 6, 7\]/);
  await refusesShape([x, x], { kernel: 3, padding: 2 }, /padding 2 is more than half of the window of 3/);
  await refusesUse({}, /maxpool2d_gradient needs the option "kernel"/);
  await refusesUse({ kernel: 0 }, /maxpool2d_gradient: kernel is 0; it must be an integer of at least 1/);
  await refusesUse({ kernel: 2, size: 6 }, /no option "size"; its options are kernel, stride, padding, dilation, /);
});

test.run();
