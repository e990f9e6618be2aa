import { test } from "uvu";
import type { Value } from "../../../engine/graph/value.ts";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import { maxPool2d } from "../../../kernels/pool2d/maxpool2d.ts";
import { gradient, maxPool2dGradient } from "../../../kernels/pool2d/maxpool2d_gradient.ts";
import { maxPool2dIndices } from "../../../kernels/pool2d/maxpool2d_indices.ts";
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
  tiedTensor,
} from "../../harness.ts";

const gpu = await open();

type Options = Partial<typeof maxPool2d.options>;

/** The gradient by x, as training has it. */
const gradientBy = (x: Value, dy: Value, options: Options): Value =>
  (gradient({ inputs: { x }, options: { ...maxPool2d.options, ...options }, y: dy, dy }).x as () => Value)();

/** What is picked, by the reference. */
function indicesOf(x: Tensor, options: Options): Tensor {
  const { shape, data } = evaluateReference(maxPool2dIndices, { x }, options);
  return { shape, data: Float32Array.from(data) };
}

/** A random pooling, of gradients that are added up where windows overlap. */
async function check(draw: (shape: readonly number[]) => Tensor, channels: number): Promise<void> {
  const dilation = pairOf(() => int(1, 3));
  const { x: drawn, options } = drawPool(dilation);
  const shape = drawn.with(1, channels);
  const all = { ...options, dilation };
  const x = draw(shape);
  const dy = randomTensor(apply(maxPool2d, [shape], all).shape);
  const indices = indicesOf(x, all);
  const sized = { ...all, size: [shape[2], shape[3]] as const };
  const positive = { indices, dy: { ...dy, data: dy.data.map(Math.abs) } };
  await checkKernel(gpu, maxPool2dGradient, { indices, dy }, sized, sumBound(maxPool2dGradient, positive, sized, 8));
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
    const indices = indicesOf(x, options);
    const sized = { ...options, size: [shape[2], shape[3]] as const };
    assertAdjoint([y, dy], [x, evaluateReference(maxPool2dGradient, { indices, dy }, sized)]);
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
    sameBits(await gpu.eager(gradientBy, row(x), row([7]), { kernel: [1, 3] }), row(dx), `${x}`);
  }
  // Row by row, in two dimensions.
  const x = tensor([1, 1, 2, 2], [1, 5, 5, 5]);
  const dx = await gpu.eager(gradientBy, x, tensor([1, 1, 1, 1], [7]), { kernel: 2 });
  sameBits(dx, tensor([1, 1, 2, 2], [0, 7, 0, 0]));
});

test("a maximum takes the gradients of all windows that have it; padding takes none", async () => {
  const options = { kernel: [1, 3], stride: 1, padding: [0, 1] } as const;
  const dx = await gpu.eager(gradientBy, row([-3, 9, -1, -2, -2]), row([1, 10, 100, 1000, 10000]), options);
  sameBits(dx, row([0, 111, 1000, 10000, 0]));
});

test("a window that sees padding alone gives its gradient to nobody", async () => {
  const options = { kernel: 2, dilation: 2, padding: 1 };
  const dx = await gpu.eager(gradientBy, tensor([1, 1, 1, 1], [5]), tensor([1, 1, 1, 1], [3]), options);
  sameBits(dx, tensor([1, 1, 1, 1], [0]));
});

test("what does not fit is refused", async () => {
  const y = [2, 3, 3, 3];
  const size = [6, 7];
  const refusesShape = (shapes: number[][], options: object, message: RegExp) =>
    refuses(() => apply(maxPool2dGradient, shapes, options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(maxPool2dGradient, [y, y], options), UsageError, "USAGE", message);
  const unlike = (name: string) => new RegExp(`gradient: ${name} is \\[2, 3, 3, 3\\]; it must be \\[2, 3, 3, 4\\]`);
  await refusesShape([y, [2, 3, 3, 4]], { kernel: 2, ceilMode: true, size }, unlike("indices"));
  await refusesShape([[2, 3, 3, 4], y], { kernel: 2, ceilMode: true, size }, unlike("dy"));
  await refusesShape([y, y], { kernel: 8, size }, /maxpool2d_gradient: a 8x8 window does not fit x \[2, 3, 6, 7\]/);
  await refusesUse({ size }, /maxpool2d_gradient needs the option "kernel"/);
  await refusesUse({ kernel: 2 }, /maxpool2d_gradient needs the option "size"/);
  await refusesUse({ kernel: 0, size }, /maxpool2d_gradient: kernel is 0; it must be an integer of at least 1/);
  await refusesUse({ kernel: 2, size, divisor: 6 }, /no option "divisor"; its options are kernel, stride, padding, /);
});

test.run();
