// Random calls of the kernels that compute a tile: its convolution and its matrix products.
import * as assert from "uvu/assert";
import { F16 } from "../../../engine/device/f16.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import { type AnyKernel, defineKernel } from "../../../engine/graph/kernel.ts";
import { makePlan } from "../../../engine/graph/plan.ts";
import type { Dtype } from "../../../engine/ground/options.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import type { TileKernels } from "../../../kernels/conv2d/conv2d_tile.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import { drawnActivations, int, magnitudes, pick, randomTensor, runPlan, sumBound } from "../../harness.ts";

export const OPERATORS = ["conv2d", "matmul"];

/** Rounded to what f16 holds. */
const halved = ({ shape, data }: Tensor): Tensor => {
  return { shape, data: F16.unpack(F16.pack(data).buffer as ArrayBuffer, data.length) };
};

/** One of the two kernels, and its inputs, which are stored as `dtype`. */
function drawCall(gpu: Gpu, { conv2d, matmul }: TileKernels, operator: string, dtype: Dtype) {
  const random = (...shape: number[]) => (dtype === "f16" ? halved(randomTensor(shape)) : randomTensor(shape));
  const [batch, channels, outChannels] = [int(1, 3), 4 * int(1, 12), 4 * int(1, 40)];
  if (operator === "matmul") {
    const inputs = { x: random(batch, int(1, 150), channels), w: random(batch, channels, outChannels) };
    return { kernel: matmul as AnyKernel, inputs, options: {} };
  }
  const inputs = {
    x: random(batch, int(5, 14), int(5, 14), channels),
    w: random(int(1, 3), int(1, 3), channels, outChannels),
    b: random(outChannels),
  };
  const options = {
    stride: [int(1, 2), int(1, 2)],
    dilation: pick([1, 1], [1, 1], [2, 2]),
    padding: [1, 1, 0, 1],
    activation: pick(...drawnActivations(gpu)),
  };
  return { kernel: conv2d as AnyKernel, inputs, options };
}

/**
 * Compares a random call with the reference: the output is rounded to what is stored, sums to float32. `edit` changes the
 * source; `k` is that of sumBound(), where products are rounded, too.
 */
export async function checkTile(
  gpu: Gpu,
  tile: TileKernels,
  operator: string,
  dtype: Dtype,
  { edit = (wgsl: string) => wgsl, k = 0 } = {},
): Promise<void> {
  const { kernel: plain, inputs, options } = drawCall(gpu, tile, operator, dtype);
  const kernel = defineKernel({ ...plain, wgsl: edit(plain.wgsl) });
  const graph = new Graph();
  const { x, ...params } = inputs;
  const values = Object.entries(params).map(([name, { shape }]) => graph.param(name, shape));
  graph.name("y", kernel(graph.input("x", x.shape), ...values, options as never));
  const { y: got } = await runPlan(gpu, makePlan(graph, ["y"], gpu.limits, dtype), inputs);
  const want = evaluateReference(plain, inputs, options);
  assert.equal(got.shape, want.shape);
  const rounding = sumBound(plain, magnitudes(inputs), options, k);
  want.data.forEach((value, i) => {
    const bound = (dtype === "f16" ? 2 ** -11 * Math.abs(value) : 0) + rounding(value, i) + 1e-4;
    assert.ok(Math.abs(got.data[i] - value) <= bound, `y[${i}]: ${got.data[i]}, ${value}`);
  });
}
