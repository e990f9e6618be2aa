import { test } from "uvu";
import * as assert from "uvu/assert";
import { deriveParam, Graph, paramShapes } from "../../../engine/graph/graph.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { summarize } from "../../../engine/summary.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { add } from "../../../kernels/elementwise/add.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { tanh } from "../../../kernels/elementwise/tanh.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import { type Operator, open, randomTensor, refuses, sameBits } from "../../harness.ts";

const gpu = await open();

test("shapes are inferred as the graph is built", () => {
  const graph = new Graph();
  const x = graph.input("x", [2, 3, 9, 8]);
  const y = conv2d(x, graph.param("w", [5, 3, 3, 3]), undefined, { stride: 2 });
  assert.equal(y.shape, [2, 5, 4, 3]);
  assert.equal(linear(flatten(y), graph.param("fc", [7, 60])).shape, [2, 7]);
});

test("a misfit throws where it is made and leaves the graph as it was", async () => {
  const graph = new Graph();
  const x = graph.input("x", [2, 3, 9, 8]);
  const w = graph.param("w", [5, 4, 3, 3]);
  const count = graph.nodes.length;
  await refuses(() => conv2d(x, w), ShapeError, "SHAPE", /has 3 channels; w \[5, 4, 3, 3\] wants 4/);
  await refuses(() => relu(x, { slope: 1 } as object), UsageError, "USAGE", /relu has no option "slope"/);
  assert.is(graph.nodes.length, count);
});

test("a shape has positive integers only", async () => {
  for (const shape of [[0], [2, -1], [1.5], [NaN], [2 ** 31, 2 ** 31], "23" as unknown as number[]]) {
    const graph = new Graph();
    await refuses(() => graph.input("x", shape), ShapeError, "SHAPE", /input "x" has shape .*(positive|too many)/);
    await refuses(() => graph.param("w", shape), ShapeError, "SHAPE", /parameter "w" has shape .*(positive|too many)/);
  }
});

test("values of two graphs don't mix", async () => {
  const [a, b] = [new Graph().input("a", [2]), new Graph().input("b", [2])];
  const foreign = /a value belongs to another graph/;
  await refuses(() => add(a, b), UsageError, "USAGE", foreign);
  await refuses(() => a.graph.name("b", b), UsageError, "USAGE", foreign);
  await refuses(() => a.graph.reshape(b, [1, 2]), UsageError, "USAGE", foreign);
});

test("a name is given once", async () => {
  const graph = new Graph();
  const x = graph.input("x", [2]);
  graph.name("y", relu(x));
  await refuses(() => graph.name("y", tanh(x)), UsageError, "USAGE", /two values of one graph are called "y"/);
  await refuses(() => graph.input("x", [3]), UsageError, "USAGE", /two inputs of one graph are called "x"/);
});

test("what is derived from a parameter is none of the checkpoint, which has the parameter all the same", () => {
  const graph = new Graph();
  const table = graph.param("table", [4, 3]);
  graph.name(
    "y",
    add(
      graph.input("x", [3, 4]),
      deriveParam(table, "turned", [3, 4], (values) => values),
    ),
  );
  assert.equal(paramShapes(graph), new Map([["table", [4, 3]]]));
  assert.is(summarize(graph).parameters, 12);
});

test("a parameter's name gives the same value again, in the same shape only", async () => {
  const graph = new Graph();
  const w = graph.param("w", [2, 3]);
  assert.is(graph.param("w", [2, 3]).id, w.id);
  const other = () => graph.param("w", [3, 2]);
  await refuses(other, ShapeError, "SHAPE", /parameter "w" is \[2, 3\] and cannot also be \[3, 2\]/);
});

test("a reshape keeps the count of elements", async () => {
  const graph = new Graph();
  const x = graph.input("x", [2, 6]);
  assert.equal(graph.reshape(graph.reshape(x, [12]), [3, 2, 2]).shape, [3, 2, 2]);
  await refuses(() => graph.reshape(x, [13]), ShapeError, "SHAPE", /cannot reshape \[2, 6\] to \[13\]/);
  await refuses(() => graph.reshape(x, [-1, 6]), ShapeError, "SHAPE", /the reshaped value has shape \[-1,6\]/);
});

test("eager runs any function of values", async () => {
  const [a, b] = [randomTensor([3, 4]), randomTensor([4])];
  const block = (x: Value, y: Value, { twice = false } = {}) => {
    const sum = relu(add(x, y));
    return twice ? add(sum, sum) : sum;
  };
  const sums = a.data.map((v, i) => Math.max(0, v + b.data[i % 4]));
  sameBits(await gpu.eager(block as Operator, a, b), { shape: [3, 4], data: sums });
  sameBits(await gpu.eager(block as Operator, a, b, { twice: true }), { shape: [3, 4], data: sums.map((v) => 2 * v) });
});

test("eager takes an identity, and one tensor twice", async () => {
  const x = randomTensor([5]);
  sameBits(await gpu.eager(((v) => v) as Operator, x), x);
  sameBits(await gpu.eager(add, x, x), { ...x, data: x.data.map((v) => v + v) });
});

test("eager hands on what its function throws, and leaves nothing behind", async () => {
  const misfit = () => gpu.eager(add, randomTensor([2]), randomTensor([3]));
  await refuses(misfit, ShapeError, "SHAPE", /\[2\] and \[3\] cannot be broadcast/);
  await refuses(() => gpu.eager(relu, undefined), UsageError, "USAGE", /relu needs a value of a graph/);
  assert.is(gpu.alive.buffers, 0);
});

test("of many layers an error names the first", () => {
  const graph = new Graph();
  const x = graph.input("x", [1]);
  for (let i = 0; i < 1000; i++) graph.name(`layer${i}`, x);
  const message = /^there is no layer called "none"; there are layer0, layer1, .{1400,1500}$/;
  assert.throws(() => graph.find("none"), message);
});

test.run();
