import { test } from "uvu";
import * as assert from "uvu/assert";
import { Graph } from "../../../engine/graph/graph.ts";
import { makePlan } from "../../../engine/graph/plan.ts";
import { GpuError } from "../../../engine/ground/errors.ts";
import { type Shape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import { type Arena, arenaName, layOut, link, piecesOf } from "../../../engine/training/arena.ts";
import { homesOf } from "../../../engine/training/graph.ts";
import { add } from "../../../kernels/elementwise/add.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import {
  assertClose,
  evaluateGraph,
  int,
  open,
  pick,
  randomShape,
  randomTensor,
  refuses,
  runPlan,
} from "../../harness.ts";

const gpu = await open();

/** Where each of these tensors is, all of it in one piece. */
const laidOut = (tensors: ReadonlyMap<string, Shape>, limit: number): Arena[] =>
  layOut(new Map([...tensors].map(([of, shape]) => [of, { shape, of, start: 0 }])), limit);

const shapesOf = (shapes: readonly Shape[]) => new Map(shapes.map((shape, i) => [`t${i}`, shape]));

test("tensors lie one after the other, where they can be bound, in as few arenas as the limit allows", () => {
  for (let i = 0; i < 50; i++) {
    const tensors = shapesOf(Array.from({ length: int(1, 20) }, () => randomShape()));
    const largest = Math.max(...[...tensors.values()].map(sizeOf));
    const limit = pick(1, 1.5, 4, 1e6) * 4 * Math.ceil(largest / 64) * 64;
    const arenas = laidOut(tensors, limit);
    const names: string[] = [];
    let had = Infinity;
    for (const { size, parts } of arenas) {
      assert.ok(4 * size <= limit, `an arena of ${size} elements is over ${limit} bytes`);
      let end = 0;
      for (const [name, { shape, offset }] of parts) {
        assert.equal(shape, tensors.get(name));
        assert.is((4 * offset) % 256, 0);
        assert.ok(offset >= end && offset < end + 64, `${name} begins at ${offset}, behind ${end}`);
        end = offset + sizeOf(shape);
        names.push(name);
      }
      assert.ok(size >= end && size < end + 64);
      // What begins an arena would not have fitted the one before.
      const [{ shape }] = parts.values();
      assert.ok(had + 4 * Math.ceil(sizeOf(shape) / 64) * 64 > limit);
      had = 4 * size;
    }
    assert.equal(names, [...tensors.keys()]);
  }
  assert.equal(layOut(new Map(), 256), []);
});

test("a tensor that is over the limit by itself is refused by its name", async () => {
  const tensors = new Map([
    ["small", [64]],
    ["fc.weight", [2 ** 19, 5]],
  ]);
  const message = /^"fc.weight" has 10.0 MiB, and the device binds at most 8.0 MiB: it cannot be trained there$/;
  await refuses(() => laidOut(tensors, 2 ** 23), GpuError, "LIMIT", message);
  assert.is(laidOut(new Map([["fc.weight", [2 ** 19, 4]]]), 2 ** 23).length, 1);
});

test("a tensor over the limit is pieces of whole rows, one after the other", async () => {
  assert.equal([...piecesOf("w", [8, 16], 512)], [["w", { shape: [8, 16], of: "w", start: 0 }]]);
  assert.equal(
    [...piecesOf("w", [9, 16], 512)],
    [
      ["w[0:8]", { shape: [8, 16], of: "w", start: 0 }],
      ["w[8:9]", { shape: [1, 16], of: "w", start: 128 }],
    ],
  );
  assert.equal([...piecesOf("s", [], 4).keys()], ["s"]);
  for (let i = 0; i < 30; i++) {
    const [rows, row] = [int(1, 99), int(1, 9)];
    const limit = 4 * row * int(4, 40);
    let end = 0;
    for (const { shape, of, start } of piecesOf("w", [rows, row], limit).values()) {
      assert.equal([of, start], ["w", end]);
      assert.ok(4 * sizeOf(shape) <= limit);
      end += sizeOf(shape);
    }
    assert.is(end, rows * row);
  }
  const message = /^a row of "w" has 0.0 MiB, and the device binds at most 0.0 MiB: it cannot be trained there$/;
  await refuses(() => piecesOf("w", [2, 65], 256), GpuError, "LIMIT", message);
});

/** Two layers, of which `w0` and `b0`, and `w1` and `b1`, are parameters. */
function netOf() {
  const graph = new Graph();
  const x = graph.input("x", [3, 5]);
  const y = linear(linear(x, graph.param("w0", [7, 5]), graph.param("b0", [7])), graph.param("w1", [2, 7]));
  graph.name("y", add(y, graph.param("b1", [2])));
  graph.name("w1 as it is", graph.param("w1", [2, 7]));
  return graph;
}

/** The elements of arenas: those of their tensors, and what is between them. */
function filled(arenas: ReturnType<typeof layOut>, tensors: Readonly<Record<string, Tensor>>, kind: string) {
  return Object.fromEntries(
    arenas.map(({ size, parts }, i) => {
      const data = new Float32Array(size).fill(1e30);
      for (const [name, { offset }] of parts) data.set(tensors[name].data, offset);
      return [arenaName(kind, i), { shape: [size], data }];
    }),
  );
}

test("a plan whose parameters are parts of arenas computes the same, and leaves the others alone", async () => {
  for (const limit of [256, 1e6]) {
    const graph = netOf();
    const outputs = ["y", "w1 as it is"];
    const plan = makePlan(graph, outputs, gpu.limits);
    const shapes = new Map(plan.params.map(({ name, shape }) => [name, shape]));
    const tensors: Record<string, Tensor> = { x: randomTensor([3, 5]) };
    for (const [name, shape] of shapes) tensors[name] = randomTensor(shape);
    const { b0, ...moved } = Object.fromEntries(shapes);
    assert.ok(b0);
    const arenas = laidOut(new Map(Object.entries(moved)), limit);
    assert.is(arenas.length, limit === 256 ? 3 : 1);
    const homes = new Map(homesOf("weights", arenas));
    const before = JSON.stringify(plan);
    const linked = link(plan, (name) => homes.get(name));
    assert.is(JSON.stringify(plan), before, "the plan itself stays");
    const names = linked.params.map(({ name }) => name);
    assert.equal([...names].sort(), ["b0", ...arenas.map((_, i) => `weights ${i}`)]);
    const got = await runPlan(gpu, linked, { ...tensors, ...filled(arenas, tensors, "weights") });
    const values = evaluateGraph(graph, tensors);
    assert.equal(got["w1 as it is"], tensors.w1);
    assertClose(got.y, values[graph.find("y")], () => 1e-5);
  }
});

test.run();
