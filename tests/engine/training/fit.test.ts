import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Given, NetDefinition } from "../../../engine/definition.ts";
import { openGpu as openWith } from "../../../engine/gpu.ts";
import { GpuError, UsageError, WeightsError } from "../../../engine/ground/errors.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import { arrays } from "../../../engine/training/data.ts";
import type { EpochResult, Trainer, TrainOptions } from "../../../engine/training/trainer.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { rates } from "../../../kernels/rates.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import { variants } from "../../../kernels/variants.ts";
import { linearLayer } from "../../../nets/layers.ts";
import { lenet5 } from "../../../nets/lenet.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { assertClose, inDepth, int, open, randomTensor, refuses, sameBits, small } from "../../harness.ts";

const gpu = await open();

const BATCH = 4;
const adam = { name: "adam", lr: 0.01 };

/** So many images, and their classes. */
const draw = (count: number) => ({
  images: randomTensor([count, 3, 12, 12]).data,
  labels: Array.from({ length: count }, () => int(0, 6)),
});

async function withTrainer<T>(options: Partial<TrainOptions>, use: (trainer: Trainer) => Promise<T>): Promise<T> {
  const trainer = await gpu.train(small, { batch: BATCH, optimizer: adam, ...options });
  try {
    return await use(trainer);
  } finally {
    await trainer.dispose();
  }
}

/** A net whose last layers have weights of 19 and 3 KiB. */
const wide: NetDefinition = {
  ...small,
  name: "wide",
  imageSize: [4, 4],
  build: (x, { numClasses }) => linearLayer("fc2", relu(linearLayer("fc1", flatten(x), 100)), numClasses),
};

inDepth("a weight over the binding limit is trained in pieces, and saved as one", async () => {
  const limited = await openWith({ variants, rates, training: async () => ({ tableFor }) }, nodeHost);
  const bindAtMost = (maxBinding: number) => {
    limited.limits = { maxStorageBufferBindingSize: maxBinding, maxBufferSize: maxBinding };
    limited.traits = { ...limited.traits, maxBinding };
  };
  bindAtMost(8192);
  const options = { batch: BATCH, optimizer: adam };
  const trainers = [await gpu.train(wide, options), await limited.train(wide, options)];
  const x = randomTensor([BATCH, 3, 4, 4]);
  const labels = [0, 1, 2, 6];
  for (let i = 0; i < 3; i++) {
    const [want, got] = await Promise.all(trainers.map((trainer) => trainer.step(x, labels)));
    assert.ok(Math.abs(got.loss / want.loss - 1) < 1e-5, `${got.loss} in pieces, ${want.loss} at once`);
  }
  const [want, got] = await Promise.all(trainers.map((trainer) => trainer.tensors()));
  assert.equal([...got.keys()].sort(), [...want.keys()].sort());
  for (const [name, { shape, data }] of want)
    assertClose(got.get(name) as Tensor, { shape, data: Float64Array.from(data) }, () => 1e-4, name);
  const [logits, inPieces] = await Promise.all(trainers.map((trainer) => trainer.run(x)));
  assertClose(inPieces, { ...logits, data: Float64Array.from(logits.data) }, () => 1e-3);
  const file = await trainers[1].save();
  const resumed = await limited.train(wide, { ...options, resume: file });
  sameTensors(await resumed.tensors(), got);
  for (const trainer of [...trainers, resumed]) await trainer.dispose();
  bindAtMost(160);
  await refuses(
    () => limited.train(wide, options),
    GpuError,
    "LIMIT",
    /a row of "fc1.weight" has|the device binds at most/,
  );
  limited.close();
});

const sameTensors = (got: ReadonlyMap<string, Tensor>, want: ReadonlyMap<string, Tensor>) => {
  assert.equal([...got.keys()], [...want.keys()]);
  for (const [name, each] of want) sameBits(got.get(name) as Tensor, each, name);
};

async function fit(trainer: Trainer, ...given: Parameters<Trainer["fit"]>): Promise<EpochResult[]> {
  const results: EpochResult[] = [];
  for await (const result of trainer.fit(...given)) results.push(result);
  return results;
}

