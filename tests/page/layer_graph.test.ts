// A net's layers as the page draws them, by the graph alone.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../engine/definition.ts";
import { summarize } from "../../engine/summary.ts";
import { arrange, edgesOf, openedAtFirst, outputOf, type Part, treeOf } from "../../examples/page/layer_tree.ts";
import { layersOf } from "../../examples/page/worker/layer_graph.ts";
import { nets } from "../../nets/index.ts";
import { isDeep, someOf } from "../harness.ts";

const layersIn = (name: string) => {
  const graph = trace(nets[name]);
  const summary = summarize(graph);
  return { summary, layers: layersOf(graph, summary.layers) };
};

function partAt(name: string, path: string): Part {
  const find = (part: Part): Part | undefined =>
    part.path === path ? part : part.parts.map(find).find((found) => found !== undefined);
  const part = find(treeOf(layersIn(name).layers));
  assert.ok(part, `${name} has no ${path}`);
  return part;
}

/** The parts of a module as "row:first-last label". */
const drawn = (module: Part): string[] =>
  arrange(module).map(({ row, first, last }, i) => `${row}:${first}-${last} ${module.parts[i].label}`);

const FEW = ["squeezenet1_1", "densenet121", "inception_v3", "vit_b_32", "swin_t", "shufflenet_v2_x1_0", "vgg16_c"];

for (const name of isDeep ? Object.keys(nets) : someOf(FEW, 3)) {
  test(`${name}: every layer once, each behind what it reads, all costs in them, and nothing over another`, () => {
    const { layers, summary } = layersIn(name);
    assert.is(new Set(layers.map(({ path }) => path)).size, layers.length, "two layers of one name");
    const before = new Set<number>();
    for (const { id, path, reads } of layers) {
      assert.ok(
        reads.every((read) => before.has(read)),
        `${path} reads what comes later`,
      );
      assert.ok(reads.length > 0 || path === "input", `${path} reads nothing`);
      before.add(id);
    }
    for (const key of ["parameters", "multiplyAdds"] as const) {
      assert.is(
        layers.reduce((sum, layer) => sum + layer[key], 0),
        summary[key],
      );
    }
    const tree = treeOf(layers);
    const check = (module: Part) => {
      const taken = new Set<string>();
      for (const { row, first, last } of arrange(module)) {
        for (let column = first; column <= last; column++) {
          assert.not(taken.has(`${row} ${column}`), `two parts of ${module.path} in one place`);
          taken.add(`${row} ${column}`);
        }
      }
      assert.equal(
        module.parts.flatMap((part) => part.layers),
        module.layers,
        "layers are lost, or in another order",
      );
      for (const part of module.parts) if (part.parts.length > 0) check(part);
    };
    check(tree);
    const open = openedAtFirst(tree, 26);
    const edges = edgesOf(tree, open);
    const reached = new Set(["input"]);
    for (const [from, to] of edges) if (reached.has(from)) reached.add(to);
    assert.ok(reached.has(outputOf(tree).path) || reached.size > 1);
    assert.ok(
      edges.every(([from]) => reached.has(from)),
      "what is drawn hangs on nothing",
    );
  });
}

test("Inception's branches stand beside each other, and what joins them across", () => {
  assert.equal(drawn(partAt("inception_v3", "Mixed_5b")), [
    "1:1-1 branch1x1",
    "1:2-2 branch5x5_1",
    "2:2-2 branch5x5_2",
    "1:3-3 branch3x3dbl_1",
    "2:3-3 branch3x3dbl_2",
    "3:3-3 branch3x3dbl_3",
    "1:4-4 branch_pool",
    "4:1-4 concat",
  ]);
});

test("a residual block: the shortcut beside what it passes", () => {
  assert.equal(drawn(partAt("resnet18", "layer2.0")), [
    "1:1-1 conv1",
    "2:1-1 bn1",
    "3:1-1 relu",
    "4:1-1 conv2",
    "5:1-1 bn2",
    "1:2-2 downsample",
    "6:1-2 add",
    "7:1-2 relu_1",
  ]);
  const tree = treeOf(layersIn("resnet18").layers);
  const edges = edgesOf(tree, new Set(["layer1", "layer1.0"])).map((edge) => edge.join(" > "));
  for (const edge of ["maxpool > layer1.0.conv1", "maxpool > layer1.0.add", "layer1.0.bn2 > layer1.0.add"]) {
    assert.ok(edges.includes(edge), edge);
  }
});

test("every dense layer reads all before it in its block", () => {
  const tree = treeOf(layersIn("densenet121").layers);
  const edges = edgesOf(tree, new Set(["features", "features.denseblock1"]));
  const block = "features.denseblock1.denselayer";
  for (let i = 2; i <= 6; i++) {
    const from = edges.filter(([, to]) => to === `${block}${i}`).map(([source]) => source);
    const before = Array.from({ length: i - 1 }, (_, j) => `${block}${j + 1}`);
    assert.equal(from.sort(), ["features.pool0", ...before].sort());
  }
});

test("at first the levels that fit are open, and one module that has branches", () => {
  const openOf = (name: string) => [...openedAtFirst(treeOf(layersIn(name).layers), 26)];
  assert.ok(openOf("inception_v3").includes("Mixed_5b"));
  assert.ok(openOf("resnet18").includes("layer1.0"));
  assert.ok(openOf("densenet121").includes("features.denseblock1"));
});

test.run();
