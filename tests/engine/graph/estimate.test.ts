import { test } from "uvu";
import * as assert from "uvu/assert";
import { candidatesOf } from "../../../engine/graph/candidates.ts";
import { fastest, tryOut } from "../../../engine/graph/estimate.ts";
import { Graph, type OpNode } from "../../../engine/graph/graph.ts";
import { type AnyKernel, linearGrid } from "../../../engine/graph/kernel.ts";
import type { Value } from "../../../engine/graph/value.ts";
import type { Rates, Setting } from "../../../engine/graph/variant.ts";
import { tileKernelsOf } from "../../../kernels/conv2d/conv2d_tile.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import * as kernels from "../../../kernels/index.ts";
import { toNchw } from "../../../kernels/layout/to_nchw.ts";
import { toNhwc } from "../../../kernels/layout/to_nhwc.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import { rates } from "../../../kernels/rates.ts";
import { references } from "../../../kernels/references.ts";
import { variants } from "../../../kernels/variants.ts";
import { batchNormLayer, convLayer, linearLayer } from "../../../nets/layers.ts";
import { matricesOf } from "../../harness.ts";

const DISPATCH = 1e-6;

const device: Rates = {
  secondsOf: rates.software.secondsOf,
  flops: 1e12,
  bytes: 1e11,
  dispatch: DISPATCH,
  cores: 10,
  lanes: 64,
  efficiency: { conv2d_tile: 0.5, linear: 0.25 },
};

const settingOf = (known?: Rates): Setting => ({
  subgroupSize: 8,
  software: false,
  maxBinding: 2 ** 27,
  rates: known,
  dtype: "f32",
});

const [conv2dTile, conv2dTile128] = [64, 128].map(
  (wanted) => tileKernelsOf.find(({ size }) => size === wanted)?.conv2d as AnyKernel,
);

/** The estimate for what is built on an input of this shape. */
function secondsOf(shape: number[], build: (x: Value) => Value, known = device): number {
  const graph = new Graph();
  const x = graph.input("x", shape);
  return tryOut(graph, () => build(x), settingOf(known)).seconds as number;
}

const assertNear = (got: number, want: number) =>
  assert.ok(Math.abs(got - want) <= 1e-9 * want, `it is ${got}, wanted ${want}`);

const param = (x: Value, ...shape: number[]) => x.graph.param(`w ${shape.join("x")}`, shape);

test("arithmetic takes its time by the kernel's own efficiency", () => {
  // 4096 products of 1024 terms, in 64 tiles of 64 x 64, all of them full.
  const seconds = secondsOf([1, 32, 32, 256], (x) => conv2dTile(x, param(x, 1, 1, 256, 256)));
  assertNear(seconds, DISPATCH + (2 * 1024 * 256 * 256) / (0.5 * device.flops));
  // A kernel that is not listed reaches a tenth; one that is not for such devices takes forever.
  const tile128 = (x: Value) => conv2dTile128(x, param(x, 1, 1, 256, 256));
  const other = secondsOf([1, 32, 32, 256], tile128);
  assertNear(other, DISPATCH + (2 * 1024 * 256 * 256) / (0.1 * device.flops));
  assert.is(secondsOf([1, 32, 32, 256], tile128, { ...device, efficiency: { conv2d_tile_128: 0 } }), Infinity);
});

test("what tiles compute beside the edge counts, too", () => {
  // 65 pixels are two tiles of 64, and 4 channels one.
  const seconds = secondsOf([1, 5, 13, 4096], (x) => conv2dTile(x, param(x, 1, 1, 4096, 4)), {
    ...device,
    cores: 2,
  });
  assertNear(seconds, DISPATCH + (2 * 128 * 64 * 4096) / (0.5 * device.flops));
});

test("memory takes its time where there is little arithmetic", () => {
  const elements = 2 ** 20;
  assertNear(
    secondsOf([elements], (x) => relu(x)),
    DISPATCH + (2 * 4 * elements) / device.bytes,
  );
});

