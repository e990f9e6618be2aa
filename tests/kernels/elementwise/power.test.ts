import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { power } from "../../../kernels/elementwise/power.ts";
import {
  apply,
  checkKernel,
  checkRow,
  magnitudes,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  rounds,
} from "../../harness.ts";

const gpu = await open();

test("random tensors, each to a power that nets have", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const x = randomTensor(randomShape(1), pick(0.4, 2, 8));
    // Neither is at its best by zero, where what is computed by logarithms is not either.
    x.data.forEach((v, at) => {
      x.data[at] = v + (v < 0 ? -0.01 : 0.01);
    });
    for (const exponent of [2, 3, -1, 5])
      await checkKernel(gpu, power, { x }, { exponent }, (want) => 1e-5 * Math.abs(want));
    for (const exponent of [0.5, 1.5, -0.5]) {
      await checkKernel(gpu, power, magnitudes({ x }), { exponent }, (want) => 1e-5 * Math.abs(want));
    }
  }
});

test("squares, roots and inverses are exact where they can be", async () => {
  await checkRow(gpu, power, [-3, 0, 5], [9, 0, 25]);
  await checkRow(gpu, power, [4, 0, 9], [2, 0, 3], { exponent: 0.5 });
  await checkRow(gpu, power, [-2, 4], [-0.5, 0.25], { exponent: -1 });
});

test("its exponent is a number", () =>
  refuses(
    () => apply(power, [[3]], { exponent: "2" }),
    UsageError,
    "USAGE",
    /power: exponent is "2"; it must be a number/,
  ));

test.run();
