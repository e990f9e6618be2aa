import { test } from "uvu";
import * as assert from "uvu/assert";
import { differentiate } from "../../../engine/graph/gradients.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { runOnce } from "../../../engine/model.ts";
import { loadGradients } from "../../../kernels/gradients.ts";
import { dropoutTrain } from "../../../kernels/training/dropout.ts";
import {
  apply,
  checkKernel,
  int,
  open,
  pick,
  random,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  ulps,
} from "../../harness.ts";

const gradients = await loadGradients();

const gpu = await open();

const drawKey = () => tensor([1], [int(0, 2 ** 24 - 1)]);

test("random tensors: the same places by the same key", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const options = { p: pick(0, 0.5, random()), layer: int(0, 99) };
    await checkKernel(gpu, dropoutTrain, { x: randomTensor(randomShape()), key: drawKey() }, options, ulps(2));
  }
});

const ones = (count: number) => tensor([count], new Float32Array(count).fill(1));

/** Which of 40,000 elements are dropped. */
async function placesOf(key: number, options: { p: number; layer?: number }): Promise<boolean[]> {
  const { data } = await gpu.eager(dropoutTrain, ones(40000), tensor([1], [key]), options);
  const scale = Math.fround(1 / (1 - options.p));
  return Array.from(data, (v) => {
    assert.ok(v === 0 || Math.abs(v / scale - 1) < 2 ** -22, `${v}`);
    return v === 0;
  });
}

const share = (places: readonly boolean[]): number => places.filter((dropped) => dropped).length / places.length;

// Keys and layers are given, so that what hashes make of them is the same in every run.
test("the share that is dropped is p", async () => {
  for (const p of [0.05, 0.25, 0.5, 0.9]) {
    const deviation = Math.sqrt((p * (1 - p)) / 40000);
    for (const key of [0, 1, 12345, 2 ** 24 - 1]) {
      const got = share(await placesOf(key, { p }));
      assert.ok(Math.abs(got - p) < 4 * deviation, `${got} of ${p} by the key ${key}`);
    }
  }
});

test("another key or layer drops other places, which have nothing to do with the first", async () => {
  const p = 0.5;
  const others = [
    [1, 0],
    [2, 0],
    [0, 1],
    [0, 2],
    [1, 1],
    [2 ** 23, 0],
  ];
  const first = await placesOf(0, { p });
  for (const [key, layer] of others) {
    const other = await placesOf(key, { p, layer });
    const both = share(first.map((dropped, i) => dropped && other[i]));
    const shifted = share(first.map((dropped, i) => dropped && other[i + 1]));
    for (const got of [both, shifted]) assert.ok(Math.abs(got - p * p) < 0.01, `${got} by ${key} in layer ${layer}`);
  }
  // Neighbours are as strangers are.
  assert.ok(Math.abs(share(first.map((dropped, i) => dropped && first[i + 1])) - p * p) < 0.01);
});

test("what is dropped is 0 whatever it was", async () => {
  const places = await placesOf(7, { p: 0.5 });
  const x = tensor([100], new Float32Array(100).fill(NaN));
  const { data } = await gpu.eager(dropoutTrain, x, tensor([1], [7]), { p: 0.5 });
  data.forEach((v, i) => {
    assert.ok(Object.is(v, places[i] ? 0 : NaN), `y[${i}] is ${v}`);
  });
});

test("the gradient is dropped where the value was", async () => {
  const graph = new Graph();
  const [x, key, dy] = [graph.input("x", [500]), graph.input("key", [1]), graph.input("dy", [500])];
  const y = graph.name("y", dropoutTrain(x, key, { p: 0.3, layer: 5 }));
  const [dx] = differentiate([[y, dy]], [x], gradients);
  assert.ok(dx);
  graph.name("dx", dx);
  const tensors = { x: ones(500), key: drawKey(), dy: ones(500) };
  const { y: values, dx: slopes } = await runOnce(gpu, graph, tensors, ["y", "dx"]);
  assert.equal(slopes, values);
  assert.ok(values.data.includes(0) && values.data.some((v) => v > 1));
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(dropoutTrain, [[3], [1]], options), UsageError, "USAGE", message);
  for (const p of [1, -0.1, NaN]) await refusesUse({ p }, /dropout: p is .*; it must be at least 0 and below 1/);
  await refusesUse({ rate: 0.5 }, /dropout has no option "rate"; its options are p, layer/);
  await refuses(() => apply(dropoutTrain, [[3], [2]]), ShapeError, "SHAPE", /dropout: the key is \[2\]; wanted \[1\]/);
});

test.run();
