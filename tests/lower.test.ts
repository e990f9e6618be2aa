import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../engine/errors.ts";
import { Graph, type Value } from "../engine/graph.ts";
import type { Traits } from "../engine/kernel.ts";
import { lower } from "../engine/lower.ts";
import { compile } from "../engine/net.ts";
import { adaptiveAvgPool2d } from "../kernels/adaptive_avgpool2d.ts";
import { add } from "../kernels/add.ts";
import { conv2d } from "../kernels/conv2d.ts";
import { flatten } from "../kernels/flatten.ts";
import { maxPool2d } from "../kernels/maxpool2d.ts";
import { relu } from "../kernels/relu.ts";
import { variants } from "../kernels/variants.ts";
import { batchNormLayer, convLayer, linearLayer } from "../nets/layers.ts";
import {
  assertOutputs,
  assertRewritten,
  kernelsOf,
  open,
  pick,
  random,
  randomNet,
  randomTensors,
  refuses,
  runPlan,
} from "./harness.ts";

const gpu = await open({ limits: "default" });

/** Small convolutions gain nothing by their variants: here chance decides, or they are taken wherever they can be. */
let chance = 1;
for (const variant of variants.conv2d) Object.assign(variant, { gains: () => random() < chance });

const traitsOf = (subgroupSize: number): Traits => ({
  subgroupSize,
  software: pick(true, false),
  maxBinding: 2 ** 27,
});

function netOf(build: (x: Value) => Value): Graph {
  const graph = new Graph();
  graph.name("y", build(graph.input("x", [1, 8, 16, 16])));
  return graph;
}

for (const subgroupSize of [0, 4, 8, 16, 32, 64, 128]) {
  test(`20 random nets compute the same with subgroups of ${subgroupSize}`, () => {
    for (let i = 0; i < 20; i++) {
      const { graph, outputs } = randomNet(12);
      chance = pick(0.5, 1);
      assertRewritten(lower(graph, outputs, { traits: traitsOf(subgroupSize), variants }), graph, outputs);
    }
  });
}

test("they do on the GPU, too", async () => {
  for (let i = 0; i < 10; i++) {
    const { graph, outputs } = randomNet(12);
    const tensors = randomTensors(graph);
    assertOutputs(await runPlan(gpu, compile(graph, outputs, gpu), tensors), graph, outputs, tensors);
  }
});

test("images change their layout at the ends of a chain only", () => {
  chance = 1;
  const graph = netOf((x) => {
    const y = maxPool2d(relu(convLayer("a", x, 16, 3, { padding: 1 })), { kernel: 2 });
    const z = relu(add(batchNormLayer("bn", convLayer("b", y, 16, 1)), y));
    return linearLayer("fc", flatten(adaptiveAvgPool2d(z, { outputSize: 1 })), 10);
  });
  const lowered = lower(graph, ["y"], { traits: traitsOf(8), variants });
  const conversions = kernelsOf(lowered).filter((name) => name.startsWith("to_n"));
  assert.equal(conversions, ["to_nhwc", "to_nchw"]);
  assertRewritten(lowered, graph, ["y"]);
});

test("no variant needs more than the device can bind where the plain kernel does not", () => {
  chance = 1;
  const graph = new Graph();
  // 98 MiB for x and for y.
  graph.name("y", convLayer("conv", graph.input("x", [16, 128, 112, 112]), 128, 3, { padding: 1 }));
  assert.ok(compile(graph, ["y"], gpu).steps.length > 0);
});

test("without subgroups there is still a fast convolution", () => {
  chance = 1;
  const graph = netOf((x) => relu(convLayer("a", x, 16, 5)));
  const lowered = kernelsOf(lower(graph, ["y"], { traits: traitsOf(0), variants }));
  assert.equal(lowered, ["to_nhwc", "conv2d_tile", "relu", "to_nchw"]);
});

test("a variant can be asked for", async () => {
  const graph = netOf((x) => convLayer("a", x, 16, 3, { padding: 1 }));
  const forced = (variant: string) =>
    kernelsOf(lower(graph, ["y"], { traits: traitsOf(8), variants }, { conv2d: variant }));
  assert.equal(forced("conv2d"), ["conv2d"]);
  assert.ok(forced("conv2d_subgroup").includes("conv2d_subgroup"));
  assert.ok(forced("conv2d_winograd").includes("winograd_input"));
  const unknown = /conv2d has no variant "conv2d_fft"; it has conv2d, conv2d_winograd, conv2d_subgroup/;
  await refuses(() => forced("conv2d_fft"), UsageError, "USAGE", unknown);
});

test("a variant that cannot take a call says why", async () => {
  const refusesVariant = (build: (x: Value) => Value, subgroupSize: number, variant: string, why: RegExp) => {
    const call = () => lower(netOf(build), ["y"], { traits: traitsOf(subgroupSize), variants }, { conv2d: variant });
    return refuses(call, UsageError, "USAGE", why);
  };
  const conv =
    (options: object, channels = 8) =>
    (x: Value) =>
      convLayer("a", x, channels, 3, options);
  const computed = (x: Value) => conv2d(x, relu(x.graph.param("w", [8, 8, 3, 3])));
  const start = "conv2d cannot be run as asked for: conv2d_subgroup: ";
  await refusesVariant(conv({}), 0, "conv2d_subgroup", new RegExp(`^${start}the device has no subgroups`));
  await refusesVariant(conv({ groups: 2 }), 8, "conv2d_subgroup", new RegExp(`^${start}it has more than one group`));
  await refusesVariant(conv({}, 6), 8, "conv2d_subgroup", new RegExp(`^${start}its 6 output channels`));
  await refusesVariant(computed, 8, "conv2d_subgroup", new RegExp(`^${start}its weight is no parameter`));
  await refusesVariant(
    conv({ stride: 2 }),
    8,
    "conv2d_winograd",
    /conv2d_winograd: it is no 3x3 convolution of stride/,
  );
});

test.run();
