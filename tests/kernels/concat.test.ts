import { test } from "uvu";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import { concat } from "../../kernels/concat.ts";
import { evaluateReference } from "../../kernels/references.ts";
import {
  apply,
  checkBits,
  int,
  type Operator,
  open,
  randomShape,
  refuses,
  rounds,
  sameBits,
  specialTensor,
  testGoldens,
  testVariants,
} from "../harness.ts";

const gpu = await open();

test("40 times one to twelve tensors along any dimension, on bits", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const shape = randomShape(1);
    const dim = int(-shape.length, shape.length - 1);
    const draw = () => specialTensor(shape.with(dim, int(1, 9)));
    const inputs: Record<string, Tensor> = {};
    for (let n = int(1, 12), j = 0; j < n; j++) inputs[`x${j}`] = draw();
    await checkBits(gpu, concat, inputs, { dim });
  }
});

test("a tensor can be joined with itself", async () => {
  const x = specialTensor([2, 3]);
  const y = await gpu.eager(((v) => concat(v, v)) as Operator, x);
  sameBits(y, evaluateReference(concat, { x0: x, x1: x }));
});

test("10 times images of whole vec4s of channels, on bits", async () => {
  for (let i = 0; i < 10; i++) {
    const [dim, shape] = [int(0, 3), [int(1, 3), 4 * int(1, 4), int(1, 5), int(1, 5)]];
    const draw = () => specialTensor(shape.with(dim, dim === 1 ? 4 * int(1, 4) : int(1, 5)));
    await checkBits(gpu, concat, { x0: draw(), x1: draw(), x2: draw() }, { dim });
  }
});

test("what does not fit is refused", async () => {
  const refusesShape = (a: number[], b: number[], message: RegExp) =>
    refuses(() => apply(concat, [a, b]), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(concat, [[2, 3]], options), UsageError, "USAGE", message);
  await refusesShape([2, 3, 4], [2, 3, 5], /concat: \[2, 3, 4\] and \[2, 3, 5\] differ in more than dimension 1/);
  await refusesShape([2, 3, 4], [2, 3], /concat: \[2, 3, 4\] and \[2, 3\] differ in more than dimension 1/);
  await refusesUse({ dim: 2 }, /concat: dim is 2; it must be from -2 to 1, since there are 2 dimensions/);
  await refusesUse({ axis: 1 }, /concat has no option "axis"; its options are dim/);
  await refuses(() => apply(concat, []), UsageError, "USAGE", /concat needs a value of a graph/);
});

testVariants(gpu, concat);

await testGoldens(gpu, "concat");
test.run();
