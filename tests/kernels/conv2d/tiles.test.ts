// A tile of the kernels for GPUs is a row of a table: what one more row makes.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compile } from "../../../engine/graph/compile.ts";
import { callOf, Graph, type OpNode } from "../../../engine/graph/graph.ts";
import { callKey } from "../../../engine/graph/lower.ts";
import type { Variants } from "../../../engine/graph/variant.ts";
import type { Dtype } from "../../../engine/ground/options.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { halvesKernels, tileKernels, tileKernelsOf } from "../../../kernels/conv2d/conv2d_tile.ts";
import { sizeOfTile, TILES, type Tile, tileName } from "../../../kernels/conv2d/tiles.ts";
import { tileProduct, tileVariant } from "../../../kernels/conv2d/variants_gpu.ts";
import { winogradVariants } from "../../../kernels/conv2d/winograd/variants.ts";
import { rates } from "../../../kernels/rates.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import { variants as everyVariant } from "../../../kernels/variants.ts";
import { convLayer } from "../../../nets/layers.ts";
import {
  assertClose,
  checkKernel,
  inDepth,
  int,
  isDeep,
  magnitudes,
  open,
  pick,
  randomTensor,
  randomTensors,
  rounds,
  runPlan,
  sumBound,
} from "../../harness.ts";
import { checkTile, OPERATORS } from "./tile_calls.ts";

const gpu = await open();

// The one line.
const OF_96: Tile = { side: 8, each: 3, slices: 1, efficiency: 0.9 };

const kernels = tileKernels(OF_96);
const variants: Variants = {
  conv2d: [...winogradVariants(tileProduct(kernels)), ...tileKernelsOf.map(tileVariant), tileVariant(kernels)],
};

test("every row has a kernel, a product and a rate of its name", () => {
  const sizes = TILES.map(sizeOfTile);
  assert.is(new Set(sizes).size, sizes.length);
  for (const [i, tile] of TILES.entries()) {
    const { conv2d, matmul } = tileKernelsOf[i];
    assert.equal(
      [conv2d.name, matmul.name],
      [tileName("conv2d_tile", sizeOfTile(tile)), tileName("matmul_tile", sizeOfTile(tile))],
    );
    for (const { name } of [conv2d, matmul]) assert.is(rates.gpu.efficiency[name], tile.efficiency);
  }
});

test("a tile of 96 is named by its size, and taken where it is rated best", () => {
  assert.is(sizeOfTile(OF_96), 96);
  assert.is(kernels.conv2d.name, "conv2d_tile_96");
  const graph = new Graph();
  graph.name("y", convLayer("a", graph.input("x", [1, 64, 96, 96]), 96, 3, { padding: 1 }));
  const efficiency = { ...rates.gpu.efficiency, conv2d_tile_96: OF_96.efficiency };
  const traits = { subgroupSize: 0, software: false, maxBinding: 2 ** 27, rates: { ...rates.gpu, efficiency } };
  const { steps } = compile(graph, ["y"], { traits, variants, limits: gpu.limits }, { precision: "strict" });
  assert.ok(steps.some(({ kernel }) => kernel === "conv2d_tile_96"));
});

if (gpu.traits.f16) {
  test("products in f16, of which sixteen at a time are added up in f16", async () => {
    // Every product, and every sum of two, is rounded to eleven bits.
    await checkTile(gpu, halvesKernels(pick(...TILES)), pick(...OPERATORS), "f16", { k: 8 * 2 ** 13 });
  });
}

