import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import { batchNorm } from "../../../kernels/norm/batchnorm.ts";
import {
  apply,
  checkKernel,
  int,
  magnitudes,
  nonFiniteTensor,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  sumBound,
  testGoldens,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

async function check(x: Tensor, eps: number): Promise<void> {
  const perChannel = () => randomTensor([x.shape[1]]);
  const inputs = {
    x,
    mean: perChannel(),
    ...magnitudes({ variance: perChannel() }),
    weight: pick(undefined, perChannel()),
    bias: pick(undefined, perChannel()),
  };
  // The mean is subtracted.
  const { mean, ...positive } = magnitudes(inputs);
  const negative = { ...mean, data: mean.data.map((v) => -v) };
  await checkKernel(gpu, batchNorm, inputs, { eps }, sumBound(batchNorm, { ...positive, mean: negative }, { eps }, 16));
}

test("random normalizations, with and without weight and bias", async () => {
  for (let i = 0; i < rounds(40); i++) {
    // Also images of whole vec4s, for the variant.
    const [channels, image] = i % 4 ? [int(1, 9), randomShape(0, 2)] : [4 * int(1, 3), randomShape(2, 2)];
    await check(randomTensor([pick(1, 3, 5), channels, ...image]), pick(1e-5, 0.1, 1));
  }
});

test("NaN and infinity stay where they are", () => check(nonFiniteTensor([3, 5, 4, 4]), 1e-5));

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: (number[] | undefined)[], message: RegExp) =>
    refuses(() => apply(batchNorm, shapes), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(batchNorm, [[1, 2, 3], [2], [2]], options), UsageError, "USAGE", message);

  await refusesShape([[3], [3], [3]], /batchnorm takes \[N, C, \.\.\.\], got \[3\]/);
  await refusesShape([[1, 2, 3], [3], [2]], /batchnorm: mean is \[3\]; x \[1, 2, 3\] wants \[2\]/);
  await refusesShape([[1, 2, 3], [2], [2, 1]], /batchnorm: variance is \[2, 1\]/);
  await refusesShape([[1, 2, 3], [2], [2], [1]], /batchnorm: weight is \[1\]/);
  await refusesShape([[1, 2, 3], [2], [2], undefined, [4]], /batchnorm: bias is \[4\]/);
  await refusesUse({ epsilon: 1 }, /batchnorm has no option "epsilon"; its options are eps/);
  await refusesUse({ eps: -1 }, /batchnorm: eps is -1; it must be 0 or more/);
  await refusesUse({ eps: NaN }, /batchnorm: eps is NaN/);
  const half = () => apply(batchNorm, [[1, 2, 3], [2]]);
  await refuses(half, UsageError, "USAGE", /batchnorm needs its input variance/);
});

testVariants(gpu, batchNorm);
await testGoldens(gpu, "batch_norm", "conv_bn_act");
test.run();
