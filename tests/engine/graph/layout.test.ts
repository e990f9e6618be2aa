import { test } from "uvu";
import * as assert from "uvu/assert";
import { compile } from "../../../engine/graph/compile.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import type { Value } from "../../../engine/graph/value.ts";
import {
  adaptiveAvgPool2d,
  add,
  avgPool2d,
  channelShuffle,
  concat,
  conv2d,
  flatten,
  gelu,
  layerNorm,
  maxPool2d,
  mean,
  mul,
  pad,
  permute,
  relu,
  sigmoid,
  silu,
  slice,
  softmax,
} from "../../../kernels/index.ts";
import { rates } from "../../../kernels/rates.ts";
import { variants } from "../../../kernels/variants.ts";
import { batchNormLayer, convLayer, linearLayer } from "../../../nets/layers.ts";
import { assertOutputs, int, open, pick, randomTensors, runPlan } from "../../harness.ts";

// Graphs that branch and join: images stay NHWC from the first convolution to the last.

const gpu = await open();

const GPU = { subgroupSize: 0, software: false, maxBinding: 2 ** 27, rates: rates.gpu };

/** Steps that change a layout, on a software adapter and on a GPU. */
function conversionsOf(graph: Graph): number[] {
  const software = { ...gpu.traits, rates: rates.software };
  return [software, GPU].map((traits) => {
    const limits = { maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 30 };
    const { steps } = compile(graph, ["y"], { traits, variants, limits });
    return steps.filter(({ converts }) => converts).length;
  });
}

/** Batch norm and relu in front of a convolution, as DenseNet has them. */
function preactivated(name: string, x: Value, channels: number, kernel: number): Value {
  const y = relu(batchNormLayer(`${name}.norm`, x));
  return convLayer(`${name}.conv`, y, channels, kernel, { padding: (kernel - 1) / 2, bias: false });
}

/**
 * Dense blocks of so many layers, with transitions between them, on an image of `side` pixels: G. Huang, Z. Liu, L. van der
 * Maaten, K. Weinberger: "Densely connected convolutional networks", 2017.
 */
function dense(blocks: readonly number[], side: number, growth = 32): Graph {
  const graph = new Graph();
  let x: Value = relu(
    batchNormLayer(
      "n0",
      convLayer("c0", graph.input("x", [1, 3, side, side]), 2 * growth, 7, { stride: 2, padding: 3, bias: false }),
    ),
  );
  x = maxPool2d(x, { kernel: 3, stride: 2, padding: 1 });
  blocks.forEach((layers, block) => {
    const features = [x];
    for (let layer = 0; layer < layers; layer++) {
      const name = `b${block}.l${layer}`;
      const joined = features.length > 1 ? concat(...features) : x;
      features.push(preactivated(`${name}.2`, preactivated(`${name}.1`, joined, 4 * growth, 1), growth, 3));
    }
    x = concat(...features);
    if (block < blocks.length - 1) {
      x = avgPool2d(preactivated(`t${block}`, x, x.shape[1] / 2, 1), { kernel: 2, stride: 2 });
    }
  });
  x = adaptiveAvgPool2d(relu(batchNormLayer("n5", x)), { outputSize: 1 });
  graph.name("y", linearLayer("fc", flatten(x), 10));
  return graph;
}

/** Scales each channel by what the mean of all says of it: J. Hu, L. Shen, G. Sun: "Squeeze-and-excitation networks", 2018. */
function squeezeAndExcite(name: string, x: Value, channels: number, average: (x: Value) => Value): Value {
  const y = silu(convLayer(`${name}.1`, average(x), channels, 1));
  return mul(x, sigmoid(convLayer(`${name}.2`, y, x.shape[1], 1)));
}

/** Kernel, stride and output channels of 16 blocks, and by how much each widens its input: EfficientNet-B0's. */
const MB_BLOCKS = [
  [1, 3, 1, 16],
  [6, 3, 2, 24],
  [6, 3, 1, 24],
  [6, 5, 2, 40],
  [6, 5, 1, 40],
  [6, 3, 2, 80],
  [6, 3, 1, 80],
  [6, 3, 1, 80],
  [6, 5, 1, 112],
  [6, 5, 1, 112],
  [6, 5, 1, 112],
  [6, 5, 2, 192],
  [6, 5, 1, 192],
  [6, 5, 1, 192],
  [6, 5, 1, 192],
  [6, 3, 1, 320],
];

