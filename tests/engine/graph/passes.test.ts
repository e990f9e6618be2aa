import { test } from "uvu";
import * as assert from "uvu/assert";
import { compile } from "../../../engine/graph/compile.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import { type PassName, passes, prune } from "../../../engine/graph/passes.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { add, sub } from "../../../kernels/elementwise/add.ts";
import { gelu } from "../../../kernels/elementwise/gelu.ts";
import { hardSigmoid, hardSwish, linear, relu, relu6, sigmoid, silu, tanh } from "../../../kernels/index.ts";
import { batchNormLayer, convLayer, named } from "../../../nets/layers.ts";
import {
  assertOutputs,
  assertRewritten,
  kernelsOf,
  open,
  randomNet,
  randomTensors,
  refuses,
  runPlan,
} from "../../harness.ts";

const gpu = await open();
const all = Object.keys(passes) as PassName[];

const fuse = (graph: Graph, outputs: readonly string[], names: readonly PassName[] = all): Graph =>
  names.reduce((rewritten, name) => passes[name](rewritten, outputs), graph);

/** Fuses what `build` makes of x [2, 3, 5, 5] and asserts on the kernels that remain. */
function assertFuses(build: (x: Value) => Value, kernels: string, outputs: string[] = [], names = all): void {
  const graph = new Graph();
  graph.name("y", build(graph.input("x", [2, 3, 5, 5])));
  const fused = fuse(graph, ["y", ...outputs], names);
  assert.is(kernelsOf(fused).join(" "), kernels);
  assertRewritten(fused, graph, ["y", ...outputs]);
}

const conv = (name: string, x: Value, bias = false) => convLayer(name, x, 3, 3, { padding: 1, bias });
const normed = (x: Value) => batchNormLayer("bn", conv("conv", x));
const perChannel = (x: Value) => x.graph.param("shift", [3, 1, 1]);

for (const name of all) {
  test(`${name} by itself leaves the outputs of 30 random nets what they are`, () => {
    for (let i = 0; i < 30; i++) {
      const { graph, outputs } = randomNet(16);
      assertRewritten(passes[name](graph, outputs), graph, outputs);
    }
  });
}

test("all passes together do, too, on the GPU", async () => {
  for (let i = 0; i < 15; i++) {
    const { graph, outputs } = randomNet(16);
    const tensors = randomTensors(graph);
    assertOutputs(await runPlan(gpu, compile(graph, outputs, gpu), tensors), graph, outputs, tensors);
    assertOutputs(await runPlan(gpu, compile(graph, outputs, gpu, { passes: [] }), tensors), graph, outputs, tensors);
  }
});

test("prune drops what no output needs, but no input", () => {
  const graph = new Graph();
  const [x, unused] = [graph.input("x", [2]), graph.input("unused", [3])];
  graph.name("dead", tanh(unused));
  graph.name("y", relu(x));
  const pruned = prune(graph, ["y"]);
  assert.equal(kernelsOf(pruned), ["relu"]);
  assert.equal([...pruned.names.keys()], ["y"]);
  assert.is(pruned.nodes.filter(({ kind }) => kind === "input").length, 2);
});

test("normalizations, sums and activations go into the convolution before them", () => {
  assertFuses(normed, "conv2d");
  assertFuses((x) => batchNormLayer("bn", conv("conv", x, true)), "conv2d");
  assertFuses((x) => relu(normed(x)), "conv2d");
  assertFuses((x) => relu(add(normed(x), x)), "conv2d");
  assertFuses((x) => relu(add(x, normed(x))), "conv2d");
  assertFuses((x) => add(normed(x), x, { relu: true }), "conv2d");
  assertFuses((x) => add(conv("conv", x), perChannel(x)), "conv2d");
  assertFuses((x) => relu(add(perChannel(x), conv("conv", x))), "conv2d");
  assertFuses((x) => relu(add(x, x)), "add");
  assertFuses((x) => relu(linear(x, x.graph.param("w", [4, 5]))), "linear");
});

test("every activation goes into the kernel before it, once", () => {
  for (const kernel of [relu, relu6, silu, hardSwish, hardSigmoid, sigmoid, tanh] as const) {
    assertFuses((x) => kernel(conv("conv", x)), "conv2d");
    assertFuses((x) => kernel(normed(x)), "conv2d");
    assertFuses((x) => kernel(linear(x, x.graph.param("w", [4, 5]))), "linear");
    assertFuses((x) => kernel(add(x, x)), "add");
    // A normalization without a convolution before it.
    assertFuses((x) => kernel(batchNormLayer("bn", x)), "batchnorm");
  }
});