test("epochs are as many full batches as there are, and end in the same bits by the same seed", async () => {
  const { images, labels } = draw(11);
  const dataset = arrays(images, labels);
  const trained = (options: object) =>
    withTrainer(options, async (trainer) => {
      const steps: number[] = [];
      const onProgress = ({ step, loaded, total }: { step: number; loaded: number; total: number }) =>
        steps.push(step, loaded, total);
      const epochs = await fit(trainer, dataset, { epochs: 2, onProgress });
      assert.equal(
        epochs.map(({ epoch, step }) => [epoch, step]),
        [
          [1, 2],
          [2, 4],
        ],
      );
      assert.equal(steps, [1, 1, 2, 2, 2, 2, 3, 1, 2, 4, 2, 2]);
      return { losses: epochs.map(({ loss }) => loss), tensors: await trainer.tensors() };
    });
  const first = await trained({ seed: 3 });
  const again = await trained({ seed: 3 });
  assert.equal(again.losses, first.losses);
  sameTensors(again.tensors, first.tensors);
});

test("what was saved goes on where it was, to the bit, also within an epoch", async () => {
  const { images, labels } = draw(12);
  const dataset = arrays(images, labels);
  const batches = await Promise.all(
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ].map((places) => dataset.examples(places)),
  );
  const { saved, wanted } = await withTrainer({ seed: 9 }, async (trainer) => {
    for (const batch of batches) await trainer.step(batch.images, batch.labels);
    const bytes = await trainer.save();
    await fit(trainer, dataset, { epochs: 2 });
    return { saved: bytes, wanted: await trainer.tensors() };
  });
  await withTrainer({ seed: 9, resume: saved }, async (trainer) => {
    assert.is(trainer.steps, 2);
    const results = await fit(trainer, dataset, { epochs: 2 });
    assert.equal(
      results.map(({ epoch, step }) => [epoch, step]),
      [
        [1, 3],
        [2, 6],
      ],
    );
    sameTensors(await trainer.tensors(), wanted);
    // All of it is done.
    assert.equal(await fit(trainer, dataset, { epochs: 2 }), []);
  });
});

test("an evaluation is the mean over all examples, also of a last batch that is not full", async () => {
  const { images, labels } = draw(7);
  await withTrainer({}, async (trainer) => {
    const { loss, accuracy, count } = await trainer.evaluate(arrays(images, labels));
    assert.is(count, 7);
    const size = 3 * 12 * 12;
    let [sum, right] = [0, 0];
    for (let i = 0; i < 7; i++) {
      const batch = new Float32Array(BATCH * size);
      batch.set(images.subarray(i * size, (i + 1) * size));
      const logits = Array.from((await trainer.run(batch)).data.subarray(0, 7));
      const largest = Math.max(...logits);
      sum += largest + Math.log(logits.reduce((a, v) => a + Math.exp(v - largest), 0)) - logits[labels[i]];
      right += Number(logits.indexOf(largest) === labels[i]);
    }
    assert.ok(Math.abs(loss - sum / 7) < 1e-5, `${loss} and ${sum / 7}`);
    assert.is(accuracy, right / 7);
    assert.is(trainer.steps, 0);
  });
});

test("the net of a training gives what the training does, and stays as it is while that goes on", async () => {
  const { images, labels } = draw(BATCH);
  await withTrainer({}, async (trainer) => {
    await trainer.step(images, labels);
    const { data } = await trainer.run(images);
    const net = await trainer.net();
    await trainer.step(images, labels);
    const { logits } = await net.run(images);
    await net.dispose();
    const largest = Math.max(...data.map(Math.abs));
    logits.data.forEach((v, i) => {
      assert.ok(Math.abs(v - data[i]) <= 1e-5 * largest, `${v} and ${data[i]}`);
    });
  });
});

