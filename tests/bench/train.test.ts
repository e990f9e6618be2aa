import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type EngineName, TRAINED } from "../../bench/peers/engines.ts";
import { oneHot, randomLabels } from "../../bench/peers/input.ts";
import { findPyTorch, missingPackages } from "../../bench/peers/packages.ts";
import { agreements, LOSSES, type PeerRow, relativeDifference, TOLERANCE } from "../../bench/peers/results.ts";
import { trainCommand } from "../../bench/train.ts";
import { packageFile } from "../../tools/package.ts";
import { assertFails, inFolder, inProcess, shadenet } from "../cli/harness.ts";
import { inDepth } from "../harness.ts";

// What it shares with bench:peers is tested there. Peers take part where they are installed.

const BENCH = packageFile("dist/bench/train.js");

test("losses agree when each is close to the other's", () => {
  const near = [2, 1, 0.01 * (1 + 0.9 * TOLERANCE)];
  const outputs = new Map([
    ["a", [2, 1, 0.01]],
    ["b", near],
    ["c", [2, 1, 0.02]],
  ]);
  const found = agreements(outputs, LOSSES);
  assert.equal(found.get("a"), { agreesWith: "b" });
  assert.equal(found.get("b"), { agreesWith: "a" });
  assert.match(found.get("c")?.error ?? "", /^its losses are 1\.0 of their size away from the nearest, those of [ab];/);
  assert.is(relativeDifference([1, Number.NaN], [1, 2]), Infinity);
  assert.is(relativeDifference([1], [1, 2]), Infinity);
  assert.is(relativeDifference([1, 2, 3], [1, 2]), Infinity);
});

test("labels are classes, the same in every process, and one is hot in each row", () => {
  const labels = randomLabels(64, 10);
  assert.equal(labels, randomLabels(64, 10));
  assert.ok(labels.every((label) => Number.isInteger(label) && label >= 0 && label < 10));
  assert.is(new Set(labels).size, 10);
  assert.equal([...oneHot([2, 0], 3)], [0, 0, 1, 1, 0, 0]);
});

test("what is wrong is told before anything is measured", async () => {
  const only = ["--engines", "shadenet"];
  const cases: (readonly [string[], number, RegExp, Record<string, string>?])[] = [
    [["--nets", "lenet5,vgg16", ...only], 2, /bench:train has no net "vgg16"; there are lenet5, resnet18$/],
    [["--engines", "onnxruntime"], 2, /no engine "onnxruntime"; there are shadenet, tfjs, jax-js, pytorch$/],
    [["--turns", "0", ...only], 2, /'--turns <n>' argument '0' is invalid/],
    [["--json", "no/such/folder.json", ...only], 1, /cannot write no\/such\/folder.json: its folder does not exist/],
    [["--engines", "shadenet,pytorch"], 1, /python3 cannot import torch: install it/, { PATH: inFolder("nowhere") }],
    [only, 1, /there is no WebGPU adapter/, { SHADENET_ADAPTER: "none" }],
  ];
  for (const [args, code, message, env] of cases) {
    assertFails(await shadenet(args, { program: trainCommand, env }), code, message);
  }
});

/** The rows of a short run, which leaves nothing behind. */
async function rowsOf(engines: readonly EngineName[]): Promise<PeerRow[]> {
  const TMPDIR = await mkdtemp(inFolder("tmp-"));
  const args = ["--nets", "lenet5", "--batch", "4", "--engines", engines.join(","), "--turns", "1", "--seconds", "0.1"];
  const { code, stdout, errors } = await inProcess([...args, "--json", "rows.json"], { main: BENCH, env: { TMPDIR } });
  assert.equal(errors, []);
  assert.is(code, 0);
  assert.match(stdout, /\nlenet5, batch 4 +shadenet /);
  assert.equal(await readdir(TMPDIR), []);
  return JSON.parse(await readFile(inFolder("rows.json"), "utf8"));
}

inDepth("a run writes its rows, prints its table, and leaves nothing behind", async () => {
  const [row, ...rest] = await rowsOf(["shadenet"]);
  assert.is(rest.length, 0);
  const { coldMs, medianMs, minMs, runs, version, adapter, ...fixed } = row;
  const optimizer = { name: "sgd", lr: 0.01, momentum: 0.9, weightDecay: 5e-4 };
  const training = { steps: 3, options: { numClasses: 10, imageSize: 32 }, optimizer };
  assert.equal(fixed, {
    engine: "shadenet",
    provider: "webgpu",
    net: "lenet5",
    batch: 4,
    training,
    agreesWith: null,
  });
  assert.ok((coldMs ?? 0) > 0 && (minMs ?? 0) > 0 && (medianMs ?? 0) >= (minMs ?? 0) && runs >= 1);
  assert.ok(version && adapter);
});

const torch = await findPyTorch(new AbortController().signal);
for (const engine of ["tfjs", "jax-js", "pytorch"] as const) {
  const missing = engine === "pytorch" ? torch === undefined : missingPackages(TRAINED, [engine]).length > 0;
  (missing ? test.skip : test)(`the losses of ${engine} are shadenet's`, async () => {
    for (const { error, agreesWith, runs } of await rowsOf(["shadenet", engine])) {
      assert.is(error, undefined);
      assert.ok(agreesWith);
      assert.ok(runs > 0);
    }
  });
}

test.run();
