import { test } from "uvu";
import { ShapeError } from "../../../engine/ground/errors.ts";
import { type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import { normalizeGradient } from "../../../kernels/norm/normalize_gradient.ts";
import {
  apply,
  assertClose,
  checkKernel,
  nonFiniteTensor,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  ulps,
} from "../../harness.ts";

const gpu = await open();

/** By the lengths of the rows of dy and x. */
async function check(x: Tensor, eps: number): Promise<void> {
  const size = x.shape[x.shape.length - 1];
  const dy = randomTensor(x.shape);
  const scale = x.shape.length > 1 ? pick(undefined, randomTensor([x.shape.at(-2) as number, 1])) : undefined;
  const bounds = Array.from({ length: x.data.length / size }, (_, row) => {
    const lengthOf = ({ data }: Tensor) => Math.hypot(...data.subarray(row * size, (row + 1) * size));
    const factor = Math.abs(scale?.data[row % scale.data.length] ?? 1);
    return (2 ** -24 * 32 * factor * lengthOf(dy)) / Math.max(lengthOf(x), eps);
  });
  const bound = (_want: number, index: number) => bounds[Math.floor(index / size)];
  await checkKernel(gpu, normalizeGradient, { dy, x, scale }, { eps }, bound);
}

test("random tensors, with and without factors, of rows that are all longer or all shorter than eps", async () => {
  for (let i = 0; i < rounds(40, 12); i++)
    await check(randomTensor(randomShape(1, 5), pick(1e-3, 1, 1e4)), pick(1e-12, 1e6));
});

test("rows of every length", async () => {
  for (const size of [1, 2, 32, 63, 64, 65, 769]) await check(randomTensor([pick(1, 3, 131), size]), 1e-12);
});

test("a row longer than eps has a gradient across it alone, a shorter one is divided by eps", async () => {
  const x = tensor([3, 2], [3, 4, 0.03, -0.04, 0, 0]);
  const dy = tensor([3, 2], [5, 0, 1, 2, 3, 4]);
  const y = await gpu.eager(normalizeGradient, dy, x, { eps: 0.5 });
  assertClose(y, { shape: [3, 2], data: Float64Array.of(0.64, -0.48, 2, 4, 6, 8) }, ulps(16));
});

test("NaN and infinity spoil their rows, and no others", () => check(nonFiniteTensor([40, 20]), 1e-12));

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: number[][], message: RegExp) =>
    refuses(() => apply(normalizeGradient, shapes), ShapeError, "SHAPE", message);
  await refusesShape([[2], [2, 3]], /normalize_gradient: dy is \[2\]; it must be \[2, 3\]/);
  await refusesShape([[2, 3], [2, 3], [2]], /normalize takes .* got \[2, 3\] and a scale of \[2\]/);
});

test.run();