test("what the convolution cannot take in stays", () => {
  assertFuses((x) => batchNormLayer("bn", relu(conv("conv", x))), "conv2d batchnorm");
  assertFuses((x) => batchNormLayer("bn", add(conv("conv", x), x)), "conv2d batchnorm");
  assertFuses((x) => batchNormLayer("bn", x), "batchnorm");
  assertFuses((x) => add(relu(conv("conv", x)), x), "conv2d add");
  assertFuses((x) => add(add(conv("conv", x), x), x), "conv2d add");
  assertFuses((x) => add(conv("conv", x, true), perChannel(x)), "conv2d add");
  assertFuses((x) => gelu(conv("conv", x)), "conv2d gelu");
  assertFuses((x) => relu(tanh(conv("conv", x))), "conv2d relu");
  const residual = (x: Value) => conv2d(x, x.graph.param("w", [3, 3, 3, 3]), undefined, x, { padding: 1 });
  assertFuses((x) => batchNormLayer("bn", residual(x)), "conv2d batchnorm");
  assertFuses((x) => add(residual(x), x), "conv2d add");
  assertFuses((x) => add(residual(x), perChannel(x)), "conv2d add");
});

test("a difference is no sum", () => {
  assertFuses((x) => sub(x, conv("conv", x)), "conv2d add");
  assertFuses((x) => sub(perChannel(x), conv("conv", x)), "conv2d add");
  const graph = new Graph();
  const x = graph.input("x", [2, 3, 5, 5]);
  graph.name("y", sub(conv("conv", x), x));
  graph.name("z", sub(conv("conv2", x), perChannel(x)));
  assertRewritten(fuse(graph, ["y", "z"]), graph, ["y", "z"]);
});

test("what is read twice, or asked for, is kept", () => {
  assertFuses((x) => relu(named("kept", conv("c", x))), "conv2d");
  assertFuses((x) => relu(named("kept", conv("c", x))), "conv2d relu", ["kept"]);
  assertFuses((x) => batchNormLayer("bn", conv("conv", x)), "conv2d batchnorm", ["conv"]);
  assertFuses((x) => add(conv("conv", x), x), "conv2d add", ["conv"]);
  assertFuses((x) => relu(batchNormLayer("bn", conv("conv", x))), "conv2d relu", ["bn"]);
  assertFuses((x) => {
    const y = conv("conv", x);
    return add(relu(y), y);
  }, "conv2d relu add");
  assertFuses((x) => {
    const y = conv("conv", x);
    return add(y, y);
  }, "conv2d add");
  assertFuses((x) => {
    const y = conv("conv", x);
    return add(batchNormLayer("bn", y), tanh(y));
  }, "conv2d batchnorm tanh add");
});

test("only one of two convolutions takes their sum in", () =>
  assertFuses((x) => relu(add(conv("a", x), conv("b", x))), "conv2d conv2d"));

test("a convolution whose weight is computed is not folded", () =>
  assertFuses((x) => {
    const w = tanh(x.graph.param("w", [3, 3, 3, 3]));
    return batchNormLayer("bn", conv2d(x, w, undefined, { padding: 1 }));
  }, "tanh conv2d batchnorm"));

test("each pass can be left out", async () => {
  const build = (x: Value) => relu(add(add(normed(x), x), perChannel(x)));
  assertFuses(build, "conv2d batchnorm add add relu", [], []);
  const residual = (x: Value) => relu(add(normed(x), x));
  assertFuses(residual, "conv2d add relu", [], ["foldBatchNorm"]);
  assertFuses(residual, "conv2d batchnorm add", [], ["fuseAdd", "fuseActivation"]);
  assertFuses(residual, "conv2d relu", [], ["foldBatchNorm", "fuseAdd"]);
  const graph = new Graph();
  graph.name("y", relu(graph.input("x", [1])));
  const unknown = () => compile(graph, ["y"], gpu, { passes: ["foldRelu" as PassName] });
  await refuses(
    unknown,
    UsageError,
    "USAGE",
    /a pass is "foldRelu"; it must be one of foldBatchNorm, fuseBias, fuseAdd, fuseActivation/,
  );
});

test.run();
