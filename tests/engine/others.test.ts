import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AnyNet, type Nets, openFitting, trace } from "../../engine/definition.ts";
import { paramShapes } from "../../engine/graph/graph.ts";
import { WeightsError } from "../../engine/ground/errors.ts";
import { IMAGENET } from "../../engine/image/transforms.ts";
import { flatten } from "../../kernels/flatten.ts";
import { families } from "../../nets/families.ts";
import { nets } from "../../nets/index.ts";
import { linearLayer } from "../../nets/layers.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { int, pick, someOf } from "../harness.ts";

// Whose a checkpoint is that is not the asked net's. None of its tensors is read.

const open = () => assert.unreachable("nothing is to be opened") as never;

/** What is told of the checkpoint of one net, under options of its own, that another one is loaded with. */
async function told(asked: AnyNet, given: object, net: AnyNet, own: object, known: Nets = families): Promise<string> {
  const weights = { ...randomWeights(net, own), read: open };
  try {
    await openFitting(asked, paramShapes(trace(asked, given)), { ...given, weights }, open, known);
  } catch (error) {
    assert.instance(error, WeightsError);
    return (error as WeightsError).message;
  }
  return assert.unreachable(`${asked.name} took the weights of ${net.name}`) as never;
}

test("the checkpoint of every net says which it is when another is asked for", async () => {
  for (const [name, net] of someOf(Object.entries(nets), 2)) {
    const asked = pick(...Object.values(nets).filter((other) => other !== net));
    const own = net.options.numClasses;
    const numClasses = pick(own, int(2, 9));
    const message = await told(asked, {}, net, { numClasses });
    const fits = message.split("; it fits ")[1]?.split(" and ") ?? [];
    assert.ok(
      fits.includes(numClasses === own ? name : `${name} with numClasses: ${numClasses}`),
      `${name}: ${message}`,
    );
  }
});

test("only the nets are named that are known, and none where none fits", async () => {
  const { resnet18, resnet34, densenet121, densenet169 } = nets;
  assert.match(await told(densenet121, {}, densenet169, {}, { resnet34, densenet169 }), /; it fits densenet169$/);
  for (const known of [{}, { densenet121 }, { resnet18, resnet34 }] as Nets[])
    assert.match(await told(densenet121, {}, densenet169, {}, known), /wanted \[\d+\], \.\.\.\)$/);
  // Its own last layer is told as it ever was, and options that are not those of its weights.
  assert.match(await told(resnet18, {}, resnet18, { numClasses: 7 }), /\); it was .* the option numClasses: 7$/);
  assert.match(await told(resnet18, { inChannels: 1 }, resnet18, {}), /; it fits resnet18 by default$/);
});

test("nothing is loaded for weights that fit, and what cannot be loaded is left out", async () => {
  const calls: string[] = [];
  const failing = (name: string) => async () => {
    calls.push(name);
    throw new Error("offline");
  };
  const known: Nets = { resnet34: failing("resnet34"), broken: {} as AnyNet, lenet5: async () => nets.lenet5 };
  const { lenet5, resnet18, resnet34 } = nets;
  const weights = randomWeights(lenet5);
  assert.is(await openFitting(lenet5, paramShapes(trace(lenet5)), { weights }, open, known), weights);
  assert.match(await told(lenet5, {}, lenet5, { numClasses: 3 }, known), /numClasses: 3$/);
  assert.equal(calls, []);
  assert.match(await told(resnet18, {}, resnet34, {}, known), /extra \(layer1\.2[^;]*$/);
  assert.equal(calls, ["resnet34"]);
  assert.match(await told(resnet18, {}, lenet5, {}, known), /; it fits lenet5$/);
});

test("of a net whose published weights want other options, these are named, too", async () => {
  const url = "https://shadenet.invalid/sized.pth";
  const sized: AnyNet = {
    ...nets.lenet5,
    name: "sized",
    options: { ...nets.lenet5.options, width: 5, unused: 1 },
    imageSize: [8, 8],
    weights: {
      LARGE: { url, transforms: { ...IMAGENET, crop: 12 } },
      WIDE: { url, options: { width: 6 } },
      SAME: { url, options: { unused: 2 } },
    },
    build: (x, { width, numClasses }) => linearLayer("head", linearLayer("fc", flatten(x), width), numClasses),
  };
  const known = { sized, lenet5: nets.lenet5 };
  for (const [own, fits] of [
    [{}, "sized"],
    [{ imageSize: 12 }, "sized with imageSize: 12"],
    [{ imageSize: 12, numClasses: 3 }, "sized with imageSize: 12, numClasses: 3"],
    [{ width: 6 }, "sized with width: 6"],
  ] as const) {
    assert.is((await told(nets.lenet5, {}, sized, own, known)).split("; it fits ")[1], fits);
  }
  assert.match(await told(sized, { width: 6 }, sized, {}, known), /; it fits sized by default$/);
  assert.not.match(await told(nets.lenet5, {}, sized, { width: 7 }, known), /fits/);
});

test.run();
