import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AnyNet, trace } from "../../engine/definition.ts";
import { Graph, paramShapes } from "../../engine/graph/graph.ts";
import { UsageError } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { type Summary, summarize } from "../../engine/summary.ts";
import { add } from "../../kernels/elementwise/add.ts";
import { relu } from "../../kernels/elementwise/relu.ts";
import { flatten } from "../../kernels/flatten.ts";
import { linear } from "../../kernels/linear/linear.ts";
import { nets } from "../../nets/index.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "../../nets/layers.ts";
import { projections } from "../../nets/transformer.ts";
import { someOf } from "../harness.ts";

function summaryOf(net: AnyNet, load: { batch?: number; imageSize?: number } = {}, given = {}): Summary {
  return summarize(trace(net, { ...given, ...load }));
}

/** The totals as torchinfo prints them: multiply-adds in millions or thousands of millions, sizes in megabytes. */
const totals = ({ parameters, multiplyAdds, ...size }: Summary) => [
  parameters,
  multiplyAdds < 1e9 ? `${(multiplyAdds / 1e6).toFixed(2)} M` : `${(multiplyAdds / 1e9).toFixed(2)} G`,
  ...[size.inputSize, size.passSize, size.parameterSize, size.totalSize].map((bytes) => (bytes / 1e6).toFixed(2)),
];

test("totals are torchinfo's", () => {
  assert.equal(totals(summaryOf(nets.alexnet)), [61_100_840, "714.68 M", "0.60", "3.95", "244.40", "248.96"]);
  const resnet152 = totals(summaryOf(nets.resnet152));
  assert.equal(resnet152, [60_192_808, "11.51 G", "0.60", "360.87", "240.77", "602.25"]);
});

test("a row per layer, in order", () => {
  const { layers, parameters } = summaryOf(nets.lenet5, { batch: 2 }, { numClasses: 4 });
  const names = "conv1 tanh1 pool1 conv2 tanh2 pool2 conv3 tanh3 flatten linear1 tanh4 linear2";
  assert.is(layers.map(({ name }) => name).join(" "), names);
  assert.equal(layers[0], {
    // Behind the input and its two parameters.
    node: 3,
    name: "conv1",
    operator: "conv2d",
    shape: [2, 6, 28, 28],
    parameters: 6 * 25 + 6,
    multiplyAdds: (6 * 25 + 6) * 2 * 28 * 28,
  });
  assert.equal(layers.at(-1), {
    node: 22,
    name: "linear2",
    operator: "linear",
    shape: [2, 4],
    parameters: 84 * 4 + 4,
    multiplyAdds: (84 * 4 + 4) * 2,
  });
  assert.is(
    parameters,
    layers.reduce((sum, layer) => sum + layer.parameters, 0),
  );
});

test("batch normalization, blocks, and steps without a name", () => {
  const graph = new Graph();
  let x = batchNormLayer("bn", graph.input("x", [3, 4, 5, 5]));
  x = named("block", named("block.relu", relu(add(x, convLayer("conv", x, 4, 3, { padding: 1, groups: 2 })))));
  named("logits", linearLayer("fc", flatten(x), 2));
  const { layers } = summarize(graph);
  assert.equal(
    layers.map(({ name, operator, parameters, multiplyAdds }) => [name, operator, parameters, multiplyAdds]),
    [
      // Running statistics are no parameters.
      ["bn", "batchnorm", 8, 3 * 8],
      ["conv", "conv2d", 76, 76 * 3 * 25],
      ["", "add", 0, 0],
      ["block.relu", "relu", 0, 0],
      ["fc", "linear", 202, 3 * 202],
    ],
  );
});

test("a parameter that two layers share counts once, its multiply-adds twice", () => {
  const graph = new Graph();
  const x = linearLayer("a", graph.input("x", [1, 3]), 3);
  named("b", linear(x, graph.param("a.weight", [3, 3])));
  const [a, b] = summarize(graph).layers;
  assert.equal([a.parameters, a.multiplyAdds], [12, 12]);
  assert.equal([b.parameters, b.multiplyAdds], [0, 9]);
});

