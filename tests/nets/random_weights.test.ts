import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../engine/definition.ts";
import { paramShapes } from "../../engine/graph/graph.ts";
import { UsageError, WeightsError } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { matchCheckpoint } from "../../engine/weights/match.ts";
import { nets } from "../../nets/index.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { inDepth, isDeep, open, randomTensor, refuses, withNet } from "../harness.ts";

const gpu = await open();

test("every net takes them, with the options that it is loaded with", async () => {
  for (const definition of Object.values(nets)) {
    await matchCheckpoint(randomWeights(definition), paramShapes(trace(definition)));
  }
  const shapes = (options: object) => randomWeights(nets.resnet18, options).tensors;
  assert.equal(shapes({ numClasses: 7 }).get("fc.weight")?.shape, [7, 512]);
  assert.equal(shapes({ inChannels: 1 }).get("conv1.weight")?.shape, [64, 1, 7, 7]);
});

test("the same in pieces as at once, other numbers for every seed and parameter", async () => {
  const [weights, again, other] = [1, 1, 2].map((seed) => randomWeights(nets.resnet18, {}, seed));
  const whole = await weights.read("layer1.0.conv1.weight");
  assert.is(whole.length, 64 * 64 * 9);
  assert.equal(await again.read("layer1.0.conv1.weight", 1000, 50), whole.slice(1000, 1050));
  assert.equal(await again.read("layer1.0.conv1.weight", 36_000), whole.slice(36_000));
  for (const different of [await other.read("layer1.0.conv1.weight"), await weights.read("layer1.0.conv2.weight")]) {
    assert.ok(different.filter((value, i) => value === whole[i]).length < 10);
  }
  await refuses(() => weights.read("conv9.weight"), WeightsError, "WEIGHTS", /resnet18 has no parameter conv9.weight/);
  const unknown: object = { depth: 3 };
  await refuses(() => randomWeights(nets.lenet5, unknown), UsageError, "USAGE", /has no option "depth"/);
});

test("uniform, with the variance that He et al. derive, and positive variances", async () => {
  const weights = randomWeights(nets.resnet50);
  const values = await weights.read("layer4.0.conv2.weight");
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  const wanted = 2 / (512 * 9);
  // Of 2.4 million values: the standard errors are 0.07 % and 0.06 %.
  assert.ok(Math.abs(mean) < 0.005 * Math.sqrt(wanted), `the mean is ${mean}`);
  assert.ok(Math.abs(variance / wanted - 1) < 0.005, `the variance is ${variance}, wanted ${wanted}`);
  assert.ok((await weights.read("bn1.running_var")).every((value) => value >= 0.75 && value < 1.25));
});

inDepth("activations stay in the middle of what f16 can hold, and the logits depend on the image", async () => {
  const names = ["resnet18", "resnet50", "vgg11_bn"] as const;
  for (const name of isDeep ? names : names.slice(0, 1)) {
    await withNet(gpu, name, { weights: randomWeights(nets[name]), imageSize: 32 }, async (net) => {
      const [x, y] = [randomTensor(net.inputShape, 2), randomTensor(net.inputShape, 2)];
      const { logits, features } = await net.run(x, { features: net.layers });
      for (const [layer, { data }] of Object.entries(features)) {
        const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const least = layer === "probabilities" ? 0 : 0.1;
        assert.ok(largest >= least && largest < 1000, `${name}, ${layer}: ${largest}`);
      }
      const other = (await net.run(y)).logits.data;
      const rms = (data: Float32Array) => Math.sqrt(data.reduce((sum, v) => sum + v * v, 0) / sizeOf(logits.shape));
      assert.ok(rms(logits.data.map((value, i) => value - other[i])) > 0.01 * rms(other), name);
    });
  }
});

test.run();
