import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../../engine/definition.ts";
import { compile } from "../../../engine/graph/compile.ts";
import { callOf, Graph } from "../../../engine/graph/graph.ts";
import { callKey, type LowerOptions, lower, type Target } from "../../../engine/graph/lower.ts";
import { secondsOf } from "../../../engine/graph/seconds.ts";
import type { Value } from "../../../engine/graph/value.ts";
import type { Rates, Traits, Variants } from "../../../engine/graph/variant.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { sizeOfTile, TILES, tileName } from "../../../kernels/conv2d/tiles.ts";
import { add } from "../../../kernels/elementwise/add.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../../../kernels/pool2d/adaptive_avgpool2d.ts";
import { maxPool2d } from "../../../kernels/pool2d/maxpool2d.ts";
import { rates } from "../../../kernels/rates.ts";
import { variants as allVariants } from "../../../kernels/variants.ts";
import { nets } from "../../../nets/index.ts";
import { batchNormLayer, convLayer, linearLayer } from "../../../nets/layers.ts";
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
  rounds,
  runPlan,
  someOf,
} from "../../harness.ts";

const gpu = await open("default");

const TILED = TILES.map((tile) => tileName("conv2d_tile", sizeOfTile(tile)));

/** Small convolutions gain nothing by their variants: here chance decides, or they are taken wherever they can be. */
let chance = 1;
const variants: Variants = {
  ...allVariants,
  conv2d: allVariants.conv2d.map((variant) => ({ ...variant, gains: () => random() < chance })),
};
const device = { traits: gpu.traits, limits: gpu.limits, variants };

const traitsOf = (subgroupSize: number, known?: Rates): Traits => ({
  subgroupSize,
  software: pick(true, false),
  maxBinding: 2 ** 27,
  rates: known,
});

function netOf(build: (x: Value) => Value): Graph {
  const graph = new Graph();
  graph.name("y", build(graph.input("x", [1, 8, 16, 16])));
  return graph;
}

for (const [kind, known] of [["no rates", undefined] as const, ...Object.entries(rates)]) {
  for (const subgroupSize of [0, 4, 8, 16, 32, 64, 128]) {
    test(`random nets compute the same with subgroups of ${subgroupSize} and ${kind}`, () => {
      for (let i = 0; i < rounds(10); i++) {
        const { graph, outputs } = randomNet(12);
        chance = pick(0.5, 1);
        assertRewritten(lower(graph, outputs, { traits: traitsOf(subgroupSize, known), variants }), graph, outputs);
      }
    });
  }
}

