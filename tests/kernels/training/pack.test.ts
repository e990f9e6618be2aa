import { test } from "uvu";
import * as assert from "uvu/assert";
import { Graph } from "../../../engine/graph/graph.ts";
import { TILE } from "../../../kernels/conv2d/conv2d_subgroup.ts";
import { packed } from "../../../kernels/conv2d/dense.ts";
import { sizeOfTile, TILES } from "../../../kernels/conv2d/tiles.ts";
import { pack } from "../../../kernels/training/pack.ts";
import { training } from "../../../kernels/training/table.ts";
import { checkBits, int, kernelsOf, open, pick, randomTensor, sameBits } from "../../harness.ts";

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
      await checkBits(gpu, pack, { x: w }, { tile: tile ?? 0 });
    }
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

test.run();