test("what multiplies in f16 is for nets in f16, and taken where it was measured to be faster", () => {
  const graph = new Graph();
  graph.name("y", convLayer("a", graph.input("x", [1, 64, 56, 56]), 64, 1));
  const traits = { subgroupSize: 0, software: false, f16: true, maxBinding: 2 ** 27, rates: rates.apple };
  const take = (dtype: Dtype, tuned?: ReadonlyMap<string, string>) =>
    compile(graph, ["y"], { traits, variants: everyVariant, limits: gpu.limits, tuned }, { dtype }).steps.map(
      ({ kernel }) => kernel,
    );
  const node = graph.nodes[graph.find("y")] as OpNode;
  const tunedFor = (dtype: Dtype) => new Map([[callKey("conv2d", callOf(graph, node), dtype), "conv2d_tile_f16"]]);
  assert.not.ok(take("f16").some((name) => name.includes("_f16")));
  assert.ok(take("f16", tunedFor("f16")).includes("conv2d_tile_f16"));
  assert.not.ok(take("f32", tunedFor("f32")).includes("conv2d_tile_f16"));
});

// A software adapter takes seconds to compile each.
const computed = isDeep || !gpu.traits.software ? ["conv2d_tile_96", "conv2d_winograd"] : [];

for (const variant of computed) {
  test(`it computes what it should, by ${variant}`, async () => {
    for (let i = 0; i < rounds(3, 1); i++) {
      const [channels, outChannels] = [4 * int(1, 9), 4 * int(1, 40)];
      const graph = new Graph();
      const w = graph.param("w", [outChannels, channels, 3, 3]);
      graph.name("y", conv2d(graph.input("x", [1, channels, int(6, 14), int(6, 14)]), w, { padding: 1 }));
      const tensors = randomTensors(graph);
      const target = { traits: gpu.traits, variants, limits: gpu.limits };
      const plan = compile(graph, ["y"], target, { variants: { conv2d: variant } });
      const { y } = await runPlan(gpu, plan, tensors);
      const inputs = { x: tensors.x, w: tensors.w };
      const want = evaluateReference(conv2d, inputs, { padding: 1 });
      // Winograd's sums cancel: see conv2d.test.ts.
      const bound = sumBound(conv2d, magnitudes(inputs), { padding: 1 }, variant === "conv2d_winograd" ? 100 : 8);
      const largest = Math.max(...want.data.map(bound));
      assertClose(y, want, variant === "conv2d_winograd" ? () => largest : bound, variant);
    }
  });
}

inDepth("slices share a sum, whether it has fewer steps than there are, as many, or more", async () => {
  const others: readonly Tile[] = [1, 2].map((slices) => ({ side: 8, each: 1, slices, efficiency: 1 }));
  for (const tile of [...TILES.filter(({ slices }) => slices > 1), ...others]) {
    const { conv2d } = tileKernels(tile);
    // Steps of 16 channels; runs of three taps of a row.
    for (const channels of [4, 16, 20, 48, 64, 68, 100]) {
      for (const size of [1, 3]) {
        const outChannels = 4 * int(1, 17);
        const inputs = {
          x: randomTensor([int(1, 2), int(3, 9), int(3, 9), channels]),
          w: randomTensor([size, size, channels, outChannels]),
          b: randomTensor([outChannels]),
        };
        const dilation = size === 1 ? [1, 1] : pick([1, 1], [1, 2]);
        await checkKernel(gpu, conv2d, inputs, { padding: [1, 0, 1, 2], dilation, activation: "relu" });
      }
    }
  }
});

inDepth("batches of products in tiles of 96", async () => {
  for (let i = 0; i < rounds(3, 1); i++) {
    const [batch, m, k, n] = [int(1, 4), int(1, 200), 4 * int(1, 12), 4 * int(1, 40)];
    const inputs = { x: randomTensor([batch, m, k]), w: randomTensor([batch, k, n]) };
    const graph = new Graph();
    graph.name("y", kernels.matmul(graph.input("x", inputs.x.shape), graph.param("w", inputs.w.shape)));
    const { y } = await runPlan(gpu, compile(graph, ["y"], gpu), inputs);
    const want = evaluateReference(tileKernelsOf[0].matmul, inputs);
    const bound = sumBound(tileKernelsOf[0].matmul, magnitudes(inputs), {}, 8);
    assertClose(y, want, bound, "matmul_tile_96");
  }
});

test.run();