test("a few workgroups use their share of the device", () => {
  const grid = linearGrid(640, relu.consts({} as never).WORKGROUP as number);
  const cores = grid[0] * 4;
  const once = (2 * 4 * 640) / device.bytes;
  assertNear(
    secondsOf([640], (x) => relu(x), { ...device, cores }),
    DISPATCH + 4 * once,
  );
  // Workgroups of 64 threads use half of a core of 128 lanes, and all of one of 8.
  assertNear(
    secondsOf([640], (x) => relu(x), { ...device, cores, lanes: 128 }),
    DISPATCH + 8 * once,
  );
  assertNear(
    secondsOf([640], (x) => relu(x), { ...device, cores, lanes: 8 }),
    DISPATCH + 4 * once,
  );
  // A linear layer has one workgroup for some of its rows: its share depends on the weight.
  const few = secondsOf([1, 4096], (x) => linear(x, param(x, 1, 4096)));
  const many = secondsOf([1, 4096], (x) => linear(x, param(x, 10_000, 4096)));
  assert.ok(many < 10_000 * few, "more rows do not use more of the device");
});

test("steps add up; layouts that cancel, views, and what is not used are free", () => {
  const elements = 2 ** 20;
  const once = DISPATCH + (2 * 4 * elements) / device.bytes;
  const image = [1, 4, 512, 512];
  assertNear(
    secondsOf(image, (x) => relu(relu(x))),
    2 * once,
  );
  // An image that is not in NHWC yet is converted; that it is left so may cancel, unless it is known not to.
  const converted = (x: Value) => toNchw(relu(toNhwc(x)), { channels: 4 });
  assertNear(secondsOf(image, converted), 2 * once);
  const graph = new Graph();
  const x = graph.input("x", image);
  assertNear(tryOut(graph, () => converted(x), settingOf(device), false).seconds as number, 3 * once);
  assertNear(
    secondsOf(image, (x) => x.graph.reshape(relu(x.graph.reshape(x, [elements])), image)),
    once,
  );
  const wasteful = (x: Value) => {
    relu(relu(x));
    return relu(x);
  };
  assertNear(secondsOf(image, wasteful), once);
  assert.is(
    secondsOf(image, (x) => x),
    0,
  );
});

test("what was there before is not counted, and what is tried is there", () => {
  const graph = new Graph();
  const before = relu(graph.input("x", [1000]));
  const { value, seconds } = tryOut(graph, () => relu(before), settingOf(device));
  assert.is(value.graph, graph);
  assert.is(value.id, 2);
  assertNear(
    seconds as number,
    secondsOf([1000], (x) => relu(x)),
  );
});

test("nothing is estimated of a device that nothing is known of", () => {
  const graph = new Graph();
  const x = graph.input("x", [4]);
  const { value, seconds } = tryOut(graph, () => relu(x), settingOf());
  assert.is(seconds, undefined);
  assert.is(value.id, 1);
});

test("the fastest has the smallest estimate; of equals, and where nothing is known, it is the first", () => {
  const choose = (...seconds: (number | undefined)[]) =>
    fastest(seconds.map((each, index) => ({ seconds: each, index }))).index;
  assert.is(choose(3, 1, 2), 1);
  assert.is(choose(2, 1, 1), 1);
  assert.is(choose(1), 0);
  assert.is(choose(undefined, undefined), 0);
});

test("the rates are of kernels that exist, and plausible", () => {
  assert.ok(rates.software && rates.gpu);
  for (const { secondsOf: _, efficiency, compiling = {}, ...others } of Object.values(rates)) {
    const positive = [...Object.values(others), ...Object.values(compiling)];
    assert.ok(positive.every((value) => value > 0 && Number.isFinite(value)));
    for (const name of Object.keys(compiling)) assert.ok(name in references, `there is no kernel ${name}`);
    for (const [name, share] of Object.entries(efficiency)) {
      assert.ok(name in references, `there is no kernel ${name}`);
      // Matrix units do more than the multiply-adds whose peak is the measure.
      assert.ok(share >= 0 && (share <= 1 || /^(conv2d|matmul)_matrix/.test(name)), name);
    }
  }
});

const IMAGE = [1, 8, 6, 6];

