import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../../engine/definition.ts";
import { compile } from "../../../engine/graph/compile.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { add, concat, conv2d, flatten, maxPool2d, relu } from "../../../kernels/index.ts";
import { rates } from "../../../kernels/rates.ts";
import { variants } from "../../../kernels/variants.ts";
import { nets } from "../../../nets/index.ts";
import { batchNormLayer, convLayer } from "../../../nets/layers.ts";
import { assertOutputs, int, open, pick, randomTensors, rounds, runPlan, someOf } from "../../harness.ts";

// Images that are joined where their parts are written: kernels/layout/join.ts.

const gpu = await open();

const traits = [
  { ...gpu.traits, rates: rates.software },
  { subgroupSize: 0, software: false, maxBinding: 2 ** 28, rates: rates.gpu },
  { subgroupSize: 32, software: false, maxBinding: 2 ** 28, rates: rates.nvidia },
];
const limits = { maxStorageBufferBindingSize: 2 ** 28, maxBufferSize: 2 ** 28 };

/** Copies into joined images, on several kinds of devices. */
const copiesOf = (graph: Graph, outputs: readonly string[]): number[] =>
  traits.map((each) => {
    const { steps } = compile(graph, outputs, { traits: each, variants, limits });
    return steps.filter(({ kernel }) => kernel === "concat").length;
  });

async function assertRuns(graph: Graph, outputs: readonly string[]): Promise<void> {
  const tensors = randomTensors(graph);
  const got = await runPlan(gpu, compile(graph, outputs, gpu), tensors);
  assertOutputs(got, graph, outputs, tensors);
}

test("nets that join what convolutions and poolings make copy nothing", () => {
  for (const name of someOf(["squeezenet1_1", "googlenet", "inception_v3", "densenet121"], 2)) {
    assert.equal(copiesOf(trace(nets[name]), ["logits"]), [0, 0, 0], name);
  }
});

/** A graph of two images of 64 and 8 channels, which fast kernels make, and what is made of them. */
function graphOf(build: (x: Value, y: Value) => Value): Graph {
  const graph = new Graph();
  const x = convLayer("x", graph.input("input", [2, 8, 16, 15]), 64, 3, { padding: 1 });
  const y = convLayer("y", x, 8, 3, { padding: 1 });
  graph.name("joined", build(x, y));
  return graph;
}

const join = (...parts: Value[]): Value => relu(concat(...parts));
const conv = (name: string, x: Value): Value => convLayer(name, x, 8, 1);

test("what is read elsewhere, too, is copied, but where batch norms step over the rest of the row", async () => {
  const CASES: readonly [what: string, copies: number, build: (x: Value, y: Value) => Value][] = [
    ["a part that a convolution reads", 1, join],
    ["a part twice", 2, (_, y) => join(y, y)],
    ["a part with a residual", 1, (x, y) => join(add(conv("a", x), y), conv("b", x))],
    ["parts of a part", 0, (x) => join(concat(conv("a", x), conv("b", x)), conv("c", x))],
    ["a part of two images", 2, (x, y) => join(concat(y, conv("a", x)), y, conv("b", x))],
    [
      "a batch norm's in front",
      0,
      (x) => {
        const a = conv("a", x);
        return join(a, conv("b", batchNormLayer("norm", a)));
      },
    ],
    [
      "a batch norm's behind",
      1,
      (x) => {
        const a = conv("a", x);
        return join(conv("b", batchNormLayer("norm", a)), a);
      },
    ],
  ];
  for (const [what, copies, build] of someOf(CASES, 4)) {
    const graph = graphOf(build);
    for (const got of copiesOf(graph, ["joined"])) assert.is(got, copies, what);
    await assertRuns(graph, ["joined"]);
  }
});

test("what is asked for is no part of another value", async () => {
  const graph = graphOf((x) => concat(graphNamed("part", conv("a", x)), conv("b", x)));
  for (const copies of copiesOf(graph, ["joined", "part"])) assert.is(copies, 1);
  await assertRuns(graph, ["joined", "part"]);
});

const graphNamed = (name: string, x: Value): Value => x.graph.name(name, x);

/** A random graph of images of one size, most of which are joined with others. */
function joining(steps: number): { graph: Graph; outputs: string[] } {
  const graph = new Graph();
  const input = graph.input("x", [int(1, 2), 16, int(7, 12), int(7, 12)]);
  // Enough work for a fast kernel.
  const values = [convLayer("stem", input, 64, 7, { padding: 3 })];
  for (let i = 0; i < steps; i++) {
    const x = pick(...values.slice(-3));
    const name = `layer${i}`;
    const grow: readonly (() => Value)[] = [
      () => concat(...Array.from({ length: int(2, 4) }, () => pick(...values.slice(-5)))),
      () => concat(...values.slice(-2)),
      () => concat(x, conv(`${name}.conv`, relu(batchNormLayer(`${name}.norm`, x)))),
      () => conv2d(x, graph.param(name, [8, x.shape[1], 3, 3]), { padding: 1, relu: pick(true, false) }),
      () => convLayer(name, x, x.shape[1], 3, { padding: 1, groups: x.shape[1] }),
      () => maxPool2d(x, { kernel: 3, stride: 1, padding: 1 }),
      () => relu(batchNormLayer(name, x)),
      () => add(x, conv2d(x, graph.param(name, [x.shape[1], x.shape[1], 1, 1]))),
    ];
    values.push(pick(...grow)());
  }
  graph.name("y", flatten(values[values.length - 1]));
  graph.name("z", pick(...values.slice(-4)));
  return { graph, outputs: ["y", "z"].slice(0, int(1, 2)) };
}

test("random graphs of joined images compute what their references do", async () => {
  for (let i = 0; i < rounds(30, 2); i++) {
    const { graph, outputs } = joining(9);
    await assertRuns(graph, outputs);
  }
});

test.run();