/** Inverted residuals with squeeze and excitation: M. Tan, Q. Le: "EfficientNet", 2019. */
function efficient(side: number, average: (x: Value) => Value): Graph {
  const graph = new Graph();
  const unit = (name: string, x: Value, channels: number, kernel: number, options: object) =>
    batchNormLayer(
      `${name}.bn`,
      convLayer(name, x, channels, kernel, { padding: (kernel - 1) / 2, bias: false, ...options }),
    );
  let x: Value = silu(unit("stem", graph.input("x", [1, 3, side, side]), 32, 3, { stride: 2 }));
  MB_BLOCKS.forEach(([widen, kernel, stride, channels], i) => {
    const wide = widen * x.shape[1];
    let y = widen > 1 ? silu(unit(`${i}.expand`, x, wide, 1, {})) : x;
    y = silu(unit(`${i}.depthwise`, y, wide, kernel, { stride, groups: wide }));
    y = squeezeAndExcite(`${i}.se`, y, Math.max(1, x.shape[1] / 4), average);
    y = unit(`${i}.project`, y, channels, 1, {});
    x = stride === 1 && channels === x.shape[1] ? add(y, x) : y;
  });
  x = average(silu(unit("head", x, 1280, 1, {})));
  graph.name("y", softmax(linearLayer("fc", flatten(x), 10)));
  return graph;
}

const AVERAGES: readonly ((x: Value) => Value)[] = [
  (x) => adaptiveAvgPool2d(x, { outputSize: 1 }),
  (x) => mean(x, { dims: [2, 3], keepDim: true }),
];

test("dense blocks of 6, 12, 24 and 16 layers change the layout four times at most", () => {
  for (const conversions of conversionsOf(dense([6, 12, 24, 16], 224))) {
    assert.ok(conversions <= 4, `there are ${conversions} conversions`);
  }
});

test("16 blocks with squeeze and excitation do, too", () => {
  for (const average of AVERAGES) {
    for (const conversions of conversionsOf(efficient(224, average))) {
      assert.ok(conversions <= 4, `there are ${conversions} conversions`);
    }
  }
});

test("batch norms and activations cost no steps of their own, but for those that no convolution is in front of", () => {
  const graph = efficient(64, AVERAGES[0]);
  const { steps } = compile(graph, ["y"], { traits: GPU, variants, limits: gpu.limits });
  const alone = steps.filter(({ kernel }) => ["batchnorm", "silu", "sigmoid", "relu"].includes(kernel));
  assert.equal(
    alone.map(({ label }) => label),
    [],
  );
  const layers = [2, 2];
  const { steps: others } = compile(dense(layers, 32, 8), ["y"], { traits: GPU, variants, limits: gpu.limits });
  const count = (name: string) => others.filter(({ kernel }) => kernel === name).length;
  // Of every two in a layer, the second is folded into the convolution between them; then the transition's and the last.
  assert.is(count("batchnorm"), 4 + 1 + 1);
  assert.is(count("relu"), 0);
});

async function assertRuns(graph: Graph): Promise<void> {
  const tensors = randomTensors(graph);
  assertOutputs(await runPlan(gpu, compile(graph, ["y"], gpu), tensors), graph, ["y"], tensors);
}

test("small ones compute what their references do", async () => {
  await assertRuns(dense([2, 3], 32, 8));
  await assertRuns(dense([1, 2], 32, 4));
});

/**
 * Blocks that normalize and mix channels last, between depthwise convolutions: Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer,
 * T. Darrell, S. Xie: "A ConvNet for the 2020s", 2022.
 */
