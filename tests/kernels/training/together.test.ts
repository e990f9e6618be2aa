import { test } from "uvu";
import * as assert from "uvu/assert";
import { Graph } from "../../../engine/graph/graph.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { slice } from "../../../kernels/slice.ts";
import { together } from "../../../kernels/training/together.ts";

/** Which gradients are one value: rows of x [2, C] or other parts of it, by their names, and where they are in memory. */
function joined(channels: number, parts: Record<string, (x: Value) => Value>, offsets: Record<string, number>) {
  const graph = new Graph();
  const x = graph.input("x", [2, channels]);
  const gradients = new Map(Object.entries(parts).map(([name, part]) => [name, part(x)]));
  const found = together(gradients, new Map(Object.entries(offsets)));
  for (const { whole } of found) assert.is(whole.id, x.id);
  return found.map(({ names }) => names);
}

const row = (start: number) => (x: Value) => x.graph.reshape(slice(x, { dim: 0, start, end: start + 1 }), [x.shape[1]]);
const rows = { weight: row(0), bias: row(1) };

test("rows that follow each other in memory are one value", () => {
  assert.equal(joined(64, rows, { weight: 128, bias: 192 }), [["weight", "bias"]]);
  assert.equal(joined(64, { bias: row(1), weight: row(0) }, { weight: 0, bias: 64 }), [["weight", "bias"]]);
});

test("others are not: with a gap, in another order, without a part, or that are no rows", () => {
  assert.equal(joined(24, rows, { weight: 0, bias: 64 }), []);
  assert.equal(joined(64, rows, { weight: 64, bias: 0 }), []);
  assert.equal(joined(64, { weight: row(0) }, { weight: 0 }), []);
  assert.equal(joined(64, { weight: row(0), bias: (x) => x }, { weight: 0, bias: 64 }), []);
  const half = (start: number) => (x: Value) => slice(x, { dim: 1, start, end: start + 32 });
  assert.equal(joined(64, { weight: half(0), bias: half(32) }, { weight: 0, bias: 64 }), []);
  const every = (start: number) => (x: Value) => slice(x, { dim: 0, start, step: 2 });
  assert.equal(joined(64, { weight: every(0), bias: every(1) }, { weight: 0, bias: 64 }), []);
});

test.run();
