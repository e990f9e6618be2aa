import { test } from "uvu";
import * as assert from "uvu/assert";
import { findMatrices } from "../../../engine/device/matrices.ts";
import { compile } from "../../../engine/graph/compile.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import type { Matrices } from "../../../engine/graph/variant.ts";
import { specialize } from "../../../engine/graph/wgsl.ts";
import type { Dtype } from "../../../engine/ground/options.ts";
import { matrixKernels } from "../../../kernels/conv2d/conv2d_matrix.ts";
import { rates } from "../../../kernels/rates.ts";
import { variants } from "../../../kernels/variants.ts";
import { convLayer } from "../../../nets/layers.ts";
import { matricesOf, open, pick, rounds, someOf } from "../../harness.ts";
import { nullDevice } from "../../null_device.ts";
import { checkTile, OPERATORS } from "./tile_calls.ts";

const gpu = await open();
const MATRICES = "chromium-experimental-subgroup-matrix" as GPUFeatureName;

/**
 * What a subgroup does with matrices, for adapters without matrix units: a matrix that is loaded is where it lies in the
 * workgroup's memory; of one that is computed every thread holds a share of the elements, and its name is where they end.
 */
const EMULATION = `
const HELD = M * N / SUBGROUP;
alias Left = vec2u;
alias Right = vec2u;
alias Result = u32;
var<private> first: u32; // of the elements of a matrix that this thread holds
var<private> held: array<f32, DOWN * ACROSS * HELD>;
var<private> end: u32; // of those that are held
fn load(at: u32, stride: u32) -> vec2u { return vec2u(at, stride); }
fn multiply(left: Left, right: Right, sum: Result) -> Result {
  var m = sum;
  if (m == 0) {
    end += HELD;
    m = end;
  }
  for (var i = 0u; i < HELD; i++) {
    let cell = vec2u((first + i) / N, (first + i) % N);
    for (var k = 0u; k < K + params.pixels * 0; k++) {
      held[m - HELD + i] += f32(inputs[left.x + cell.x * left.y + k]) * f32(weights[right.x + k * right.y + cell.y]);
    }
  }
  return m;
}
fn store(at: u32, m: Result, stride: u32) {
  for (var i = 0u; i < HELD; i++) { results[at + (first + i) / N * stride + (first + i) % N] = held[m - HELD + i]; }
}
`;

/** A kernel's source with calls of the emulation in place of those of the extension. */
const emulated = (wgsl: string): string =>
  `${wgsl
    .replace("enable chromium_experimental_subgroup_matrix;", "")
    .replace(/diagnostic\(.*\);/, "")
    .replace(/^alias (Left|Right|Result) *=.*$/gm, "")
    .replace(/let lane *= *thread *% *SUBGROUP;/, "$& first = lane * HELD;")
    .replace(/subgroupMatrixLoad<\w+, *row_major>\(&\w+, */g, "load(")
    .replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply(")
    .replace(/subgroupMatrixStore<row_major>\(&results, */g, "store(")}${EMULATION}`;

const KINDS: Readonly<Record<string, Matrices>> = {
  "NVIDIA's": matricesOf({}),
  "AMD's, with subgroups of 64": matricesOf({ subgroup: 64 }),
  "Intel's": matricesOf({ m: 8, subgroup: 16 }),
  "Apple's": matricesOf({ m: 8, n: 8, k: 8, factors: "f32" }),
  "llvmpipe's": matricesOf({ m: 8, n: 8, k: 8, subgroup: 8 }),
  "those of WebGPU's least memory": matricesOf({ memory: 16384 }),
};

const cases = Object.entries(KINDS).flatMap(([kind, matrices]) =>
  (matrices.factors === "f16" ? ["f16"] : ["f16", "f32"]).flatMap((dtype) =>
    matrixKernels(matrices).flatMap((tile) => OPERATORS.map((operator) => ({ kind, dtype, tile, operator }))),
  ),
);
// Each takes llvmpipe ten seconds to compile.
const possible = cases.filter(({ dtype }) => dtype === "f32" || gpu.traits.f16);
const drawn = someOf(possible, 1, 4);
for (const { kind, dtype, tile, operator } of drawn) {
  test(`a random ${operator} by ${tile.conv2d.name} on ${kind} matrix units, emulated, in ${dtype}`, () =>
    checkTile(gpu, tile, operator, dtype as Dtype, { edit: emulated }));
}