test("what was saved says how many classes there are, and their names", async () => {
  const trainer = await gpu.train(lenet5, { batch: 1, numClasses: 2, optimizer: adam });
  await refuses(
    () => trainer.save({ classes: ["even"] }),
    UsageError,
    "USAGE",
    /classes is \["even"\]; it must be names of the 2/,
  );
  const unnamed = await trainer.save();
  await fit(trainer, arrays(new Float32Array(2048), [0, 1], ["even", "odd"]), { epochs: 1 });
  const bytes = await trainer.save();
  const image = { width: 28, height: 28, data: new Uint8Array(28 * 28 * 4) };
  const own = await trainer.net();
  assert.equal((await own.classify(image)).map(({ label }) => label).sort(), ["even", "odd"]);
  own.dispose();
  await trainer.dispose();

  const namesOf = async (options: Given) => {
    const net = await gpu.loadNet(lenet5, options);
    const top = await net.classify(image);
    net.dispose();
    return top.map(({ label }) => label).sort();
  };
  assert.equal(await namesOf({ weights: bytes }), ["even", "odd"]);
  assert.equal(await namesOf({ weights: new Blob([bytes]), numClasses: 2 }), ["even", "odd"]);
  assert.equal(await namesOf({ weights: bytes, labels: ["0", "1"] }), ["0", "1"]);
  assert.equal(await namesOf({ weights: unnamed }), ["class 0", "class 1"]);
  const hint = /it was trained for 2 classes: pass the option numClasses: 2$/;
  for (const options of [{ numClasses: 3 }, { labels: ["0", "1", "2"] }])
    await refuses(() => namesOf({ weights: bytes, ...options }), WeightsError, "WEIGHTS", hint);
  const ten = () => namesOf({ weights: bytes, labels: [..."0123456789"] });
  await refuses(ten, UsageError, "USAGE", /lenet5 has 2 classes and got 10 labels: give one for each, or/);
  // It comes once.
  await refuses(() => namesOf({ weights: new Response(bytes) }), WeightsError, "WEIGHTS", hint);

  const other = await gpu.train(lenet5, { batch: 1, weights: bytes, numClasses: 3, optimizer: adam });
  assert.equal(other.fresh, ["linear2.weight", "linear2.bias"]);
  await other.dispose();
});

test("a signal ends a training after the step at hand, which can be gone on with", async () => {
  const { images, labels } = draw(16);
  const dataset = arrays(images, labels);
  await withTrainer({}, async (trainer) => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const onProgress = ({ step }: { step: number }) => {
      if (step === 2) controller.abort(reason);
    };
    const ended = fit(trainer, dataset, { epochs: 3, signal: controller.signal, onProgress });
    assert.is(await ended.catch((error) => error), reason);
    assert.is(trainer.steps, 2);
    assert.equal(
      (await fit(trainer, dataset, { epochs: 1 })).map(({ step }) => step),
      [4],
    );
  });
});

test("what cannot be gone on from, or trained on, is refused", async () => {
  const { images, labels } = draw(3);
  await withTrainer({}, async (trainer) => {
    const few = () => fit(trainer, arrays(images, labels), { epochs: 1 });
    await refuses(few, UsageError, "USAGE", /a batch is 4 images and the dataset has 3: load with a smaller batch/);
    const none = () => fit(trainer, arrays(images, labels), { epochs: 0 });
    await refuses(none, UsageError, "USAGE", /epochs is 0; it must be a positive integer/);
    const odd = () => fit(trainer, arrays(images, labels), { epoch: 1 } as object as { epochs: number });
    await refuses(odd, UsageError, "USAGE", /fit\(\) has no option "epoch"; its options are epochs, /);
  });
  const named = () => withTrainer({}, (trainer) => fit(trainer, arrays(images, labels, ["x"]), { epochs: 1 }));
  await refuses(named, UsageError, "USAGE", /the dataset's classes is \["x"\]; it must be names of the 7 classes/);
  const sgd = { name: "sgd", lr: 1 };
  const saved = await withTrainer({ optimizer: sgd }, (trainer) => trainer.save());
  const refusesResumed = (options: object, message: RegExp) =>
    refuses(() => withTrainer({ resume: saved, ...options }, async () => {}), WeightsError, "WEIGHTS", message);
  await refusesResumed({}, /is of a training by "sgd"; it cannot go on by "adam"$/);
  await refusesResumed(
    { optimizer: sgd, numClasses: 9 },
    /has "fc\.weight" in another shape: it is of another net, or for/,
  );
  const part = await withTrainer({ optimizer: sgd, trainable: /^fc/ }, (trainer) => trainer.save());
  const message = /lacks "optimizer\.m\..*": other parameters were trained then: give the same trainable$/;
  await refusesResumed({ optimizer: sgd, resume: part }, message);
  await refusesResumed(
    { optimizer: sgd, resume: randomWeights(small) },
    /does not say how many steps its training had/,
  );
});

test.run();
