import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { lrn } from "../../../kernels/norm/lrn.ts";
import { lrnGradient } from "../../../kernels/norm/lrn_gradient.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import {
  apply,
  checkKernel,
  int,
  magnitudes,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  rounds,
} from "../../harness.ts";

const gpu = await open();

test("random gradients of odd and even size, also larger than the channels are many", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const shape = [pick(1, 3, 5), int(1, 12), ...randomShape(1, 2)];
    const inputs = { dy: randomTensor(shape), x: randomTensor(shape, pick(0.1, 1, 20)) };
    const options = { size: int(1, 9), alpha: pick(1e-4, 0.1, 1, 4), beta: pick(0.5, 0.75, 1), k: pick(1, 2) };
    // The gradient is a difference of two terms, which are positive with such inputs: the bound is by their sum.
    const dy = magnitudes(inputs).dy;
    const x = { shape, data: inputs.x.data.map((v) => Math.abs(v) + 1e-6) };
    const y = evaluateReference(lrn, { x }, options).data;
    const difference = evaluateReference(lrnGradient, { dy, x }, options).data;
    const sums = difference.map((v, j) => (2 * dy.data[j] * y[j]) / x.data[j] - v);
    await checkKernel(gpu, lrnGradient, inputs, options, (_want, j) => 2 ** -24 * 96 * sums[j]);
  }
});

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: number[][], message: RegExp) =>
    refuses(() => apply(lrnGradient, shapes), ShapeError, "SHAPE", message);
  await refusesShape(
    [
      [1, 2, 3],
      [1, 3, 2],
    ],
    /lrn_gradient: dy is \[1, 2, 3\]; it must be \[1, 3, 2\]/,
  );
  const odd = () =>
    apply(
      lrnGradient,
      [
        [1, 2, 3],
        [1, 2, 3],
      ],
      { size: 0 },
    );
  await refuses(odd, UsageError, "USAGE", /lrn: size is 0; it must be a positive integer/);
});

test.run();
