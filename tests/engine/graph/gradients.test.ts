import { test } from "uvu";
import * as assert from "uvu/assert";
import { differentiate, type Gradients } from "../../../engine/graph/gradients.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { add } from "../../../kernels/elementwise/add.ts";
import { mul } from "../../../kernels/elementwise/mul.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { tanh } from "../../../kernels/elementwise/tanh.ts";
import { loadGradients } from "../../../kernels/gradients.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import { sum } from "../../../kernels/sum.ts";
import { evaluateGraph, kernelsOf, refuses } from "../../harness.ts";

const gradients = await loadGradients();

const { relu: reluGradient, ...others } = gradients.of;
const withoutRelu: Gradients = { ...gradients, of: others };

const whole = (x: readonly number[]) => tensor([x.length], x);

test("a value that is read twice has the sum of both gradients", () => {
  const graph = new Graph();
  const [x, dy] = [graph.input("x", [3]), graph.input("dy", [3])];
  // x^2 + 3 x, of which x x reads one value twice itself.
  const y = add(mul(x, x), x, { alpha: 3 });
  const [dx] = differentiate([[y, dy]], [x], gradients);
  assert.ok(dx);
  const values = evaluateGraph(graph, { x: whole([1, -2, 0.5]), dy: whole([1, 10, 100]) });
  assert.equal([...values[dx.id].data], [5, -10, 400]);
});

test("a value that is read by two chains, one longer than the other, is waited for", () => {
  const graph = new Graph();
  const [x, dy] = [graph.input("x", [2]), graph.input("dy", [2])];
  const a = mul(x, x);
  const y = mul(mul(a, a), a);
  const [da, dx] = differentiate([[y, dy]], [a, x], gradients);
  assert.ok(da && dx);
  const values = evaluateGraph(graph, { x: whole([2, -1]), dy: whole([1, 1]) });
  assert.equal([...values[da.id].data], [3 * 16, 3]);
  assert.equal([...values[dx.id].data], [6 * 32, -6]);
});

test("gradients go back through views, in the shape of what was viewed", () => {
  const graph = new Graph();
  const [x, dy] = [graph.input("x", [2, 3]), graph.input("dy", [3, 2])];
  const seen = graph.reshape(graph.reshape(x, [6]), [3, 2]);
  const [dx, none] = differentiate([[mul(seen, seen), dy]], [x, graph.input("z", [1])], gradients);
  assert.ok(dx);
  assert.equal(dx.shape, [2, 3]);
  assert.is(none, undefined);
  const ramp = [1, 2, 3, 4, 5, 6];
  const values = evaluateGraph(graph, { x: tensor([2, 3], ramp), dy: tensor([3, 2], ramp), z: whole([0]) });
  assert.equal(
    [...values[dx.id].data],
    ramp.map((v) => 2 * v * v),
  );
});

test("from several scalars, also where one is part of the other", () => {
  const graph = new Graph();
  const x = graph.input("x", [2]);
  const [small, large] = [graph.input("small", [1]), graph.input("large", [2])];
  const y = mul(x, x);
  const total = sum(y, { dims: [0], keepDim: true });
  const [dx] = differentiate(
    [
      [total, small],
      [y, large],
    ],
    [x],
    gradients,
  );
  assert.ok(dx);
  const values = evaluateGraph(graph, { x: whole([1, 2]), small: whole([1]), large: whole([10, 20]) });
  assert.equal([...values[dx.id].data], [2 * 11, 4 * 21]);
});

test("what is wanted is computed and nothing else: not the gradients of what does not depend on it", () => {
  const graph = new Graph();
  const [x, w, v, dy] = [
    graph.input("x", [4, 3]),
    graph.param("w", [2, 3]),
    graph.param("v", [2, 2]),
    graph.input("dy", [4, 2]),
  ];
  // Without a gradient, of which there is no need where nothing before it is wanted.
  const y = linear(linear(relu(x), w), v);
  const before = kernelsOf(graph).length;
  const found = differentiate([[y, dy]], [v], withoutRelu);
  assert.is(found.length, 1);
  assert.equal(found[0]?.shape, [2, 2]);
  const added = kernelsOf(graph).slice(before);
  assert.equal(added.filter((name) => name === "matmul").length, 1, `${added}`);
});

test("what the scalar does not depend on has no gradient, though it depends on the same", () => {
  const graph = new Graph();
  const [x, w, dy] = [graph.input("x", [3]), graph.param("w", [3]), graph.input("dy", [3])];
  mul(x, w);
  const y = relu(x);
  const [dx, dw] = differentiate([[y, dy]], [x, w], gradients);
  assert.is(dw, undefined);
  assert.equal(dx?.shape, [3]);
});

test("the gradient by the scalar itself is what was given", () => {
  const graph = new Graph();
  const [x, dy] = [graph.input("x", [3]), graph.input("dy", [3])];
  const y = tanh(x);
  const count = graph.nodes.length;
  assert.is(differentiate([[y, dy]], [y], gradients)[0]?.id, dy.id);
  assert.is(graph.nodes.length, count);
});

test("an operator without a gradient is named, as is a gradient of a wrong shape", async () => {
  const graph = new Graph();
  const [x, dy] = [graph.input("x", [2, 3]), graph.input("dy", [2, 3])];
  // Nor does what all objects have count.
  for (const of of [others, Object.create({ relu: reluGradient })]) {
    const without = () => differentiate([[relu(x), dy]], [x], { ...gradients, of });
    await refuses(without, UsageError, "USAGE", /^relu has no gradient$/);
  }
  const odd: Gradients = { of: { relu: () => ({ x: () => graph.input("odd", [3]) }) }, sum: add };
  const wrong = () => differentiate([[relu(x), dy]], [x], odd);
  await refuses(wrong, ShapeError, "SHAPE", /^the gradient of a \[2, 3\] is \[3\]$/);
  const seed = () => differentiate([[relu(x), graph.input("seed", [1])]], [x], gradients);
  await refuses(seed, ShapeError, "SHAPE", /^the gradient of a \[2, 3\] is \[1\]$/);
});

test.run();
