import { test } from "uvu";
import * as assert from "uvu/assert";
import { Graph } from "../engine/graph.ts";
import { pack, unpack } from "../engine/half.ts";
import { defineKernel, evaluateReference } from "../engine/kernel.ts";
import { compile } from "../engine/net.ts";
import { makePlan } from "../engine/plan.ts";
import { Executable, ParamStore } from "../engine/runtime.ts";
import type { Shape, Tensor } from "../engine/tensor.ts";
import { arraysCheckpoint } from "../engine/weights.ts";
import { conv2dMatrix } from "../kernels/conv2d_matrix.ts";
import { variants } from "../kernels/variants.ts";
import { convLayer } from "../nets/layers.ts";
import { int, open, pick, random, randomTensor } from "./harness.ts";

const gpu = await open();

/** What a subgroup does with matrices, done by every thread on its own: for adapters without matrix units. */
const EMULATION = `
alias Left = array<f32, 256>;
alias Right = array<f32, 256>;
alias Result = array<f32, 256>;
fn load_inputs(at: u32, stride: u32) -> Left {
  var m: Left;
  for (var i = 0u; i < 256 + params.pixels * 0; i++) { m[i] = f32(inputs[at + i / 16 * stride + i % 16]); }
  return m;
}
fn load_weights(at: u32, stride: u32) -> Right {
  var m: Right;
  for (var i = 0u; i < 256 + params.pixels * 0; i++) { m[i] = f32(weights[at + i / 16 * stride + i % 16]); }
  return m;
}
fn multiply(a: Left, b: Right, sum: Result) -> Result {
  var m = sum;
  var left = a;
  var right = b;
  for (var i = 0u; i < 256 + params.pixels * 0; i++) {
    for (var k = 0u; k < 16 + params.pixels * 0; k++) { m[i] += left[i / 16 * 16 + k] * right[k * 16 + i % 16]; }
  }
  return m;
}
fn store_results(at: u32, m: Result, stride: u32) {
  var values = m;
  for (var i = 0u; i < 256 + params.pixels * 0; i++) { results[at + i / 16 * stride + i % 16] = values[i]; }
}
`;

/** The kernel's source with calls of the emulation in place of those of the extension. */
const emulated = `${conv2dMatrix.wgsl
  .replace("enable chromium_experimental_subgroup_matrix;", "")
  .replace(/diagnostic\(.*\);/, "")
  .replace(/^alias (Left|Right|Result) *=.*$/gm, "")
  .replace(/subgroupMatrixLoad<\w+, *row_major>\(&(\w+), */g, "load_$1(")
  .replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply(")
  .replace(/subgroupMatrixStore<row_major>\(&results, */g, "store_results(")}${EMULATION}`;

/** Rounded to what f16 holds. */
const halved = ({ shape, data }: Tensor): Tensor => {
  const halves = pack(data, "f16");
  return { shape, data: unpack(halves.buffer as ArrayBuffer, "f16", data.length) };
};

const skip = gpu.traits.f16 ? undefined : "the adapter has no f16";

for (let i = 0; i < 3; i++) {
  test(`random convolution ${i} with the matrices emulated${skip ? `: skipped, ${skip}` : ""}`, async () => {
    if (skip) return;
    const [channels, outChannels] = [4 * int(1, 12), 4 * int(1, 20)];
    const kernelSize = [int(1, 3), int(1, 3)];
    const size = [int(5, 9), int(5, 9)];
    const dilation = pick([1, 1], [1, 1], [2, 2]);
    const options = {
      subgroup: 32,
      stride: [int(1, 2), int(1, 2)],
      dilation,
      padding: [1, 1, 0, 1],
      relu: random() < 0.5,
    };
    const inputs = {
      x: halved(randomTensor([int(1, 2), ...size, channels])),
      w: halved(randomTensor([...kernelSize, channels, outChannels])),
      b: halved(randomTensor([outChannels])),
    };
    const kernel = defineKernel({ ...conv2dMatrix, name: "conv2d_matrix", wgsl: emulated } as never);
    const graph = new Graph();
    const shapeOf = (name: keyof typeof inputs): Shape => inputs[name].shape;
    const y = kernel(
      graph.input("x", shapeOf("x")),
      graph.param("w", shapeOf("w")),
      graph.param("b", shapeOf("b")),
      options as never,
    );
    graph.name("y", y);
    const store = new ParamStore(gpu, arraysCheckpoint({ w: inputs.w, b: inputs.b }));
    const executable = await Executable.create(gpu, makePlan(graph, ["y"], gpu.limits, "f16"), store);
    const got = (await executable.run({ x: inputs.x.data })).y;
    executable.dispose();
    store.dispose();
    const want = evaluateReference(conv2dMatrix, inputs, options);
    assert.equal(got.shape, want.shape);
    want.data.forEach((value, k) => {
      // The output is rounded to f16, the sums to f32.
      assert.ok(
        Math.abs(got.data[k] - value) <= 2 ** -11 * Math.abs(value) + 1e-4,
        `y[${k}]: ${got.data[k]}, ${value}`,
      );
    });
  });
}

test("nets of dtype f16 take it on devices with matrices, and only there", () => {
  const graph = new Graph();
  graph.name("y", convLayer("a", graph.input("x", [1, 64, 28, 28]), 64, 3, { padding: 1 }));
  const kernels = (matrices: boolean, dtype: "f32" | "f16") => {
    const traits = { subgroupSize: 32, software: false, maxBinding: 2 ** 27, f16: true, matrices };
    return compile(graph, ["y"], { traits, variants, limits: gpu.limits }, { dtype }).steps.map(({ kernel }) => kernel);
  };
  assert.ok(kernels(true, "f16").includes("conv2d_matrix"));
  assert.not.ok(kernels(true, "f32").includes("conv2d_matrix"));
  assert.not.ok(kernels(false, "f16").includes("conv2d_matrix"));
});

test.run();