/** Calls of every operator that has variants, such that each variant can take one of them. */
const CALLS: readonly ((graph: Graph) => Value)[] = [
  (graph) => convLayer("conv", graph.input("x", [1, 128, 8, 8]), 128, 3, { padding: 1 }),
  (graph) => convLayer("conv", graph.input("x", [1, 8, 8, 8]), 8, 3, { groups: 8 }),
  (graph) => convLayer("conv", graph.input("x", [1, 8, 8, 8]), 8, 3, { groups: 2 }),
  (graph) => convLayer("conv", graph.input("x", [1, 8, 1, 1]), 8, 1),
  (graph) => linearLayer("fc", graph.input("x", [8, 512]), 512),
  (graph) => kernels.softmax(graph.input("x", [2, 100])),
  (graph) => batchNormLayer("bn", graph.input("x", IMAGE)),
  (graph) => kernels.maxPool2d(graph.input("x", IMAGE), { kernel: 2 }),
  (graph) => kernels.avgPool2d(graph.input("x", IMAGE), { kernel: 2 }),
  (graph) => kernels.adaptiveAvgPool2d(graph.input("x", IMAGE), { outputSize: 1 }),
  (graph) => kernels.layerNorm(graph.input("x", [8, 96])),
  (graph) => kernels.lrn(graph.input("x", IMAGE)),
  (graph) => kernels.channelShuffle(graph.input("x", IMAGE), { groups: 2 }),
  (graph) => kernels.concat(graph.input("x", IMAGE), graph.input("z", IMAGE)),
  (graph) => kernels.slice(graph.input("x", IMAGE), { end: 4 }),
  (graph) => kernels.permute(graph.input("x", IMAGE), { dims: [0, 2, 3, 1] }),
  (graph) => kernels.mean(graph.input("x", IMAGE), { dims: [2, 3] }),
  (graph) => kernels.pad(graph.input("x", IMAGE), { padding: 1 }),
  (graph) => kernels.add(graph.input("x", IMAGE), graph.input("z", IMAGE)),
  (graph) => kernels.mul(graph.input("x", IMAGE), graph.input("z", [1, 8, 1, 1])),
  ...[kernels.clamp, kernels.gelu, kernels.hardSigmoid, kernels.hardSwish, kernels.leakyRelu, relu].map(
    (kernel: AnyKernel) => (graph: Graph) => kernel(graph.input("x", IMAGE)),
  ),
  ...[kernels.sigmoid, kernels.silu, kernels.tanh].map(
    (kernel: AnyKernel) => (graph: Graph) => kernel(graph.input("x", IMAGE)),
  ),
];

const SETTINGS: readonly Setting[] = [
  { ...settingOf(), software: true },
  { ...settingOf(), software: true, subgroupSize: 4 },
  settingOf(),
  { ...settingOf(), subgroupSize: 32, matrices: matricesOf(), f16: true, dtype: "f16" },
];

test("every kernel that a variant can use has a rate in some family of devices", () => {
  const made = new Set<string>();
  const used = new Set<string>();
  for (const build of CALLS) {
    for (const setting of SETTINGS) {
      const graph = new Graph();
      const node = graph.nodes[build(graph).id] as OpNode;
      const inputs = Object.fromEntries(Object.entries(node.inputs).map(([name, id]) => [name, graph.value(id)]));
      const [plain, ...others] = candidatesOf(graph, node, inputs, variants, setting);
      for (const { name, reason, make } of others) {
        if (reason !== undefined) continue;
        const first = graph.nodes.length;
        make();
        made.add(`${plain.name} ${name}`);
        for (const added of graph.nodes.slice(first)) {
          if (added.kind === "op" && !added.kernel.converts && added.kernel.name !== plain.name) {
            used.add(added.kernel.name);
          }
        }
      }
    }
  }
  for (const [operator, list] of Object.entries(variants)) {
    for (const { name } of list) assert.ok(made.has(`${operator} ${name}`), `no call was one for ${operator} ${name}`);
  }
  const shares = Object.values(rates).flatMap(({ efficiency }) => Object.entries(efficiency));
  const rated = new Set(shares.flatMap(([name, share]) => (share > 0 ? [name] : [])));
  assert.equal(
    [...used].filter((name) => !rated.has(name)),
    [],
  );
});

test.run();