test("of a tensor that three layers take apart each multiplies by its third", () => {
  const graph = new Graph();
  projections("in_proj_weight", "in_proj_bias", graph.input("x", [1, 2, 4])).forEach((value, i) => {
    graph.name(`y${i}`, value);
  });
  const { layers, parameters, multiplyAdds } = summarize(graph);
  assert.equal(
    layers.map((layer) => [layer.parameters, layer.multiplyAdds]),
    [
      [60, 40],
      [0, 40],
      [0, 40],
    ],
  );
  assert.equal([parameters, multiplyAdds], [60, 120]);
});

test("a linear layer multiplies every token by its weights", () => {
  const graph = new Graph();
  linearLayer("a", graph.input("x", [2, 5, 3]), 4);
  const [a] = summarize(graph).layers;
  assert.equal([a.parameters, a.multiplyAdds], [16, 16 * 2 * 5]);
});

/** What torchvision publishes of a net, by the names of its weights. */
const PUBLISHED: Readonly<Record<string, Readonly<Record<string, { readonly GMACs?: number }>>>> = JSON.parse(
  readFileSync(new URL("../../../tests/goldens/torchvision_weights.json", import.meta.url), "utf8"),
);

/**
 * By PyTorch's counter of operations, which torchvision's counts are from: only products of matrices, so no bias and no
 * normalization, but the products of activations in attention.
 */
function countedByTorch(graph: Graph): number {
  const isProduct = /^(conv2d|linear)$/;
  const layers = summarize(graph).layers.filter(({ operator }) => isProduct.test(operator));
  const counts = graph.nodes.map((node) => {
    if (node.kind !== "op") return 0;
    if (node.kernel.name === "matmul") return sizeOf(node.shape) * (graph.nodes[node.inputs.a].shape.at(-1) as number);
    return isProduct.test(node.kernel.name) && "b" in node.inputs ? -sizeOf(node.shape) : 0;
  });
  return [...layers.map(({ multiplyAdds }) => multiplyAdds), ...counts].reduce((sum, count) => sum + count, 0);
}

test("multiply-adds are those that torchvision publishes, but for what each counts beside products", () => {
  for (const [name, net] of someOf(Object.entries(nets), 6)) {
    for (const [weights, { GMACs }] of Object.entries(PUBLISHED[name] ?? {})) {
      const graph = trace(net, { weights });
      // Swin V2's biases of 15 x 15 places, which two linear layers make in each of its runs, and here as the weights load.
      const biases = [...paramShapes(graph)].filter(([param]) => /cpb_mlp\.\d\.weight$/.test(param));
      const made = biases.reduce((sum, [, shape]) => sum + 15 * 15 * sizeOf(shape), 0);
      const count = (countedByTorch(graph) + made) / 1e9;
      assert.ok(Math.abs(count - (GMACs as number)) <= 0.0005001, `${name} ${weights}: ${count}, published ${GMACs}`);
    }
  }
});

test("what the engine needs", () => {
  const { engine, parameterSize } = summaryOf(nets.resnet18);
  // The weights without the statistics, which are folded into the convolutions.
  assert.ok(engine.weights < parameterSize && engine.weights > 0.99 * parameterSize);
  assert.ok(
    engine.activations >= engine.activationLowerBound && engine.activations < 1.5 * engine.activationLowerBound,
  );
  assert.is(engine.problem, undefined);
  const large = summaryOf(nets.vgg16, { batch: 32 }).engine;
  assert.match(large.problem ?? "", /features\.0" needs 392\.0 MiB/);
  assert.ok(large.activations >= large.activationLowerBound);
});

test("options are checked as they are when a net is loaded", () => {
  assert.throws(
    () => summaryOf(nets.lenet5, {}, { numClass: 3 }),
    (error: unknown) => error instanceof UsageError,
  );
});

test.run();
