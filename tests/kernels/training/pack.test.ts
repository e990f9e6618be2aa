import { test } from "uvu";
import * as assert from "uvu/assert";
import { Graph } from "../../../engine/graph/graph.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { permute as permuteData } from "../../../engine/ground/tensor.ts";
import { runOnce } from "../../../engine/model.ts";
import { packed } from "../../../kernels/conv2d/dense.ts";
import { flipFilters } from "../../../kernels/conv2d/flip_filters.ts";
import { TILE } from "../../../kernels/conv2d/gemm.ts";
import { sizeOfTile, TILES } from "../../../kernels/conv2d/tiles.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { permute } from "../../../kernels/permute.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import { pack, packOf } from "../../../kernels/training/pack.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import { checkBits, drawCut, int, kernelsOf, open, pick, randomTensor, sameBits } from "../../harness.ts";

const training = await tableFor();

const gpu = await open();

/** Of all kernels, and none. */
const tiles = [undefined, TILE, ...TILES.map(sizeOfTile)];

test("filters are packed on the GPU as they are when they are loaded, for every tile", async () => {
  for (const tile of tiles) {
    for (let i = 0; i < 6; i++) {
      // Also of more tiles than one, of which the last is cut.
      const outChannels = pick(int(1, 9), 4 * int(1, 50), (tile ?? 4) + 4);
      const w = randomTensor([outChannels, int(1, 9), ...pick([], [1, 1], [3, 3], [5, 2])]);
      const graph = new Graph();
      const { id, shape } = packed(graph.param("w", w.shape), tile);
      const node = graph.nodes[id];
      assert.ok(node.kind === "param" && node.from);
      const want = { shape, data: node.from.compute(w.data) };
      sameBits(await gpu.eager(pack, w, { tile: tile ?? 0 }), want, `[${w.shape}] by ${tile}`);
      for (const of of ["same", "exchanged", "flipped"]) {
        await checkBits(gpu, pack, { x: w }, { tile: tile ?? 0, of });
      }
    }
  }
});

test("images are packed as filters, or a part of them", async () => {
  for (const tile of tiles) {
    const shape = [int(1, 9), int(1, 6), int(1, 6), pick(int(1, 9), 4 * int(1, 20))];
    const options = { tile: tile ?? 0, of: "images" };
    await checkBits(gpu, pack, { x: randomTensor(shape) }, options);
    await checkBits(gpu, pack, { x: randomTensor(shape) }, { ...options, cut: drawCut(shape) });
  }
});

test("columns of filters of one channel are packed as channels", async () => {
  for (const tile of tiles) {
    const w = randomTensor([int(1, 40), 1, int(1, 6), int(1, 9)]);
    const [filters, , height, columns] = w.shape;
    const rows = permuteData(w.data, [filters, height, columns], [0, 2, 1]);
    const want = evaluateReference(
      pack,
      { x: { shape: [filters, columns, height, 1], data: rows } },
      { tile: tile ?? 0 },
    );
    sameBits(await gpu.eager(pack, w, { tile: tile ?? 0, of: "columns" }), {
      shape: want.shape,
      data: Float32Array.from(want.data),
    });
    await checkBits(gpu, pack, { x: w }, { tile: tile ?? 0, of: "columns" });
  }
});

test("filters that training changes are packed by this kernel, parameters when they are loaded", () => {
  const graph = new Graph();
  graph.training = { dropout: (x) => x, pack: training.pack };
  packed(graph.param("frozen", [8, 4, 3, 3]), TILE);
  assert.equal(kernelsOf(graph), []);
  const { shape } = packed(graph.input("trained", [8, 4, 3, 3]), TILE);
  assert.equal(kernelsOf(graph), ["pack"]);
  assert.equal(shape, [3, 3, 4, 8]);
});

test("filters that were turned or exchanged just before are packed from what they were", async () => {
  const some = { stride: 2, start: [0, 1] } as const;
  for (const turn of [
    flipFilters,
    (x: Value) => flipFilters(x, some),
    (x: Value) => permute(x, { dims: [1, 0, 2, 3] }),
    relu,
  ]) {
    const graph = new Graph();
    const w = randomTensor([8, 6, 5, 4]);
    const turned = turn(graph.input("w", w.shape));
    graph.name("packed", packOf(turned, TILE));
    graph.name("separate", pack(turned, { tile: TILE }));
    const fed = graph.nodes[graph.find("packed")];
    assert.ok(fed.kind === "op");
    assert.is(fed.inputs.x, turn === relu ? turned.id : 0);
    const { packed: got, separate: want } = await runOnce(gpu, graph, { w }, ["packed", "separate"]);
    sameBits(got, want);
  }
});

test.run();
