import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../../engine/definition.ts";
import { compile } from "../../../engine/graph/compile.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { ACTIVATIONS, type Activation } from "../../../kernels/activation.ts";
import { add, conv2d } from "../../../kernels/index.ts";
import { nets } from "../../../nets/index.ts";
import { assertOutputs, open, pick, randomTensors, rounds, runPlan } from "../../harness.ts";

const gpu = await open();

/** The distinct kernels of a plan whose names are like this. */
const pipelines = (graph: Graph, outputs: readonly string[], name: RegExp): number => {
  const { steps } = compile(graph, outputs, gpu);
  return new Set(steps.flatMap(({ kernel, code }) => (name.test(kernel) ? [code] : []))).size;
};

test("convolutions with one more activation, with relu and with none, filtered one by one or not, are one pipeline each", async () => {
  for (let i = 0; i < rounds(16, 4); i++) {
    const graph = new Graph();
    const activations = [pick(...ACTIVATIONS.slice(2)), "relu", "none"] as const;
    const conv = (name: string, x: Value, activation: Activation, groups: number): Value => {
      const w = graph.param(`${name}.weight`, [16, 16 / groups, groups > 1 ? 3 : 1, groups > 1 ? 3 : 1]);
      return conv2d(x, w, graph.param(`${name}.bias`, [16]), { activation, groups, padding: groups > 1 ? 1 : 0 });
    };
    let x = graph.input("input", [1, 16, 9, 8]);
    for (const groups of [1, 16]) {
      const [first, second, third] = activations.map((each) => conv(`${each}${groups}`, x, each, groups));
      x = add(add(first, second), third);
    }
    graph.name("sum", x);
    assert.is(pipelines(graph, ["sum"], /^conv2d/), 2, activations.join());
    const tensors = randomTensors(graph);
    const got = await runPlan(gpu, compile(graph, ["sum"], gpu), tensors);
    assertOutputs(got, graph, ["sum"], tensors);
  }
});

test("MobileNetV3 compiles each of its depthwise convolutions once, whatever follows it", () => {
  const graph = trace(nets.mobilenet_v3_large);
  assert.is(pipelines(graph, ["logits"], /^conv2d_depthwise$/), 4);
});

test.run();
