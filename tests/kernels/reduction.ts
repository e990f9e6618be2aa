import { test } from "uvu";
import type { Gpu } from "../../engine/gpu.ts";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import type { mean } from "../../kernels/mean.ts";
import type { sum } from "../../kernels/sum.ts";
import {
  apply,
  checkKernel,
  int,
  nonFiniteTensor,
  pick,
  random,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  testVariants,
} from "../harness.ts";

/** What holds for the kernels that reduce the dimensions `dims`. */
export function testReduction(gpu: Gpu, kernel: typeof mean | typeof sum): void {
  const { name } = kernel;

  test("random calls over any dimensions", async () => {
    for (let i = 0; i < rounds(40); i++) {
      const shape = randomShape(1);
      const all = shape.map((_, d) => pick(d, d - shape.length));
      const dims = [pick(...all), ...all.filter(() => random() < 0.4)];
      await checkKernel(gpu, kernel, { x: randomTensor(shape) }, { dims, keepDim: pick(false, true) });
    }
  });

  test("random calls of five and six dimensions, of which four are left when neighbours are joined", async () => {
    for (let i = 0; i < rounds(20); i++) {
      const x = randomTensor(randomShape(5, 6).map((size) => Math.min(size, 5)));
      const dims = pick([0, 1], [2, 3], [-1], [-3, -2, -1], [0, -1], [1, 2, -1], [2, 3, 0, 1, 4]);
      await checkKernel(gpu, kernel, { x }, { dims, keepDim: pick(false, true) });
    }
  });

  test("NaN and infinity reach the results that see them, and no others", () =>
    checkKernel(gpu, kernel, { x: nonFiniteTensor([int(1, 9), 4, 4]) }, { dims: [-1] }));

  test("random calls of images of whole vec4s of channels", async () => {
    for (let i = 0; i < rounds(20); i++) {
      const x = randomTensor([int(1, 3), 4 * int(1, 4), int(1, 6), int(1, 6)]);
      // One that the variant takes is among them in every run.
      const dims = i === 0 ? [2, 3] : pick([2, 3], [-1, 2], [1], [0], [3], [1, 2, 3]);
      await checkKernel(gpu, kernel, { x }, { dims, keepDim: pick(false, true) });
    }
  });

  test("what does not fit is refused", async () => {
    const refusesUse = (options: object, message: RegExp) =>
      refuses(() => apply(kernel, [[2, 3]], options), UsageError, "USAGE", message);
    await refusesUse({}, new RegExp(`${name} needs the option "dims"`));
    await refusesUse({ dims: [] }, new RegExp(`${name}: dims is .*; it must be a list of at least one dimension`));
    await refusesUse({ dims: 1 }, new RegExp(`${name}: dims is .*; it must be a list of at least one dimension`));
    await refusesUse(
      { dims: [2] },
      new RegExp(`${name}: dims is 2; it must be from -2 to 1, since there are 2 dimensions`),
    );
    await refusesUse({ dim: 1 }, new RegExp(`${name} has no option "dim"; its options are dims, keepDim`));
    const deep = () => apply(kernel, [[2, 3, 2, 3, 2]], { dims: [1, 3] });
    const five = new RegExp(
      `${name} takes up to 4 dimensions, and \\[2, 3, 2, 3, 2\\] has 5 none of which can be joined here`,
    );
    await refuses(deep, ShapeError, "SHAPE", five);
  });

  testVariants(gpu, kernel);
}
