import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { sizeOf, type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import { layerNorm } from "../../../kernels/norm/layernorm.ts";
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
  type Tolerance,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

/** What sums of a row round, and what is lost of x by taking its mean off, by the deviation of the row. */
function bound({ data }: Tensor, size: number, eps: number, weight?: Tensor): Tolerance {
  const rows = Array.from({ length: data.length / size }, (_, r) => {
    const row = Float64Array.from(data.subarray(r * size, (r + 1) * size));
    const mean = row.reduce((sum, v) => sum + v, 0) / size;
    const deviation = Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / size + eps);
    return { mean, deviation, largest: row.reduce((most, v) => Math.max(most, Math.abs(v)), 0) };
  });
  return (want, index) => {
    const { mean, deviation, largest } = rows[Math.floor(index / size)];
    const normal = Math.abs(data[index] - mean) / deviation;
    const error = (4 * largest) / deviation + (size + 8) * (1 + normal);
    return 2 ** -24 * (error * Math.abs(weight?.data[index % size] ?? 1) + Math.abs(want));
  };
}

async function check(x: Tensor, normalizedShape: readonly number[], given: boolean, affine = true): Promise<void> {
  const maybe = () => (affine ? pick(undefined, randomTensor(normalizedShape)) : undefined);
  const inputs = { x, weight: maybe(), bias: maybe() };
  const eps = pick(1e-5, 1e-3, 1);
  const options = given || !(inputs.weight || inputs.bias) ? { normalizedShape, eps } : { eps };
  await checkKernel(gpu, layerNorm, inputs, options, bound(x, sizeOf(normalizedShape), eps, inputs.weight));
}

test("random normalizations over the last dimensions, with and without weight and bias", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const last = randomShape(1, 3);
    await check(randomTensor([...randomShape(0, 2), ...last], pick(0.01, 1, 30)), last, pick(true, false));
  }
});

test("rows of every length, by more workgroups than one", async () => {
  for (const size of [1, 2, 63, 64, 65, 96, 769, 3000])
    await check(randomTensor([pick(1, 3, 131), size]), [size], false);
});

test("values far from zero keep their differences", async () => {
  const x = randomTensor([5, 300]);
  await check({ ...x, data: x.data.map((v) => v + 1000) }, [300], true);
});

test("a row of which half is zeros is as exact as others", async () => {
  const half = randomTensor([1, 1024]).data.map((v) => v + 0.2);
  const x = tensor([1, 2048], [...half, ...new Float32Array(1024)]);
  await checkKernel(gpu, layerNorm, { x }, {}, (want) => 2e-6 * Math.max(1, Math.abs(want)));
});

test("without options it is over the last dimension", async () => {
  const x = randomTensor([2, 3, 7]);
  await checkKernel(gpu, layerNorm, { x }, {}, bound(x, 7, 1e-5));
});

test("NaN and infinity spoil their rows, and no others", () => check(nonFiniteTensor([40, 20]), [20], true, false));

test("a row of one value is its bias", async () => {
  const y = await gpu.eager(layerNorm, tensor([2, 3], [5, 5, 5, 1e6, 1e6, 1e6]), undefined, tensor([3], [1, 2, 3]));
  assertClose(y, { shape: [2, 3], data: Float64Array.of(1, 2, 3, 1, 2, 3) }, () => 0);
});

test("PyTorch gives this", async () => {
  // torch.nn.functional.layer_norm(x, (2, 2), w, b) of torch 2.13
  const x = tensor([2, 2, 2], [1, 2, 3, 5, -1, 0, 0.5, 100]);
  const w = tensor([2, 2], [1, 2, -1, 0.5]);
  const y = await gpu.eager(layerNorm, x, w, tensor([2, 2], [0, 0.5, 1, -1]));
  const data = Float64Array.of(
    -1.183213233947754,
    -0.5141828060150146,
    0.8309695720672607,
    -0.2393629550933838,
    -0.596517026424408,
    -0.6469265222549438,
    1.561936378479004,
    -0.1340416669845581,
  );
  assertClose(y, { shape: [2, 2, 2], data }, () => 2e-6);
});

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: (number[] | undefined)[], options: object, message: RegExp) =>
    refuses(() => apply(layerNorm, shapes, options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(layerNorm, [[2, 3]], options), UsageError, "USAGE", message);
  await refusesShape(
    [[2, 3], [2]],
    {},
    /layernorm: the normalized shape is \[2\]; it must be the last dimensions of x \[2, 3\]/,
  );
  await refusesShape([[2, 3], undefined, [3, 3]], {}, /layernorm: the normalized shape is \[3,3\]/);
  await refusesShape([[2, 3], [3], [2, 3]], {}, /layernorm: bias is \[2, 3\]; it must be \[3\]/);
  await refusesShape([[2, 3], [3]], { normalizedShape: [2, 3] }, /layernorm: weight is \[3\]; it must be \[2, 3\]/);
  await refusesShape([[2, 3]], { normalizedShape: [] }, /layernorm: the normalized shape is \[\];/);
  await refusesShape([[2, 3]], { normalizedShape: 3 }, /layernorm: the normalized shape is 3;/);
  await refusesShape([[]], {}, /layernorm: the normalized shape is \[\];/);
  await refusesUse({ eps: -1 }, /layernorm: eps is -1; it must be 0 or more/);
  await refusesUse({ dim: 1 }, /layernorm has no option "dim"; its options are normalizedShape, eps/);
});

testVariants(gpu, layerNorm);
test.run();
