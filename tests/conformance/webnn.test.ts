// What runs WebNN's tests, on scripts of their form.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { open } from "../harness.ts";
import { runWebnn, webnnCases } from "./webnn.ts";

const gpu = await open();

const UTILITIES = `"use strict";
const ulpDistance = (a, b) => {
  const [x, y] = new Int32Array(Float32Array.of(a, b).buffer);
  return BigInt(Math.abs(x - y));
};
const webnn_conformance_test = () => promise_test(async () => navigator.ml.createContext());
`;

const float = (shape: number[], data: number[]) => ({ data, descriptor: { shape, dataType: "float32" } });
const convolution = {
  name: "conv2d",
  arguments: [
    { input: "x" },
    { filter: "w" },
    { options: { padding: [0, 1, 1, 0], inputLayout: "nhwc", filterLayout: "hwio" } },
  ],
  outputs: "conv",
};
const relu = { name: "relu", arguments: [{ input: "conv" }], outputs: "y" };
const inputs = { x: float([1, 2, 2, 1], [1, -2, 3, 4]), w: { ...float([2, 2, 1, 1], [1, 1, 1, 1]), constant: true } };
const caseOf = (name: string, y: object, operators: object[] = [convolution, relu]) => ({
  name,
  graph: { inputs, operators, expectedOutputs: { y } },
});
const CASES = [
  caseOf("right", float([1, 2, 2, 1], [4, 6, 3, 7])),
  caseOf("within its ULP", float([1, 2, 2, 1], [4, 6, 3, 7.0000005])),
  caseOf("wrong", float([1, 2, 2, 1], [4, 6, 3, 7.001])),
  caseOf("of another shape", float([1, 4], [4, 6, 3, 7])),
  caseOf("of other numbers", { data: [0], descriptor: { shape: [1], dataType: "float16" } }),
  caseOf("of another operator", float([1], [0]), [{ name: "lstm", arguments: [], outputs: "y" }]),
];

test("graphs as models, by the limits of their own scripts", async () => {
  const folder = await mkdtemp(join(tmpdir(), "webnn-"));
  try {
    const tests = join(folder, "conformance_tests");
    await mkdir(tests);
    await mkdir(join(folder, "resources"));
    await writeFile(join(folder, "resources/utils.js"), UTILITIES);
    await writeFile(join(tests, "tensor.https.any.js"), "new MLTensor();");
    await writeFile(
      join(tests, "conv2d.https.any.js"),
      `const conv2dTests = ${JSON.stringify(CASES)};
      if (navigator.ml) for (const test of conv2dTests)
        webnn_conformance_test(undefined, () => ({ metricType: "ULP", value: 2 }), test);`,
    );
    const results = [];
    for (const each of webnnCases(tests)) results.push(await runWebnn(gpu, each));
    assert.equal(
      results.map(({ id, status }) => [id, status]),
      [
        ["right", "pass"],
        ["within its ULP", "pass"],
        ["wrong", "fail"],
        ["of another shape", "fail"],
        ["of other numbers", "skip"],
        ["of another operator", "skip"],
      ],
    );
    assert.match(results[2].message, /^is 7 at 3, wanted 7\.00\d+ to 2 ULP, off by \d+$/);
    assert.match(results[5].message, /there is no lstm/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.run();
