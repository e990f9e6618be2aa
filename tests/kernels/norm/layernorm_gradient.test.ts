import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { type Shape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import { layerNormGradient } from "../../../kernels/norm/layernorm_gradient.ts";
import {
  apply,
  checkKernel,
  nonFiniteTensor,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  type Tolerance,
} from "../../harness.ts";

const gpu = await open();

/** What is lost of x by taking its mean off, and what sums round, by the deviation of the row. */
function bound({ data }: Tensor, size: number, eps: number, largestDy: number): Tolerance {
  const rows = Array.from({ length: data.length / size }, (_, r) => {
    const row = Float64Array.from(data.subarray(r * size, (r + 1) * size));
    const mean = row.reduce((sum, v) => sum + v, 0) / size;
    const deviation = Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / size + eps);
    return { mean, deviation, largest: row.reduce((most, v) => Math.max(most, Math.abs(v)), 0) };
  });
  return (_want, index) => {
    const { mean, deviation, largest } = rows[Math.floor(index / size)];
    const normal = Math.abs(data[index] - mean) / deviation;
    const error = (1 + normal) * ((4 * largest) / deviation + 16 * (1 + normal));
    return (2 ** -24 * (16 + error) * largestDy) / deviation;
  };
}

async function check(x: Tensor, normalizedShape: Shape): Promise<void> {
  const dy = randomTensor(x.shape);
  const weight = pick(undefined, randomTensor(normalizedShape));
  const eps = pick(1e-5, 1e-3, 1);
  const options = weight ? { eps } : { normalizedShape, eps };
  await checkKernel(gpu, layerNormGradient, { dy, x, weight }, options, bound(x, sizeOf(normalizedShape), eps, 1));
}

test("random gradients over the last dimensions, with and without weight", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const last = randomShape(1, 3);
    await check(randomTensor([...randomShape(0, 2), ...last], pick(0.01, 1, 30)), last);
  }
});

test("rows of every length", async () => {
  for (const size of [1, 2, 63, 64, 65, 96, 769, 3000]) await check(randomTensor([pick(1, 3, 131), size]), [size]);
});

test("values far from zero keep their differences", async () => {
  const x = randomTensor([5, 300]);
  await check({ ...x, data: x.data.map((v) => v + 1000) }, [300]);
});

test("NaN and infinity spoil their rows, and no others", () => check(nonFiniteTensor([40, 20]), [20]));

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: number[][], message: RegExp) =>
    refuses(() => apply(layerNormGradient, shapes), ShapeError, "SHAPE", message);
  await refusesShape([[2], [2, 3]], /layernorm_gradient: dy is \[2\]; it must be \[2, 3\]/);
  await refusesShape([[2, 3], [2, 3], [2]], /layernorm: the normalized shape is \[2\]; it must be the last dimensions/);
  const odd = () =>
    apply(
      layerNormGradient,
      [
        [2, 3],
        [2, 3],
      ],
      { eps: -1 },
    );
  await refuses(odd, UsageError, "USAGE", /layernorm: eps is -1; it must be 0 or more/);
});

test.run();