test("they do on the GPU, too", async () => {
  for (let i = 0; i < rounds(10); i++) {
    const { graph, outputs } = randomNet(12);
    const tensors = randomTensors(graph);
    assertOutputs(await runPlan(gpu, compile(graph, outputs, device), tensors), graph, outputs, tensors);
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
  // A single pixel is the same in both.
  assert.equal(conversions, ["to_nhwc"]);
  assertRewritten(lowered, graph, ["y"]);
});

test("no variant needs more than the device can bind where the plain kernel does not", () => {
  chance = 1;
  const graph = new Graph();
  // 98 MiB for x and for y.
  graph.name("y", convLayer("conv", graph.input("x", [16, 128, 112, 112]), 128, 3, { padding: 1 }));
  assert.ok(compile(graph, ["y"], device).steps.length > 0);
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
    kernelsOf(lower(graph, ["y"], { traits: traitsOf(8), variants }, { forced: { conv2d: variant } }));
  assert.equal(forced("conv2d"), ["conv2d"]);
  assert.ok(forced("conv2d_subgroup").includes("conv2d_subgroup"));
  assert.ok(forced("conv2d_winograd").includes("winograd_input"));
  const names = ["conv2d", ...variants.conv2d.map(({ name }) => name)].join(", ");
  const unknown = new RegExp(`^conv2d: the variant is "conv2d_fft"; it must be one of ${names}$`);
  await refuses(() => forced("conv2d_fft"), UsageError, "USAGE", unknown);
  const misspelt = () => compile(graph, ["y"], device, { variants: { conv: "conv2d" } });
  assert.ok(compile(graph, ["y"], device, { variants: { linear: "linear" } }).steps.length > 0);
  await refuses(misspelt, UsageError, "USAGE", /^variants has no option "conv"; its options are conv2d, linear, /);
});

test("a variant that cannot take a call says why", async () => {
  const refusesVariant = (build: (x: Value) => Value, subgroupSize: number, variant: string, why: RegExp) => {
    const call = () =>
      lower(netOf(build), ["y"], { traits: traitsOf(subgroupSize), variants }, { forced: { conv2d: variant } });
    return refuses(call, UsageError, "USAGE", why);
  };
  const conv =
    (options: object, channels = 8) =>
    (x: Value) =>
      convLayer("a", x, channels, 3, options);
  const computed = (x: Value) => conv2d(x, relu(x.graph.param("w", [8, 8, 3, 3])));
  const computedBias = (x: Value) => conv2d(x, x.graph.param("w", [6, 8, 3, 3]), relu(x.graph.param("b", [6])));
  const start = "conv2d cannot be run as asked for: conv2d_subgroup: ";
  await refusesVariant(conv({}), 0, "conv2d_subgroup", new RegExp(`^${start}the device has no subgroups`));
  await refusesVariant(conv({ groups: 2 }), 8, "conv2d_subgroup", new RegExp(`^${start}it has more than one group`));
  await refusesVariant(
    conv({}, 6),
    8,
    "conv2d_winograd",
    /: conv2d_winograd: its 6 output channels are no multiple of 4/,
  );
  await refusesVariant(computedBias, 8, "conv2d_subgroup", new RegExp(`^${start}its bias is no parameter`));
  await refusesVariant(computed, 8, "conv2d_subgroup", new RegExp(`^${start}its weight is no parameter`));
  await refusesVariant(
    conv({ stride: 2 }),
    8,
    "conv2d_winograd",
    /conv2d_winograd: it is no 3x3 convolution of stride/,
  );
  const applicable = `here it can be run as conv2d, ${TILED.join(", ")}$`;
  await refusesVariant(conv({ stride: 2 }), 0, "conv2d_winograd", new RegExp(applicable));
});

const KERNELS = [
  "conv2d",
  "conv2d_subgroup",
  ...TILED,
  "winograd_input",
  "winograd_input_2x2",
  "matmul_subgroup",
  "matmul_tile_32",
  "matmul_tile",
  "matmul_tile_128",
  "winograd_output",
  "winograd_output_2x2",
];

/** A device on which only these kernels are fast. */
const fastOnly = (...kernels: string[]): Rates => ({
  secondsOf,
  flops: 1e9,
  bytes: 1e12,
  dispatch: 1e-9,
  cores: 1,
  lanes: 1,
  efficiency: Object.fromEntries(KERNELS.map((name) => [name, kernels.includes(name) ? 1 : 1e-3])),
});

const WINOGRAD = ["winograd_input", "matmul_subgroup", "winograd_output"];
const WINOGRAD_2X2 = ["winograd_input_2x2", "matmul_subgroup", "winograd_output_2x2"];

/** A chain of 3x3 convolutions "conv0", "conv1", ... of so many channels, which every dense variant can take. */
function chain(layers: number, channels = 128): Graph {
  const graph = new Graph();
  let x = graph.input("x", [1, channels, 8, 8]);
  for (let i = 0; i < layers; i++) x = convLayer(`conv${i}`, x, channels, 3, { padding: 1 });
  graph.name("y", x);
  return graph;
}

/** By which variant each layer of a graph is computed, and why, by the layer's name. */
function choicesOf(graph: Graph, target: Partial<Target>, options: LowerOptions = {}) {
  chance = 1;
  const { nodes } = lower(graph, ["y"], { traits: traitsOf(8), variants, ...target }, options);
  const choices = nodes.flatMap((node) => (node.kind === "op" && node.choice) || []);
  return Object.fromEntries(choices.map(({ layer, variant, why }) => [layer, { variant, why }]));
}

/** As tune() keeps that a variant is the fastest for every layer of a chain. */
function tunedTo(variant: string): ReadonlyMap<string, string> {
  const graph = chain(1);
  const keys = graph.nodes.flatMap((node) => (node.kind === "op" ? [callKey("conv2d", callOf(graph, node))] : []));
  return new Map(keys.map((key) => [key, variant]));
}

test("the estimates choose what the device's rates make the fastest", () => {
  const fast: Readonly<Record<string, readonly string[]>> = {
    conv2d_subgroup: ["conv2d_subgroup"],
    ...Object.fromEntries(TILED.map((name) => [name, [name]])),
    conv2d_winograd: WINOGRAD,
    conv2d_winograd_2x2: WINOGRAD_2X2,
  };
  for (const [variant, kernels] of Object.entries(fast)) {
    const { conv0 } = choicesOf(chain(1), { traits: traitsOf(8, fastOnly(...kernels)) });
    assert.is(conv0.variant, variant);
    assert.match(conv0.why, /^estimated: conv2d_winograd [\d.e+-]+ ms, .*, conv2d_tile_128 [\d.e+-]+ ms$/);
  }
  // The plain kernel is no rival where others may gain.
  assert.is.not(choicesOf(chain(1), { traits: traitsOf(8, fastOnly("conv2d")) }).conv0.variant, "conv2d");
});

test("without rates it is the first that applies", () => {
  assert.equal(choicesOf(chain(1), {}).conv0, { variant: "conv2d_winograd", why: "the first that applies" });
});

test("a depthwise convolution has a kernel of its own", () => {
  const graph = netOf((x) => convLayer("conv0", x, 8, 3, { groups: 8 }));
  for (const known of [undefined, ...Object.values(rates)]) {
    const { conv0 } = choicesOf(graph, { traits: traitsOf(8, known) });
    assert.equal(conv0, { variant: "conv2d_depthwise", why: "the only one that gains" });
  }
});

test("a convolution of one pixel with one pixel is a linear layer", () => {
  const chainBy = (channels: number) => {
    const graph = new Graph();
    const x = graph.input("x", [2, 12, 1, 1]);
    graph.name("y", convLayer("conv1", convLayer("conv0", x, channels, 1), 12, 1));
    return graph;
  };
  for (const known of [undefined, ...Object.values(rates)]) {
    const choices = choicesOf(chainBy(8), { traits: traitsOf(8, known), variants: allVariants });
    for (const { variant } of Object.values(choices)) assert.is(variant, "conv2d_linear");
    // Ten channels are padded to twelve, and stay so.
    const forced = { conv2d: "conv2d_linear" };
    const padded = lower(chainBy(10), ["y"], { traits: traitsOf(8, known), variants: allVariants }, { forced });
    assert.equal(kernelsOf(padded), ["linear_gemv", "linear_gemv"]);
  }
});

test("a small weight is worth a fast kernel where there are many tokens, and only there", () => {
  const layer = (tokens: number) => {
    const graph = new Graph();
    graph.name("y", linearLayer("fc", graph.input("x", [1, tokens, 96]), 384));
    return choicesOf(graph, { variants: allVariants, traits: { ...traitsOf(8), software: true } }).fc.variant;
  };
  assert.is(layer(3136), "linear_subgroup");
  assert.is(layer(1), "linear");
});

test("what was measured is taken before what is estimated", () => {
  const traits = traitsOf(8, fastOnly("conv2d_subgroup"));
  for (const variant of ["conv2d", ...variants.conv2d.map(({ name }) => name)]) {
    if (/_(broadcast|depthwise|f16|grouped|linear|matrix)/.test(variant)) continue;
    const choices = choicesOf(chain(2), { traits, tuned: tunedTo(variant) });
    const measured = { variant, why: "measured on this adapter" };
    assert.equal(choices, { conv0: measured, conv1: measured });
  }
});

test("it counts for calls of the same shapes and options alone", () => {
  const traits = traitsOf(8, fastOnly("conv2d_subgroup"));
  const others = [
    netOf((x) => convLayer("conv0", x, 128, 3, { padding: 1 })),
    netOf((x) => convLayer("conv0", convLayer("a", x, 128, 9), 128, 3, { padding: 1, relu: true })),
    netOf((x) => convLayer("conv0", convLayer("a", x, 128, 9), 128, 3, { padding: 1, bias: false })),
  ];
  const same = netOf((x) => convLayer("conv0", convLayer("a", x, 128, 9), 128, 3, { padding: 1 }));
  const tuned = tunedTo("conv2d_tile");
  assert.is(choicesOf(same, { traits, tuned }).conv0.variant, "conv2d_tile");
  for (const graph of others) assert.is(choicesOf(graph, { traits, tuned }).conv0.variant, "conv2d_subgroup");
});

test("what was measured but does not apply, or is not known, is passed over", () => {
  const rival = fastOnly("conv2d_tile");
  const choose = (subgroupSize: number, variant: string, options?: LowerOptions) =>
    choicesOf(chain(1), { traits: traitsOf(subgroupSize, rival), tuned: tunedTo(variant) }, options).conv0.variant;
  assert.is(choose(8, "conv2d_subgroup"), "conv2d_subgroup");
  assert.is(choose(0, "conv2d_subgroup"), "conv2d_tile");
  assert.is(choose(8, "conv2d_depthwise"), "conv2d_tile");
  assert.is(choose(8, "conv2d_fft"), "conv2d_tile");
  assert.is(choose(8, "conv2d_winograd"), "conv2d_winograd");
  assert.is(choose(8, "conv2d_winograd", { tolerance: 0 }), "conv2d_tile");
});

test("what is asked for is taken before all else", () => {
  const target = { traits: traitsOf(8, fastOnly(...WINOGRAD)), tuned: tunedTo("conv2d_subgroup") };
  for (const variant of ["conv2d", "conv2d_tile_32", "conv2d_winograd_2x2"]) {
    const { conv0 } = choicesOf(chain(1), target, { forced: { conv2d: variant }, tolerance: 0 });
    assert.equal(conv0, { variant, why: "asked for" });
  }
});

test("every step of a plan tells what it was chosen for", () => {
  const graph = netOf((x) => {
    const y = maxPool2d(relu(convLayer("conv0", x, 128, 3, { padding: 1 })), { kernel: 2 });
    return relu(linearLayer("fc", flatten(y), 10));
  });
  chance = 1;
  const target = { ...device, traits: traitsOf(8, fastOnly(...WINOGRAD)) };
  const { steps } = compile(graph, ["y"], target, { passes: ["fuseActivation"] });
  const told = steps.map(({ kernel, label, choice }) => [
    kernel,
    label,
    choice?.layer,
    choice?.operator,
    choice?.variant,
  ]);
  const conv = ["conv0", "conv0", "conv2d", "conv2d_winograd"];
  assert.equal(told, [
    ["to_nhwc", ...conv],
    ...WINOGRAD.map((kernel) => [kernel, ...conv]),
    ["maxpool2d_nhwc", "maxpool2d", "maxpool2d", "maxpool2d", "maxpool2d_nhwc"],
    ["to_nchw", "maxpool2d", "maxpool2d", "maxpool2d", "maxpool2d_nhwc"],
    ["linear", "fc", "fc", "linear", "linear"],
  ]);
  const why = (layer: string) => [...new Set(steps.filter(({ label }) => label === layer).map((s) => s.choice?.why))];
  assert.match(String(why("conv0")), /^estimated: conv2d_winograd /);
  assert.equal(why("maxpool2d"), ["the only one that gains"]);
  assert.equal(why("fc"), ["none gains here"]);
});

test("precision decides whether Winograd's kernels may be taken", async () => {
  chance = 1;
  const target = { ...device, traits: traitsOf(8, fastOnly(...WINOGRAD, ...WINOGRAD_2X2)) };
  const winograd = (graph: Graph, options: object) =>
    compile(graph, ["y"], target, options).steps.some(({ kernel }) => kernel.startsWith("winograd"));
  assert.is(winograd(chain(1), {}), true);
  assert.is(winograd(chain(1), { precision: "default" }), true);
  assert.is(winograd(chain(1), { precision: "strict" }), false);
  assert.is(winograd(chain(1), { precision: "strict", variants: { conv2d: "conv2d_winograd" } }), true);
  await refuses(
    () => winograd(chain(1), { precision: "high" }),
    UsageError,
    "USAGE",
    /precision is "high"; it must be one of default, strict/,
  );
});

test("no net has Winograd's kernels with strict precision, on any device", () => {
  for (const [name, net] of someOf(Object.entries(nets), 1, 8)) {
    const graph = trace(net);
    for (const known of [undefined, ...Object.values(rates)]) {
      const target = { ...device, traits: traitsOf(pick(0, 8, 32), known) };
      const { steps } = compile(graph, ["logits"], target, { precision: "strict" });
      assert.not(
        steps.some(({ kernel }) => kernel.startsWith("winograd")),
        name,
      );
    }
  }
});

test("the errors of all layers together keep to the tolerance", () => {
  const known = fastOnly(...WINOGRAD, ...WINOGRAD_2X2);
  const slower = { winograd_input_2x2: 2e-3, winograd_output_2x2: 2e-3 };
  const traits = traitsOf(8, { ...known, efficiency: { ...known.efficiency, ...slower } });
  const errorOf = (variant: string) => variants.conv2d.find(({ name }) => name === variant)?.error?.f32 ?? 0;
  const [error, smaller] = ["conv2d_winograd", "conv2d_winograd_2x2"].map(errorOf);
  assert.ok(error > 2 * smaller && smaller > 0);
  const choose = (layers: number, tolerance?: number) => {
    const choices = Object.values(choicesOf(chain(layers, 256), { traits }, { tolerance }));
    return new Set(choices.map(({ variant }) => variant));
  };
  assert.equal(choose(1), new Set(["conv2d_winograd"]));
  assert.not(choose(1, 0.9 * error).has("conv2d_winograd"));
  // Independent errors: their squares add up.
  assert.equal(choose(4, 2.1 * error), new Set(["conv2d_winograd"]));
  // What adds the most is left out first.
  assert.equal(choose(5, 2.1 * error), new Set(["conv2d_winograd_2x2"]));
  assert.equal(
    [...choose(5, 2.1 * smaller)].filter((variant) => variant.startsWith("conv2d_winograd")),
    [],
  );
});

test.run();
