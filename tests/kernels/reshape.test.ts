import { test } from "uvu";
import * as assert from "uvu/assert";
import { compile } from "../../engine/graph/compile.ts";
import { Graph } from "../../engine/graph/graph.ts";
import type { Value } from "../../engine/graph/value.ts";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { relu } from "../../kernels/elementwise/relu.ts";
import { reshape } from "../../kernels/reshape.ts";
import { apply, type Operator, open, randomTensor, refuses, sameBits } from "../harness.ts";

const gpu = await open();

test("the elements stay, in their order", async () => {
  const x = randomTensor([2, 3, 4, 5]);
  const to = async (shape: number[], given: number[]) =>
    sameBits(await gpu.eager(reshape as Operator, x, { shape: given }), { ...x, shape });
  await to([6, 20], [6, 20]);
  await to([6, 2, 10], [6, -1, 10]);
  await to([120], [-1]);
  await to([2, 3, 2, 2, 5, 1], [2, 3, 2, 2, 5, -1]);
});

test("it costs no step", () => {
  const graph = new Graph();
  const folded: Value = reshape(graph.input("x", [2, 6]), { shape: [3, -1] });
  graph.name("y", reshape(relu(folded), { shape: [-1, 2, 3] }));
  assert.is(compile(graph, ["y"], gpu).steps.length, 1);
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(reshape, [[2, 3]], options), UsageError, "USAGE", message);
  const refusesShape = (shape: number[], message: RegExp) =>
    refuses(() => apply(reshape, [[2, 3]], { shape }), ShapeError, "SHAPE", message);
  const sizes = /reshape: shape is .*; its sizes must be positive integers, one of them may be -1/;
  for (const shape of [[-1, -1], [0, 6], [-2, 3], [1.5, 4], 6, null, undefined]) await refusesUse({ shape }, sizes);
  await refusesUse({ dims: [6] }, /reshape has no option "dims"; its options are shape/);
  await refusesShape([4, -1], /reshape: the elements of \[2, 3\] do not fill \[4, -1\]/);
  await refusesShape([5], /cannot reshape \[2, 3\] to \[5\]: the element counts differ/);
});

test.run();
