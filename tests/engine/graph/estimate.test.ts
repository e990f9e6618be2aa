import { test } from "uvu";
import * as assert from "uvu/assert";
import { CONVERSIONS, fastest, tryOut } from "../../../engine/graph/estimate.ts";
import { Graph, type Value } from "../../../engine/graph/graph.ts";
import { type AnyKernel, linearGrid, type Rates, type Traits } from "../../../engine/graph/kernel.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { conv2dDepthwise } from "../../../kernels/conv2d/conv2d_depthwise.ts";
import { conv2dMatrix, conv2dMatrix128 } from "../../../kernels/conv2d/conv2d_matrix.ts";
import { conv2dStem } from "../../../kernels/conv2d/conv2d_stem.ts";
import { conv2dSubgroup, matmulSubgroup } from "../../../kernels/conv2d/conv2d_subgroup.ts";
import {
  conv2dTile,
  conv2dTile32,
  conv2dTile128,
  conv2dTileSplit,
  matmulTile,
  matmulTile32,
  matmulTile128,
} from "../../../kernels/conv2d/conv2d_tile.ts";
import { sumSplits } from "../../../kernels/conv2d/sum_splits.ts";
import { winogradInput } from "../../../kernels/conv2d/winograd/winograd_input.ts";
import { winogradInput2x2 } from "../../../kernels/conv2d/winograd/winograd_input_2x2.ts";
import { winogradOutput } from "../../../kernels/conv2d/winograd/winograd_output.ts";
import { winogradOutput2x2 } from "../../../kernels/conv2d/winograd/winograd_output_2x2.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { toNchw } from "../../../kernels/layout/to_nchw.ts";
import { toNhwc } from "../../../kernels/layout/to_nhwc.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import { linearGemv } from "../../../kernels/linear/linear_gemv.ts";
import { rates } from "../../../kernels/rates.ts";

const DISPATCH = 1e-6;

const device: Rates = {
  flops: 1e12,
  bytes: 1e11,
  dispatch: DISPATCH,
  cores: 10,
  lanes: 64,
  efficiency: { conv2d_tile: 0.5, linear: 0.25 },
};

const traitsOf = (known?: Rates): Traits => ({ subgroupSize: 8, software: false, maxBinding: 2 ** 27, rates: known });

/** The estimate for what is built on an input of this shape. */
function secondsOf(shape: number[], build: (x: Value) => Value, known = device): number {
  const graph = new Graph();
  const x = graph.input("x", shape);
  return tryOut(graph, () => build(x), traitsOf(known)).seconds as number;
}

const assertNear = (got: number, want: number) =>
  assert.ok(Math.abs(got - want) <= 1e-9 * want, `it is ${got}, wanted ${want}`);

const param = (x: Value, ...shape: number[]) => x.graph.param(`w ${shape.join("x")}`, shape);

test("arithmetic takes its time by the kernel's own efficiency", () => {
  // 4096 products of 1024 terms, in 64 tiles of 64 x 64, all of them full.
  const seconds = secondsOf([1, 32, 32, 256], (x) => conv2dTile(x, param(x, 1, 1, 256, 256)));
  assertNear(seconds, DISPATCH + (2 * 1024 * 256 * 256) / (0.5 * device.flops));
  // A kernel that is not listed reaches a tenth.
  const other = secondsOf([1, 32, 32, 256], (x) => conv2dTile128(x, param(x, 1, 1, 256, 256)));
  assertNear(other, DISPATCH + (2 * 1024 * 256 * 256) / (0.1 * device.flops));
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

test("steps add up; layouts, views, and what is not used are free", () => {
  const elements = 2 ** 20;
  const once = DISPATCH + (2 * 4 * elements) / device.bytes;
  const image = [1, 4, 512, 512];
  assertNear(
    secondsOf(image, (x) => relu(relu(x))),
    2 * once,
  );
  assertNear(
    secondsOf(image, (x) => toNchw(relu(toNhwc(x)), { channels: 4 })),
    once,
  );
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
  const { value, seconds } = tryOut(graph, () => relu(before), traitsOf(device));
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
  const { value, seconds } = tryOut(graph, () => relu(x), traitsOf());
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
  const kernels: AnyKernel[] = [
    conv2d,
    conv2dDepthwise,
    conv2dMatrix,
    conv2dMatrix128,
    conv2dStem,
    conv2dSubgroup,
    conv2dTile,
    conv2dTile32,
    conv2dTile128,
    conv2dTileSplit,
    linear,
    linearGemv,
    matmulSubgroup,
    matmulTile,
    matmulTile32,
    matmulTile128,
    sumSplits,
    winogradInput,
    winogradInput2x2,
    winogradOutput,
    winogradOutput2x2,
  ];
  const names = kernels.map(({ name }) => name);
  assert.ok(rates.software && rates.gpu);
  for (const { efficiency, compiling = {}, ...others } of Object.values(rates)) {
    const positive = [...Object.values(others), ...Object.values(compiling)];
    assert.ok(positive.every((value) => value > 0 && Number.isFinite(value)));
    for (const name of Object.keys(compiling)) assert.ok(names.includes(name), `there is no kernel ${name}`);
    for (const [name, share] of Object.entries(efficiency)) {
      assert.ok(names.includes(name), `there is no kernel ${name}`);
      // Matrix units do more than the multiply-adds whose peak is the measure.
      assert.ok(share > 0 && (share <= 1 || name.startsWith("conv2d_matrix")), name);
    }
  }
  for (const kernel of [toNhwc, toNchw]) assert.ok(CONVERSIONS.includes(kernel.name));
});

test.run();