test("the source for every kind of device is one that Dawn reads", async () => {
  const device = await nullDevice();
  for (const kind of Object.values(KINDS)) {
    for (const [sized, orderArgument] of [
      [false, false],
      [true, false],
      [false, true],
    ]) {
      for (const { conv2d } of matrixKernels({ ...kind, sized, orderArgument })) {
        const code = specialize(conv2d.wgsl, conv2d.consts({ options: conv2d.options } as never));
        assert.is(code.includes("subgroup_size"), sized);
        assert.is(code.includes("row_major"), !orderArgument);
        const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
        const errors = messages.filter(({ type }) => type === "error").map(({ message }) => message);
        assert.equal(errors, [], JSON.stringify({ ...kind, sized, orderArgument }));
      }
    }
  }
  device.destroy();
});

// Of a software adapter nets do not take them.
const found = gpu.device.features.has(MATRICES) ? await findMatrices(gpu.device, gpu.device.adapterInfo) : undefined;
const matrices = typeof found === "object" ? found : undefined;
test(`random calls by the device's own matrix units${matrices ? "" : ": skipped, it has none"}`, async () => {
  if (!matrices) return;
  for (let i = 0; i < rounds(24); i++) {
    await checkTile(gpu, pick(...matrixKernels(matrices)), pick(...OPERATORS), "f16");
  }
});

test("what a tile takes of the workgroup's memory is what the device has", () => {
  const partsOf = (given: Partial<Matrices>) =>
    matrixKernels(matricesOf(given)).map(({ size, conv2d }) => {
      const { DEPTH, AT_ONCE } = conv2d.consts({ options: conv2d.options } as never);
      return [size, 4 * Number(DEPTH), AT_ONCE];
    });
  assert.equal(partsOf({}), [
    [64, 32, 16],
    [128, 16, 16],
  ]);
  assert.equal(partsOf({ memory: 49152 }), [
    [64, 32, 16],
    [128, 16, 16],
  ]);
  assert.equal(partsOf({ memory: 16384 }), [[64, 16, 16]]);
  assert.equal(partsOf({ m: 8, n: 8, k: 8, factors: "f32" }), [[64, 16, 8]]);
  assert.equal(partsOf({ memory: 8192 }), []);
});

test("nets of dtype f16 take it on devices with matrices, and only there", () => {
  const graph = new Graph();
  graph.name("y", convLayer("a", graph.input("x", [1, 64, 28, 28]), 64, 3, { padding: 1 }));
  const kernels = (matrices: Matrices | undefined, dtype: Dtype) => {
    const traits = { subgroupSize: 32, software: false, maxBinding: 2 ** 27, f16: true, matrices };
    return compile(graph, ["y"], { traits, variants, limits: gpu.limits }, { dtype }).steps.map(({ kernel }) => kernel);
  };
  const takes = (...given: Parameters<typeof kernels>) => kernels(...given).includes("conv2d_matrix");
  assert.ok(takes(matricesOf({}), "f16"));
  assert.not.ok(takes(matricesOf({}), "f32"));
  assert.not.ok(takes(undefined, "f16"));
  const inF32 = matricesOf({ m: 8, n: 8, k: 8, factors: "f32" });
  assert.ok(takes(inF32, "f16") && takes(inF32, "f32"));
  assert.not.ok(takes(matricesOf({ memory: 8192 }), "f16"));
});

test("Winograd's products run on them, too", () => {
  const graph = new Graph();
  graph.name("y", convLayer("a", graph.input("x", [1, 512, 14, 14]), 512, 3, { padding: 1 }));
  const products = (matrices: Matrices | undefined, dtype: Dtype) => {
    const traits = { subgroupSize: 32, software: false, maxBinding: 2 ** 28, f16: true, matrices, rates: rates.nvidia };
    const target = { traits, variants, limits: gpu.limits };
    const { steps } = compile(graph, ["y"], target, { dtype, variants: { conv2d: "conv2d_winograd" } });
    return steps.map(({ kernel }) => kernel).filter((name) => name.startsWith("matmul"));
  };
  assert.match(String(products(matricesOf({}), "f16")), /^matmul_matrix(_128)?$/);
  assert.match(String(products(matricesOf({}), "f32")), /^matmul_tile/);
  assert.match(String(products(undefined, "f16")), /^matmul_tile/);
});

test.run();
