import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { type Shape, tensor } from "../../engine/ground/tensor.ts";
import { softmaxGradient } from "../../kernels/softmax_gradient.ts";
import { apply, checkKernel, int, open, pick, randomShape, randomTensor, refuses, rounds } from "../harness.ts";

const gpu = await open();

/** Of a softmax, which need not be one, and of its logarithm. */
async function check(shape: Shape, dim: number): Promise<void> {
  const dy = randomTensor(shape, pick(1e-3, 1, 30));
  const largest = dy.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const terms = shape.at(dim) as number;
  const p = tensor(
    shape,
    randomTensor(shape).data.map((v) => Math.abs(v) / terms),
  );
  const bound = 2 ** -24 * 16 * largest;
  await checkKernel(gpu, softmaxGradient, { p, dy }, { dim }, (_want, i) => p.data[i] * bound);
  const logs = tensor(shape, p.data.map(Math.log));
  const options = { dim, log: true };
  await checkKernel(gpu, softmaxGradient, { p: logs, dy }, options, (_want, i) => (1 + p.data[i] * terms * 4) * bound);
}

test("random tensors along any dimension", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const shape = randomShape(1, 5);
    await check(shape, int(-shape.length, shape.length - 1));
  }
});

test("rows of every length", async () => {
  for (const length of [1, 63, 64, 65, 1000, 4096]) await check([pick(1, 3, 5), length], -1);
});

test("what has no probability has no gradient of it", async () => {
  const { data } = await gpu.eager(softmaxGradient, tensor([3], [0, 1, 0]), tensor([3], [1, 2, 3]));
  assert.equal([...data].map(Math.abs), [0, 0, 0]);
  const logs = tensor([3], [-Infinity, 0, -Infinity]);
  const log = await gpu.eager(softmaxGradient, logs, tensor([3], [1, 2, 3]), { log: true });
  assert.equal([...log.data], [1, -4, 3]);
});

test("rows of NaN, which a softmax has none but whole ones of, stay NaN, and others do not become so", async () => {
  for (const log of [false, true]) {
    const p = tensor([2, 2], [NaN, NaN, 0.25, 0.75]);
    const { data } = await gpu.eager(softmaxGradient, p, tensor([2, 2], [1, 2, 3, 4]), { log });
    assert.equal([...data].map(Number.isNaN), [true, true, false, false], `log: ${log}`);
  }
});

test("what does not fit is refused", async () => {
  const odd = () => apply(softmaxGradient, [[2, 3], [3]]);
  await refuses(odd, ShapeError, "SHAPE", /softmax_gradient: dy is \[3\]; it must be \[2, 3\]/);
  const beyond = () => apply(softmaxGradient, [[3], [3]], { dim: 1 });
  await refuses(beyond, UsageError, "USAGE", /softmax: dim is 1; it must be from -1 to 0/);
});

test.run();
