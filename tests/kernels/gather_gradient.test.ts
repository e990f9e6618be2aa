import { test } from "uvu";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { sizeOf, type Tensor, tensor } from "../../engine/ground/tensor.ts";
import { gatherGradient } from "../../kernels/gather_gradient.ts";
import { evaluateReference } from "../../kernels/references.ts";
import { apply, checkKernel, int, open, randomShape, randomTensor, refuses, rounds, sameBits } from "../harness.ts";

const gpu = await open();

/** Places from both ends. */
const draw = (shape: readonly number[], size: number) =>
  tensor(
    shape,
    Array.from({ length: sizeOf(shape) }, () => int(-size, size - 1)),
  );

/** Sums in two levels of the threads of a workgroup. */
function check(indices: Tensor, dy: Tensor, options: { size: number; dim?: number }): Promise<void> {
  const { data } = evaluateReference(gatherGradient, { indices, dy: { ...dy, data: dy.data.map(Math.abs) } }, options);
  const terms = Math.ceil(sizeOf(indices.shape) / 64) + 6;
  return checkKernel(gpu, gatherGradient, { indices, dy }, options, (_want, i) => terms * 2 ** -24 * data[i]);
}

test("random selections along any dimension", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const [before, after] = [randomShape(0, 2), randomShape(0, 2)];
    const size = int(1, 9);
    const indices = draw(randomShape(0, 2), size);
    const dy = randomTensor([...before, ...indices.shape, ...after]);
    const dim = i % 2 ? before.length : -1 - after.length;
    await check(indices, dy, { size, dim });
  }
});

test("a table of relative positions, whose places are named thousands of times", () =>
  check(draw([49 * 49], 5), randomTensor([49 * 49, 3]), { size: 5 }));

test("places that are not there take nothing", async () => {
  const indices = tensor([8], [0, 3, -4, NaN, Infinity, -Infinity, 1e30, -1]);
  const dy = tensor([8], [1, NaN, NaN, NaN, NaN, NaN, NaN, 2]);
  sameBits(await gpu.eager(gatherGradient, indices, dy, { size: 3 }), tensor([3], [1, 0, 2]));
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(gatherGradient, [[4], [2, 4]], options), UsageError, "USAGE", message);
  await refusesUse({}, /gather_gradient needs the option "size"/);
  await refusesUse({ size: 0 }, /gather_gradient: size is 0; it must be a positive integer/);
  await refusesUse({ size: 3, dim: 2 }, /gather_gradient: dim is 2; it must be from -2 to 1, since there are 2 dim/);
  const unlike = () => apply(gatherGradient, [[4], [2, 4]], { size: 3 });
  const wanted = /gather_gradient: dy is \[2, 4\]; from dimension 0 on it must be \[4\] like indices/;
  await refuses(unlike, ShapeError, "SHAPE", wanted);
});

test.run();
