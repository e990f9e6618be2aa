import { test } from "uvu";
import * as assert from "uvu/assert";
import type { NetDefinition } from "../../../engine/definition.ts";
import { deriveParam } from "../../../engine/graph/graph.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import { arraysCheckpoint } from "../../../engine/weights/sources.ts";
import { add } from "../../../kernels/elementwise/add.ts";
import { mul } from "../../../kernels/elementwise/mul.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { picksOf } from "../../../kernels/training/derived.ts";
import { linearLayer } from "../../../nets/layers.ts";
import { assertClose, open, randomTensor, refuses, small } from "../../harness.ts";

const gpu = await open();

const near = () => 1e-5;

/** A derivation of any tensors. */
const by = (compute: (...tensors: Float32Array[]) => Float32Array) => ({ sources: [], compute });

test("what a derivation picks and adds is known by what it makes of numbers that count", () => {
  const part = picksOf(
    by((x) => x.slice(2, 5)),
    [9],
  );
  assert.equal(part, { places: [Float32Array.of(3, 4, 5)], constants: new Float32Array(3) });
  const twice = picksOf(
    by((x) => Float32Array.of(x[3], x[0] - 100, 7, x[3])),
    [4],
  );
  assert.equal(twice, { places: [Float32Array.of(4, 1, 0, 4)], constants: Float32Array.of(0, -100, 7, 0) });
  const sum = picksOf(
    by((x, y) => x.map((v, i) => (i === 0 ? v + y[1] : v))),
    [2, 2],
  );
  assert.equal(sum, { places: [Float32Array.of(1, 2), Float32Array.of(2, 0)], constants: new Float32Array(2) });
});

test("what is more than that is none", () => {
  const others: ((...tensors: Float32Array[]) => Float32Array)[] = [
    (x) => x.map((v) => 2 * v),
    (x) => x.map(Math.exp),
    (x) => x.map((v) => Math.max(v, 3)),
    (x) => x.map((v) => v * v),
    (x) => x.map((v, i) => (v + x[x.length - 1 - i]) / 2),
    (x) => x.map((v, i) => v + x[(i + 1) % x.length]),
    (x, y) => x.map((v, i) => v * (1 + y[i])),
    (x) => x.map(() => NaN),
  ];
  for (const compute of others) assert.is(picksOf(by(compute), [8, 8]), undefined, String(compute));
});

const IDENTITY = new Float32Array(7 * 7).map((_, i) => (i % 8 === 0 ? 1 : 0));

/** 7 logits of a table's elements, that zeros for an image leave alone. */
const derived = (compute: (table: Float32Array) => Float32Array): NetDefinition => ({
  ...small,
  name: "derived",
  build(x, { numClasses }) {
    const table = x.graph.param("table", [9]);
    const y = add(linearLayer("fc", flatten(x), 7), deriveParam(table, "as logits", [2, 7], compute));
    const w = x.graph.param("all.weight", [3 * 7, 7]);
    const second = deriveParam(w, "the second", [7, 7], (all) => all.subarray(49, 98));
    return linearLayer(
      "head",
      mul(
        y,
        deriveParam(second, "its diagonal", [7], (m) => m.filter((_, i) => i % 8 === 0)),
      ),
      numClasses,
    );
  },
});

const PLACES = [8, 0, 0, 3, 1, 2, 8];

/** Elements of a table; in the second image others are added. */
const pickFrom = (table: Float32Array) =>
  Float32Array.from({ length: 14 }, (_, i) => table[PLACES[i % 7]] + (i < 7 ? 0 : i - 10));

test("gradients go through derived parameters to what they are made of", async () => {
  const x = new Float32Array(2 * 3 * 12 * 12);
  const table = randomTensor([9]);
  const whole = randomTensor([21, 7]);
  const weights = arraysCheckpoint({
    table,
    "all.weight": whole,
    "fc.weight": randomTensor([7, 432]),
    "fc.bias": { shape: [7], data: new Float32Array(7) },
    "head.weight": { shape: [7, 7], data: IDENTITY },
    "head.bias": { shape: [7], data: new Float32Array(7) },
  });
  const labels = [3, 6];
  const optimizer = { name: "sgd", lr: 0.5 };
  const trainer = await gpu.train(derived(pickFrom), { batch: 2, weights, optimizer, trainable: /^(table|all)/ });
  try {
    assert.equal(trainer.unused, []);
    for (let step = 0; step < 2; step++) {
      const before = await trainer.tensors();
      const own = (name: string) => (before.get(name) as Tensor).data;
      const factor = Array.from({ length: 7 }, (_, i) => own("all.weight")[49 + 8 * i]);
      const logits = Float64Array.from(pickFrom(own("table")), (v, i) => v * factor[i % 7]);
      const dTable = new Float64Array(9);
      const dAll = new Float64Array(147);
      let loss = 0;
      labels.forEach((label, n) => {
        const row = logits.subarray(7 * n, 7 * n + 7);
        const total = row.reduce((sum, v) => sum + Math.exp(v), 0);
        loss += (Math.log(total) - row[label]) / 2;
        row.forEach((v, k) => {
          const d = (Math.exp(v) / total - (k === label ? 1 : 0)) / 2;
          dTable[PLACES[k]] += d * factor[k];
          dAll[49 + 8 * k] += (d * v) / factor[k];
        });
      });
      assertClose(await trainer.run(x), { shape: [2, 7], data: logits }, near, "the logits at inference");
      const told = await trainer.step(x, labels);
      assert.ok(Math.abs(told.loss / loss - 1) < 1e-5, `${told.loss}, wanted ${loss}`);
      const after = await trainer.tensors({ gradients: true });
      assertClose(after.get("gradient.table") as Tensor, { shape: [9], data: dTable }, near);
      assertClose(after.get("gradient.all.weight") as Tensor, { shape: [21, 7], data: dAll }, near);
    }
  } finally {
    await trainer.dispose();
  }
});

test("what no gradient leads through is an error that names what it is made of, unless that is frozen", async () => {
  const squared = derived((values) => Float32Array.from({ length: 14 }, (_, i) => values[i % 9] ** 2));
  const options = { batch: 2, optimizer: { name: "sgd", lr: 0.1 } };
  await refuses(
    () => gpu.train(squared, options),
    UsageError,
    "USAGE",
    /"table, as logits" has no gradient: by "trainable" leave out what makes it, "table"/,
  );
  const trainer = await gpu.train(squared, { ...options, trainable: (name) => name !== "table" });
  await trainer.dispose();
});

test.run();