function convNext(blocks: number, channels: number, side: number): Graph {
  const graph = new Graph();
  const last = (x: Value) => permute(x, { dims: [0, 2, 3, 1] });
  const first = (x: Value) => permute(x, { dims: [0, 3, 1, 2] });
  const norm = (name: string, x: Value) =>
    layerNorm(x, ...["weight", "bias"].map((part) => graph.param(`${name}.${part}`, x.shape.slice(-1))), { eps: 1e-6 });
  const dense = (name: string, x: Value, size: number) => linearLayer(name, x, size);
  const norm2d = (name: string, x: Value) => first(norm(name, last(x)));
  let x = norm2d("n0", convLayer("stem", graph.input("x", [1, 3, side, side]), channels, 4, { stride: 4 }));
  for (let i = 0; i < blocks; i++) {
    const y = last(convLayer(`${i}.depthwise`, x, channels, 7, { padding: 3, groups: channels }));
    const z = dense(`${i}.2`, gelu(dense(`${i}.1`, norm(`${i}.norm`, y), 4 * channels)), channels);
    x = add(mul(graph.param(`${i}.scale`, [channels, 1, 1]), first(z)), x);
  }
  x = convLayer("down", norm2d("n1", x), 2 * channels, 2, { stride: 2 });
  const y = flatten(norm2d("n2", adaptiveAvgPool2d(x, { outputSize: 1 })));
  graph.name("y", linearLayer("fc", y, 10));
  return graph;
}

test("layer norms over channels leave images in NHWC", async () => {
  for (const conversions of conversionsOf(convNext(3, 96, 224))) {
    assert.ok(conversions <= 1, `there are ${conversions} conversions`);
  }
  const { steps } = compile(convNext(3, 96, 224), ["y"], { traits: GPU, variants, limits: gpu.limits });
  assert.is(steps.filter(({ kernel }) => kernel === "permute").length, 0);
  await assertRuns(convNext(2, 8, 32));
});

/** A random graph of images that branch and join, by all that has to keep a layout. */
function branching(steps: number): Graph {
  const graph = new Graph();
  const channels = 4 * int(1, 4);
  const input = graph.input("x", [int(1, 2), pick(3, channels), int(5, 9), int(5, 9)]);
  const values = [convLayer("stem", input, channels, 3, { padding: 1 })];
  for (let i = 0; i < steps; i++) {
    const x = pick(...values.slice(-3));
    const [, c, h, w] = x.shape;
    const alike = values.filter(({ shape }) => String(shape.slice(2)) === String(x.shape.slice(2)));
    const name = `layer${i}`;
    const grow: readonly (() => Value)[] = [
      () => concat(...alike.slice(-3)),
      () => convLayer(name, x, 4 * int(1, 6), pick(1, 3), { padding: 1 }),
      () => convLayer(name, x, c, 3, { padding: 1, groups: c }),
      () => pad(x, { padding: [int(0, 2), int(0, 2), int(0, 2), int(0, 2)], value: pick(0, 0.5) }),
      () => channelShuffle(x, { groups: pick(2, 4) }),
      () => slice(x, { start: 4 * int(0, c / 4 - 1) }),
      () => permute(relu(permute(x, { dims: [0, 2, 3, 1] })), { dims: [0, 3, 1, 2] }),
      () => mul(x, sigmoid(convLayer(name, mean(x, { dims: [2, 3], keepDim: true }), c, 1))),
      () => mul(x, graph.param(name, pick([c, 1, 1], [1, c, 1, 1], [1, 1, h, w]))),
      () => relu(batchNormLayer(name, x)),
      () => gelu(x),
      () => add(x, pick(...values.filter(({ shape }) => String(shape) === String(x.shape)))),
      () => maxPool2d(x, { kernel: 3, stride: pick(1, 2), padding: 1 }),
      () => mul(x, mean(x, { dims: [1], keepDim: true })),
    ];
    values.push(pick(...grow)());
  }
  graph.name("y", flatten(values[values.length - 1]));
  return graph;
}

test("20 random graphs that branch and join compute what their references do", async () => {
  for (let i = 0; i < 20; i++) await assertRuns(branching(8));
});

test("a convolution that is read as it is gives its image in NCHW", () => {
  const graph = new Graph();
  graph.name("y", conv2d(graph.input("x", [1, 64, 14, 14]), graph.param("w", [64, 64, 3, 3])));
  assert.equal(conversionsOf(graph), [2, 2]);
});

test.run();
