import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GpuError, ShapeError, UsageError, WeightsError } from "../../engine/ground/errors.ts";
import { readImage } from "../../index.ts";
import { lenet5 } from "../../nets/lenet.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { runNet, runStages } from "../conformance/conformance.ts";
import { readNets } from "../conformance/goldens.ts";
import { assertClose, open, randomTensor, refuses, someOf, withNet } from "../harness.ts";

const gpu = await open();
const goldens = readNets();

const folder = new URL("../../../examples/digits/", import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith(".png"));
const images = await Promise.all(files.map((file) => readImage(fileURLToPath(new URL(file, folder)))));
const digits = files.map((file) => /\d/.exec(file)?.[0]);

test("its logits are PyTorch's, with passes and without", async () => {
  for (const options of [{}, { passes: [] }]) {
    const { status, message } = await runNet(gpu, goldens, "lenet5", options);
    assert.is(status, "pass", message);
  }
});

test("its layers are PyTorch's", async () => {
  const stages = await runStages(gpu, goldens, "lenet5");
  assert.ok(stages.length > 5);
  for (const { stage, errOverRms, limit } of stages)
    assert.ok(errOverRms <= limit, `${stage}: ${errOverRms}, at most ${limit}`);
});

test("its weights are the file that is named by its hash", () => {
  const { url, sha256 } = lenet5.weights.MNIST;
  const digest = createHash("sha256").update(readFileSync(url)).digest("hex");
  assert.ok(sha256 && digest.startsWith(sha256), `the file's hash is ${digest}`);
});

test("it reads the digits that the files are named after", () =>
  withNet(gpu, "lenet5", {}, async (net) => {
    for (const [i, image] of images.entries()) {
      const [first, second, ...rest] = await net.classify(image, { top: 3 });
      assert.is(rest.length, 1);
      assert.is(first.label, digits[i], files[i]);
      assert.is(String(first.index), digits[i]);
      assert.ok(first.probability > 0.5 && first.probability <= 1 && first.probability > second.probability);
    }
  }));

const refusesUse = (options: Record<string, unknown>, message: RegExp) =>
  refuses(() => gpu.loadNet("lenet5", options), UsageError, "USAGE", message);

test("labels are those of its own classes, or those that are given", async () => {
  const head = { numClasses: 2 };
  const two = { ...head, weights: randomWeights(lenet5, head) };
  const assertLabels = (options: object, wanted: readonly string[]) =>
    withNet(gpu, "lenet5", options, async (net) => {
      const top = await net.classify(images[0], { top: 10 });
      assert.equal(
        top.sort((a, b) => a.index - b.index).map(({ label }) => label),
        wanted,
      );
    });
  await assertLabels({}, [..."0123456789"]);
  await assertLabels(two, ["class 0", "class 1"]);
  await assertLabels({ ...two, labels: ["cat", "dog"] }, ["cat", "dog"]);
  await assertLabels({ labels: [..."abcdefghij"] }, [..."abcdefghij"]);
  const cases: [unknown, RegExp][] = [
    [["cat"], /lenet5 has 2 classes and got 1 labels: give one for each, or another number of classes$/],
    [[], /2 classes and got 0 labels: give/],
    [["cat", 1], /lenet5: labels is \["cat",1\]; it must be an array of strings$/],
    ["catdog", /must be an array of strings/],
    [{ 0: "cat", 1: "dog" }, /must be an array of strings/],
  ];
  for (const [labels, message] of cases) await refusesUse({ ...two, labels }, message);
});

test("an answer of NaN is an error", () => {
  const weights = randomWeights(lenet5);
  const read: typeof weights.read = async (...given) => {
    const values = await weights.read(...given);
    return given[0] === "linear2.bias" ? values.fill(Number.NaN, 0, 1) : values;
  };
  return withNet(gpu, "lenet5", { weights: { ...weights, read } }, (net) =>
    refuses(() => net.classify(images[0]), GpuError, "OVERFLOW", /^lenet5 answers NaN: /),
  );
});

test("a batch gives what its images give one by one, filled up or not", () =>
  withNet(gpu, "lenet5", {}, async (single) => {
    const one = await single.classify(images);
    for (const batch of someOf([4, 5, 16], 1)) {
      await withNet(gpu, "lenet5", { batch }, async (net) => {
        const lists = await net.classify(images);
        assert.is(lists.length, images.length);
        lists.forEach((list, i) => {
          list.forEach(({ label, probability }, k) => {
            assert.is(label, one[i][k].label);
            assert.ok(Math.abs(probability - one[i][k].probability) < 1e-6);
          });
        });
      });
    }
  }));

test("features are the layers by name, and don't change the logits", () =>
  withNet(gpu, "lenet5", {}, async (net) => {
    const names = net.layers.filter((name) => name !== "logits" && name !== "probabilities");
    assert.equal(names.slice(0, 3), ["conv1", "tanh1", "pool1"]);
    const x = randomTensor(net.inputShape);
    const plain = await net.run(x);
    const { features, logits, probabilities } = await net.run(x, { features: names });
    assert.equal(Object.keys(features), names);
    assert.equal(features.conv1.shape, [1, 6, 28, 28]);
    assertClose(features.tanh1, { ...features.conv1, data: features.conv1.data.map(Math.tanh) }, () => 1e-6);
    assert.equal(features.flatten.data, features.tanh3.data);
    assert.equal(features.linear2.data, logits.data);
    assertClose(logits, plain.logits, () => 1e-5);
    assert.ok(Math.abs(probabilities.data.reduce((sum, p) => sum + p, 0) - 1) < 1e-6);
  }));

test("its options are checked", async () => {
  await refusesUse({ num_classes: 10 }, /lenet5 has no option "num_classes"; its options are inChannels, numClasses/);
  await refusesUse({ numClasses: 0 }, /lenet5: numClasses is 0; it must be a positive integer/);
  await refusesUse({ numClasses: "10" }, /lenet5: numClasses is "10"/);
  const other = () => gpu.loadNet("lenet5", { numClasses: 7 });
  await refuses(other, WeightsError, "WEIGHTS", /it was trained for 10 classes: pass the option numClasses: 10/);
  const none = () => gpu.loadNet("lenet5", { batch: 0 });
  await refuses(none, ShapeError, "SHAPE", /batch is 0; it must be a positive integer/);
  const small = () => gpu.loadNet("lenet5", { imageSize: 20 });
  await refuses(small, ShapeError, "SHAPE", /conv2d: a 5x5 kernel with dilation 1x1 does not fit/);
});

test.run();
