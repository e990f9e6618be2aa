import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { lrn } from "../../../kernels/norm/lrn.ts";
import {
  apply,
  checkKernel,
  int,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  testGoldens,
  testVariants,
  ulps,
} from "../../harness.ts";

const gpu = await open();

test("random normalizations of odd and even size, also larger than the channels are many", async () => {
  for (let i = 0; i < rounds(40); i++) {
    // Also images of whole vec4s, for the variant.
    const [channels, image] = i % 4 ? [int(1, 12), randomShape(1, 2)] : [4 * int(1, 3), randomShape(2, 2)];
    const x = randomTensor([pick(1, 3, 5), channels, ...image], pick(0.1, 1, 20));
    const options = { size: int(1, 9), alpha: pick(1e-4, 0.1, 1, 4), beta: pick(0.5, 0.75, 1), k: pick(1, 2) };
    await checkKernel(gpu, lrn, { x }, options, ulps(32));
  }
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(lrn, [[1, 2, 3]], options), UsageError, "USAGE", message);
  await refusesUse({ n: 5 }, /lrn has no option "n"; its options are size, alpha, beta, k/);
  await refusesUse({ size: 0 }, /lrn: size is 0; it must be a positive integer/);
  await refusesUse({ size: 2.5 }, /lrn: size is 2.5/);
  await refusesUse({ alpha: Infinity }, /lrn: alpha is Infinity; it must be a number/);
  await refuses(() => apply(lrn, [[2, 3]]), ShapeError, "SHAPE", /lrn takes \[N, C, \.\.\.\] of three.*, got \[2, 3\]/);
});

testVariants(gpu, lrn);
await testGoldens(gpu, "local_response_norm");
test.run();
