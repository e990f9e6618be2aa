import { test } from "uvu";
import { tensor } from "../../../engine/ground/tensor.ts";
import { squares } from "../../../kernels/training/squares.ts";
import { checkKernel, open, randomShape, randomTensor, rounds, sameBits, ulps } from "../../harness.ts";

const gpu = await open();

/** A thread adds up to 256 squares, and six pairs of sums follow. */
const tolerance = ulps(256);

test("random tensors of whole vec4s", async () => {
  for (let i = 0; i < rounds(20); i++)
    await checkKernel(gpu, squares, { x: randomTensor([...randomShape(0, 3), 4]) }, {}, tolerance);
});

test("a part more where the last is full", async () => {
  for (const size of [16380, 16384, 16388, 3 * 16384 + 4]) {
    await checkKernel(gpu, squares, { x: randomTensor([size]) }, {}, tolerance);
  }
});

test("what is not finite, or whose square is not, shows in its part, and in no other", async () => {
  for (const value of [NaN, Infinity, -Infinity, -1e20]) {
    const x = new Float32Array(3 * 16384);
    x[16384 + 100] = value;
    sameBits(await gpu.eager(squares, tensor([3, 16384], x)), tensor([3], [0, value * value > 0 ? Infinity : NaN, 0]));
  }
});

test.run();
