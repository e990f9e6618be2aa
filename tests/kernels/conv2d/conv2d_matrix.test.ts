import { test } from "uvu";
import * as assert from "uvu/assert";
import { F16 } from "../../../engine/device/f16.ts";
import { compile } from "../../../engine/graph/compile.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import { defineKernel } from "../../../engine/graph/kernel.ts";
import { makePlan } from "../../../engine/graph/plan.ts";
import type { Shape, Tensor } from "../../../engine/ground/tensor.ts";
import { ACTIVATIONS } from "../../../kernels/activation.ts";
import { conv2dMatrices } from "../../../kernels/conv2d/conv2d_matrix.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import { variants } from "../../../kernels/variants.ts";
import { convLayer } from "../../../nets/layers.ts";
import { int, open, pick, randomTensor, runPlan } from "../../harness.ts";

const gpu = await open();

/**
 * What a subgroup of 32 does with matrices, for adapters without matrix units: a matrix that is loaded is where it lies in the
 * workgroup's memory, and of one that is computed every thread holds eight elements.
 */
const EMULATION = `
alias Left = vec2u;
alias Right = vec2u;
alias Result = array<f32, 8>;
var<private> first: u32; // of the elements that this thread holds
fn load(at: u32, stride: u32) -> vec2u { return vec2u(at, stride); }
fn multiply(left: Left, right: Right, sum: Result) -> Result {
  var m = sum;
  for (var i = 0u; i < 8; i++) {
    let cell = vec2u((first + i) / 16, (first + i) % 16);
    for (var k = 0u; k < 16 + params.pixels * 0; k++) {
      m[i] += f32(inputs[left.x + cell.x * left.y + k]) * f32(weights[right.x + k * right.y + cell.y]);
    }
  }
  return m;
}
fn store(at: u32, m: Result, stride: u32) {
  for (var i = 0u; i < 8; i++) { results[at + (first + i) / 16 * stride + (first + i) % 16] = m[i]; }
}
`;

/** The kernel's source with calls of the emulation in place of those of the extension. */
const emulated = `${conv2dMatrices[0].wgsl
  .replace("enable chromium_experimental_subgroup_matrix;", "")
  .replace(/diagnostic\(.*\);/, "")
  .replace(/^alias (Left|Right|Result) *=.*$/gm, "")
  .replace(/let lane *= *thread *% *SUBGROUP;/, "$& first = lane * 8;")
  .replace(/subgroupMatrixLoad<\w+, *row_major>\(&\w+, */g, "load(")
  .replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply(")
  .replace(/subgroupMatrixStore<row_major>\(&results, */g, "store(")}${EMULATION}`;

/** Rounded to what f16 holds. */
const halved = ({ shape, data }: Tensor): Tensor => {
  return { shape, data: F16.unpack(F16.pack(data).buffer as ArrayBuffer, data.length) };
};

const skip = gpu.traits.f16 ? undefined : "the adapter has no f16";

for (const [i, plain] of [...conv2dMatrices, ...conv2dMatrices].entries()) {
  test(`random ${plain.name} ${i} with the matrices emulated${skip ? `: skipped, ${skip}` : ""}`, async () => {
    if (skip) return;
    const [channels, outChannels] = [4 * int(1, 12), 4 * int(1, 40)];
    const kernelSize = [int(1, 3), int(1, 3)];
    const size = [int(5, 14), int(5, 14)];
    const dilation = pick([1, 1], [1, 1], [2, 2]);
    const options = {
      subgroup: 32,
      stride: [int(1, 2), int(1, 2)],
      dilation,
      padding: [1, 1, 0, 1],
      activation: pick(...ACTIVATIONS),
    };
    const inputs = {
      x: halved(randomTensor([int(1, 2), ...size, channels])),
      w: halved(randomTensor([...kernelSize, channels, outChannels])),
      b: halved(randomTensor([outChannels])),
    };
    const kernel = defineKernel({ ...plain, wgsl: emulated });
    const graph = new Graph();
    const shapeOf = (name: keyof typeof inputs): Shape => inputs[name].shape;
    const y = kernel(
      graph.input("x", shapeOf("x")),
      graph.param("w", shapeOf("w")),
      graph.param("b", shapeOf("b")),
      options as never,
    );
    graph.name("y", y);
    const got = (await runPlan(gpu, makePlan(graph, ["y"], gpu.limits, "f16"), inputs)).y;
    const want = evaluateReference(plain, inputs, options);
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
