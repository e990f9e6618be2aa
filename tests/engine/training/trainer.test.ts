import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type AnyNet,
  type Given,
  inputShape,
  type NetDefinition,
  type NetOptions,
  netOptions,
  traceNet,
} from "../../../engine/definition.ts";
import { type Gpu, openGpu as openWith } from "../../../engine/gpu.ts";
import type { Graph } from "../../../engine/graph/graph.ts";
import { DEFAULT_LIMITS, type Plan } from "../../../engine/graph/plan.ts";
import type { Rates } from "../../../engine/graph/variant.ts";
import { DisposedError, GpuError, ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import { withSmallerBatch } from "../../../engine/training/diagnosis.ts";
import { compileForward, compileStep, traceTraining } from "../../../engine/training/graph.ts";
import type { Trainer, TrainOptions } from "../../../engine/training/trainer.ts";
import { arraysCheckpoint } from "../../../engine/weights/sources.ts";
import { dropout } from "../../../kernels/dropout.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { maxPool2d } from "../../../kernels/pool2d/maxpool2d.ts";
import { rates } from "../../../kernels/rates.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import { variants } from "../../../kernels/variants.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "../../../nets/layers.ts";
import { lenet5 } from "../../../nets/lenet.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { resnet18 } from "../../../nets/resnet.ts";
import { idle, inDepth, int, isDeep, open, randomTensor, refuses, sameBits, small, someOf } from "../../harness.ts";

const training = await tableFor();
const optimizer = await training.optimizers.sgd({ momentum: 0.9 });

const gpu = await open();

const sgd = { name: "sgd", lr: 0.05, momentum: 0.9 };

/** With what training changes besides weights, and what it draws at random. */
const noisy: NetDefinition = {
  ...small,
  name: "noisy",
  build(x, { numClasses }) {
    const y = named("relu", relu(batchNormLayer("bn", convLayer("conv", x, 8, 3, { bias: false }))));
    return linearLayer("fc", dropout(flatten(maxPool2d(y, { kernel: 2 }))), numClasses);
  },
};

/** For which little has to be compiled. */
const single: NetDefinition = {
  ...small,
  name: "single",
  build: (x, { numClasses }) => linearLayer("fc", flatten(x), numClasses),
};

const BATCH = 4;
const drawLabels = (classes: number) => Array.from({ length: BATCH }, () => int(0, classes - 1));
const digits = () => ({ x: randomTensor([BATCH, 1, 32, 32]), labels: drawLabels(10) });
const images = () => ({ x: randomTensor([BATCH, 3, 12, 12]), labels: drawLabels(7) });

/** Trains a net in a test, and asserts that nothing is left of it on the GPU. */
async function withTrainer<T>(
  net: AnyNet,
  options: TrainOptions & Given,
  use: (trainer: Trainer) => Promise<T>,
  on: Gpu = gpu,
): Promise<T> {
  await idle();
  const before = { ...on.alive };
  const trainer = await on.train(net, { batch: BATCH, ...options });
  try {
    return await use(trainer);
  } finally {
    await trainer.dispose();
    assert.equal(on.alive, before, "the trainer left something on the GPU");
  }
}

const sameTensors = (got: ReadonlyMap<string, Tensor>, want: ReadonlyMap<string, Tensor>) => {
  assert.equal([...got.keys()], [...want.keys()]);
  for (const [name, each] of want) sameBits(got.get(name) as Tensor, each, name);
};

const isEqual = (a: Tensor, b: Tensor): boolean => a.data.every((v, i) => Object.is(v, b.data[i]));

/** Not drawn, where it matters how fast they are learnt. */
const known = (...shape: number[]): Tensor => ({
  shape: [BATCH, ...shape],
  data: Float32Array.from({ length: BATCH * shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * i)),
});

inDepth("LeNet-5 learns a batch by heart, and knows it at inference, too", async () => {
  const [x, labels] = [known(1, 32, 32), [3, 1, 4, 9]];
  await withTrainer(lenet5, { optimizer: { name: "adam", lr: 0.005 } }, async (trainer) => {
    const first = await trainer.step(x, labels);
    assert.is(first.step, 1);
    let last = first;
    for (let i = 0; i < 11; i++) last = await trainer.step(x, labels);
    assert.is(trainer.steps, 12);
    assert.is(last.accuracy, 1);
    assert.ok(last.loss < first.loss / 2, `${first.loss} and then ${last.loss}`);
    const { data } = await trainer.run(x);
    labels.forEach((label, n) => {
      const row = data.subarray(10 * n, 10 * n + 10);
      assert.is(row.indexOf(Math.max(...row)), label);
    });
  });
});

test("the loss falls by every optimizer on a batch that is repeated", async () => {
  const [x, labels] = [known(3, 12, 12), [3, 1, 4, 6]];
  for (const optimizer of someOf([sgd, { name: "adam", lr: 0.01 }, { name: "adamw", lr: 0.01 }], 1)) {
    await withTrainer(small, { optimizer }, async (trainer) => {
      const first = await trainer.step(x, labels);
      for (let i = 0; i < 30; i++) await trainer.step(x, labels);
      const { loss } = await trainer.step(x, labels);
      assert.ok(loss < first.loss / 2, `${optimizer.name}: ${first.loss} and then ${loss}`);
    });
  }
});

test("the same seed and data end in the same bits, another seed does not", async () => {
  const batches = [images(), images(), images()];
  const trained = (options: object) =>
    withTrainer(noisy, { optimizer: sgd, ...options }, async (trainer) => {
      for (const { x, labels } of batches) await trainer.step(x, labels);
      return trainer.tensors({ gradients: true });
    });
  const first = await trained({ seed: 5 });
  sameTensors(await trained({ seed: 5 }), first);
  const differs = (other: ReadonlyMap<string, Tensor>) =>
    ["conv.weight", "fc.weight"].every((name) => !isEqual(other.get(name) as Tensor, first.get(name) as Tensor));
  assert.ok(differs(await trained({ seed: 6 })), "another seed ends elsewhere");
  assert.ok(differs(await trained({})), "so does that by default");
});

test("from the same weights a seed decides what is dropped, and nothing where nothing is", async () => {
  const weights = randomWeights(noisy);
  const { x, labels } = images();
  const lossOf = (options: object) =>
    withTrainer(
      noisy,
      { optimizer: sgd, weights, ...options },
      async (trainer) => (await trainer.step(x, labels)).loss,
    );
  const first = await lossOf({ seed: 1 });
  assert.is(await lossOf({ seed: 1 }), first);
  assert.is.not(await lossOf({ seed: 2 }), first);
  const whole = await lossOf({ seed: 1, dropout: false });
  assert.is.not(whole, first);
  assert.is(await lossOf({ seed: 2, dropout: false }), whole);
});

test("a batch norm's statistics move with its weights, and stay where these are frozen", async () => {
  const weights = randomWeights(noisy);
  const { x, labels } = images();
  const tensorsOf = (trainable: RegExp) =>
    withTrainer(noisy, { optimizer: sgd, weights, trainable }, async (trainer) => {
      await trainer.step(x, labels);
      return trainer.tensors();
    });
  const all = await tensorsOf(/./);
  const given = async (name: string) => ({ shape: [8], data: await weights.read(name) });
  for (const name of ["bn.running_mean", "bn.running_var"]) {
    assert.ok(!isEqual(all.get(name) as Tensor, await given(name)), name);
  }
  const names = [...(await tensorsOf(/^fc/)).keys()];
  assert.equal(names, ["fc.weight", "fc.bias", "optimizer.m.fc.weight", "optimizer.m.fc.bias"]);
});

/** A step of training of a net, as a device with these traits would have it, and the net at inference beside it. */
function plansOf(
  net: AnyNet,
  given: Given,
  { trainable = /./, known = rates.software }: { trainable?: RegExp; known?: Rates } = {},
): { step: Plan; forward: Plan } {
  const trace = (graph: Graph) => traceNet(net, inputShape(net, given), netOptions<NetOptions>(net, given), graph);
  const graph = traceTraining(trace, true, training);
  const isSoftware = known === rates.software;
  const traits = { subgroupSize: isSoftware ? 8 : 32, software: isSoftware, maxBinding: 2 ** 27, rates: known };
  const target = { traits, variants, limits: DEFAULT_LIMITS };
  const step = compileStep(graph, (name) => trainable.test(name), optimizer, {}, training, target);
  return { step: step.plan, forward: compileForward(traceTraining(trace, false, training), step, training, target) };
}

const stepOf = (...given: Parameters<typeof plansOf>): Plan => plansOf(...given).step;

test("what is evaluated has the fast kernels, too", () => {
  const plainIn = ({ steps }: Plan) => steps.filter(({ kernel }) => kernel === "conv2d").length;
  for (const [net, given] of [
    [lenet5, { batch: 16 }],
    [resnet18, { batch: 4, imageSize: 64 }],
  ] as const) {
    for (const known of [rates.software, rates.nvidia]) {
      const { step, forward } = plansOf(net, given, { known });
      assert.ok(forward.steps.length > 0);
      // LeNet's first layer has one channel, and six.
      assert.ok(plainIn(forward) <= (net === lenet5 ? 1 : 0), `${net.name}: ${plainIn(forward)}`);
      assert.ok(plainIn(step) <= plainIn(forward), `${net.name}: ${plainIn(step)} of a step`);
    }
  }
});

test("gradients of a batch norm's weight and bias are where its sums are, and a batch or its rows are cut where they are read", () => {
  for (const known of [rates.software, rates.nvidia]) {
    const { steps } = stepOf(resnet18, { batch: 8, imageSize: 128 }, { known });
    const copies = steps.filter(({ kernel }) => kernel === "slice").length;
    assert.is(copies, 0);
  }
});

test("activations, and residuals behind batch norms, are applied by the kernels in front", () => {
  for (const [net, given] of [
    [lenet5, { batch: BATCH }],
    [resnet18, { batch: 4, imageSize: 64 }],
  ] as const) {
    for (const known of [rates.software, rates.nvidia]) {
      const kernels = plansOf(net, given, { known }).step.steps.map(({ kernel }) => kernel);
      const alone = kernels.filter((kernel) => ["add", "relu", "tanh"].includes(kernel));
      assert.equal(alone, [], `${net.name}, ${known === rates.software ? "software" : "a GPU"}`);
    }
  }
});

test("what is frozen has no gradients in the plan, and is written by no step", () => {
  const { step: plan } = plansOf(lenet5, { batch: BATCH }, { trainable: /^linear2/ });
  const kernels = plan.steps.map(({ kernel }) => kernel);
  const layers = kernels.filter((name) => /gradient/.test(name) && name !== "cross_entropy_gradient");
  assert.equal(layers, []);
  const written = plan.steps.flatMap(({ bindings }) =>
    bindings.flatMap(({ type, place }) =>
      type === "storage" && place && "param" in place ? [plan.params[place.param].name] : [],
    ),
  );
  assert.equal([...new Set(written)].sort(), ["gradients 0", "m 0", "weights 0"]);
  const all = plansOf(lenet5, { batch: BATCH }).step.steps.map(({ kernel }) => kernel);
  for (const wanted of [/^pack$/, /^avgpool2d_gradient$/, /^activation_gradient$/]) {
    assert.ok(
      all.some((name) => wanted.test(name)),
      `${wanted}`,
    );
  }
});

test("what is frozen stays as it was: the net is what was given, but for what was trained", async () => {
  const { x, labels } = digits();
  const weights = randomWeights(lenet5);
  const { logits, trained } = await withTrainer(
    lenet5,
    { optimizer: sgd, weights, trainable: /^linear2/ },
    async (trainer) => {
      await trainer.step(x, labels);
      await trainer.step(x, labels);
      return { logits: await trainer.run(x), trained: await trainer.tensors() };
    },
  );
  const names = ["linear2.weight", "linear2.bias"];
  assert.equal([...trained.keys()], [...names, ...names.map((name) => `optimizer.m.${name}`)]);
  const tensors: Record<string, Tensor> = {};
  for (const [name, { shape }] of weights.tensors) {
    tensors[name] = trained.get(name) ?? { shape, data: await weights.read(name) };
  }
  const net = await gpu.loadNet(lenet5, { batch: BATCH, weights: arraysCheckpoint(tensors) });
  const wanted = await net.run(x);
  await net.dispose();
  const largest = Math.max(...wanted.logits.data.map(Math.abs));
  logits.data.forEach((v, i) => {
    assert.ok(Math.abs(v - wanted.logits.data[i]) < 1e-5 * largest, `${v} and ${wanted.logits.data[i]}`);
  });
});

test("activations of a step take at most 1.25 times what is alive at once", () => {
  for (const [net, given] of [
    [lenet5, { batch: 16 }],
    [resnet18, { batch: 16, imageSize: 64 }],
  ] as const) {
    for (const known of [rates.software, rates.nvidia]) {
      const { buffers, activationLowerBound } = plansOf(net, given, { known }).step;
      const ratio = buffers.reduce((sum, size) => sum + size, 0) / activationLowerBound;
      assert.ok(ratio <= 1.25, `${net.name}: ${ratio.toFixed(3)}`);
    }
  }
});

const STEPS = isDeep ? 100 : 30;

test(`${STEPS} steps take no more memory than one, and results no more than they are read for`, async () => {
  const { x, labels } = images();
  await withTrainer(small, { optimizer: { ...sgd, lr: 0.001 } }, async (trainer) => {
    await trainer.step(x, labels);
    const before = { ...gpu.alive };
    for (let i = 1; i < STEPS; i++) await trainer.step(x, labels);
    assert.is(trainer.steps, STEPS);
    assert.equal(gpu.alive, before);
    await trainer.tensors({ gradients: true });
    assert.equal(gpu.alive, before);
  });
});

test("steps that are asked for at once are done in order", async () => {
  const { x, labels } = images();
  await withTrainer(small, { optimizer: sgd }, async (trainer) => {
    const results = await Promise.all([1, 2, 3].map(() => trainer.step(x, labels)));
    assert.equal(
      results.map(({ step }) => step),
      [1, 2, 3],
    );
    assert.ok(results[2].loss < results[0].loss);
  });
});

test("dispose() waits for the steps that were asked for, frees all, and may be called twice", async () => {
  await idle();
  const before = { ...gpu.alive };
  const { x, labels } = images();
  const trainer = await gpu.train(small, { batch: BATCH, optimizer: sgd });
  const step = trainer.step(x, labels);
  await Promise.all([trainer.dispose(), trainer.dispose()]);
  assert.equal(gpu.alive, before);
  assert.is((await step).step, 1);
  for (const use of [() => trainer.step(x, labels), () => trainer.run(x), () => trainer.tensors()]) {
    await refuses(use, DisposedError, "DISPOSED", /the trainer/);
  }
});

test("what is no batch is refused, and is no step", async () => {
  const { x, labels } = digits();
  await withTrainer(lenet5, { optimizer: sgd }, async (trainer) => {
    const refusesLabels = (given: unknown[], message: RegExp) =>
      refuses(() => trainer.step(x, given as number[]), UsageError, "USAGE", message);
    await refusesLabels([0, 1, 2, 10], /the label of image 3 is 10; it must be a class from 0 to 9/);
    await refusesLabels([-1, 1, 2, 3], /the label of image 0 is -1; it must be a class from 0 to 9/);
    await refusesLabels([0, 1.5, 2, 3], /the label of image 1 is 1.5/);
    await refusesLabels([0, 1, NaN, 3], /the label of image 2 is NaN/);
    await refusesLabels([0, 1, 2, "3"], /the label of image 3 is "3"/);
    const refusesShape = (images: Tensor | Float32Array, given: number[], message: RegExp) =>
      refuses(() => trainer.step(images, given), ShapeError, "SHAPE", message);
    await refusesShape(x, [0, 1, 2], /there are 3 labels for 4 images/);
    await refusesShape(x, [...labels, 1], /there are 5 labels for 4 images/);
    await refusesShape(randomTensor([BATCH, 1, 28, 28]), labels, /\[4,1,28,28\]; .* \[4, 1, 32, 32\]/);
    await refusesShape(randomTensor([2, 1, 32, 32]), labels, /\[2,1,32,32\]; .* \[4, 1, 32, 32\]/);
    await refusesShape(new Float32Array(7), labels, /7 elements; its shape \[4, 1, 32, 32\] has 4096/);
    await refuses(() => trainer.run(randomTensor([1, 1, 32, 32])), ShapeError, "SHAPE", /\[1,1,32,32\]/);
    assert.is(trainer.steps, 0);
    await trainer.step(x.data, labels);
    assert.is(trainer.steps, 1);
  });
});

test("options that make no sense are refused before anything is loaded", async () => {
  await idle();
  const before = { ...gpu.alive };
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => gpu.train(lenet5, { optimizer: sgd, ...options }), UsageError, "USAGE", message);
  await refusesUse({ optimizer: undefined }, /optimizer is undefined; it must be its name and learning rate, lr/);
  await refusesUse(
    { optimizer: { name: "lion", lr: 1 } },
    /the optimizer's name is "lion"; it must be sgd, adam, adamw/,
  );
  await refusesUse({ optimizer: { name: "toString", lr: 1 } }, /the optimizer's name is "toString"/);
  await refusesUse({ optimizer: { name: "sgd" } }, /the optimizer's lr is undefined; it must be a learning rate of at/);
  await refusesUse({ optimizer: { name: "sgd", lr: NaN } }, /the optimizer's lr is NaN/);
  await refusesUse({ optimizer: { name: "sgd", lr: -1 } }, /the optimizer's lr is -1/);
  await refusesUse({ optimizer: { name: "sgd", lr: 1, beta1: 0.9 } }, /the optimizer "sgd" has no option "beta1"; its/);
  await refusesUse(
    { optimizer: { name: "adam", lr: 1, beta1: 1 } },
    /adam: beta1 is 1; it must be at least 0 and below 1/,
  );
  await refusesUse({ dtype: "f16" }, /nets are trained in f32, .*: leave out dtype: "f16"/);
  await refusesUse({ trainable: "linear2" }, /trainable is "linear2"; it must be a RegExp or a function of a name/);
  await refusesUse({ trainable: /^fc/ }, /the loss depends on none of the parameters that are to be trained/);
  await refusesUse({ seed: 0.5 }, /seed is 0.5; it must be an integer/);
  await refusesUse({ loss: { labelSmoothing: 2 } }, /labelSmoothing is 2; it must be from 0 to 1/);
  await refusesUse({ loss: { smoothing: 0.1 } }, /no option "smoothing"; its options are labelSmoothing/);
  await refusesUse({ bach: 4 }, /lenet5 has no option "bach"/);
  await refuses(() => gpu.train(lenet5, { optimizer: sgd, batch: 0 }), ShapeError, "SHAPE", /batch is 0/);
  assert.equal(gpu.alive, before);
});

test("a learning rate that is a function is asked in every step, and has to answer with a number", async () => {
  const { x, labels } = images();
  const asked: number[] = [];
  const lr = (step: number) => {
    asked.push(step);
    return step < 2 ? 0.1 : NaN;
  };
  await withTrainer(small, { optimizer: { name: "sgd", lr } }, async (trainer) => {
    await trainer.step(x, labels);
    await trainer.step(x, labels);
    const third = () => trainer.step(x, labels);
    await refuses(
      third,
      UsageError,
      "USAGE",
      /the learning rate of step 3 is NaN; it must be a number that is finite in float32/,
    );
    assert.equal(asked, [0, 1, 2]);
    assert.is(trainer.steps, 2);
  });
});

test("a learning rate of 1e30 ends in an error, with the weights finite and those of the step before", async () => {
  const { x, labels } = images();
  for (const optimizer of [
    { name: "sgd", lr: 1e30, momentum: 0.9 },
    { name: "adamw", lr: 1e30, weightDecay: 0 },
  ]) {
    await withTrainer(noisy, { optimizer, dropout: false, trainable: /^(conv|fc)/ }, async (trainer) => {
      let before = await trainer.tensors();
      const overflow = async () => {
        for (let i = 0; i < 10; i++) {
          await trainer.step(x, labels);
          before = await trainer.tensors();
        }
      };
      const message =
        /in step \d+ the loss is .* and the gradients' norm .*: the weights are those of the step before; try/;
      await refuses(overflow, GpuError, "OVERFLOW", message);
      const { steps } = trainer;
      sameTensors(await trainer.tensors(), before);
      for (const [name, { data }] of before) assert.ok(data.every(Number.isFinite), name);
      await refuses(() => trainer.step(x, labels), GpuError, "OVERFLOW", message);
      sameTensors(await trainer.tensors(), before);
      assert.is(trainer.steps, steps);
    });
  }
});

test("images with NaN end in an error, and what was trained is as it was, statistics too", async () => {
  const { x, labels } = images();
  await withTrainer(noisy, { optimizer: sgd }, async (trainer) => {
    await trainer.step(x, labels);
    const before = await trainer.tensors();
    const spoiled = tensor(x.shape, x.data.with(500, NaN));
    const message =
      /in step 2 the loss is NaN .*, as the images have values that are not finite: the weights are those/;
    await refuses(() => trainer.step(spoiled, labels), GpuError, "OVERFLOW", message);
    sameTensors(await trainer.tensors(), before);
    assert.is((await trainer.step(x, labels)).step, 2);
  });
});

/** Two linear layers on what sizes make it, the second one's outputs over 1 wherever those of the first are. */
const steep: NetDefinition = {
  ...small,
  name: "steep",
  build: (x, { numClasses }) =>
    linearLayer("fc2", named("relu", relu(linearLayer("fc1", flatten(x), 5, { bias: false }))), numClasses, {
      bias: false,
    }),
};

test("the error of a step names the layer, or the gradient, whose numbers leave float32 first", async () => {
  const size = 3 * 12 * 12;
  const filled = (shape: readonly number[], value: number): Tensor => ({
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b)).fill(value),
  });
  const ones = filled([BATCH, 3, 12, 12], 1);
  const fails = async (net: AnyNet, weights: Record<string, Tensor>, x: Tensor, where: string) =>
    withTrainer(net, { optimizer: sgd, weights: { ...weights } }, async (trainer) => {
      const before = await trainer.tensors();
      const alive = { ...gpu.alive };
      const message = new RegExp(
        `^in step 1 the loss is .*, first in ${where}: the weights are those of the step before`,
      );
      const step = () => trainer.step(x, [0, 1, 2, 3]);
      await refuses(step, GpuError, "OVERFLOW", message);
      assert.equal(gpu.alive, alive);
      sameTensors(await trainer.tensors(), before);
    });
  const steepOf = (first: number, second: number) => ({
    "fc1.weight": filled([5, size], first),
    "fc2.weight": filled([7, 5], second),
  });
  await fails(steep, steepOf(1e38, 1), ones, 'what "fc1" gives');
  await fails(steep, steepOf(1 / size, 1e38), ones, 'what "fc2" gives');
  // All that the layers give is finite.
  const { data } = steepOf(0, 1)["fc2.weight"];
  const uneven = { shape: [7, 5], data: data.map((_, i) => 1e15 * (i < 5 ? 1 : 2)) };
  await fails(
    steep,
    { ...steepOf(1e-25 / size, 0), "fc2.weight": uneven },
    filled(ones.shape, 1e25),
    "the gradient of fc1\\.weight",
  );

  const noise = randomWeights(noisy);
  const tensors: Record<string, Tensor> = {};
  for (const [name, { shape }] of noise.tensors) tensors[name] = { shape, data: await noise.read(name) };
  await fails(noisy, { ...tensors, "bn.weight": filled([8], 3e38) }, known(3, 12, 12), 'what "bn" gives');
});

/** On a device of its own, which the test may end: each compiles all that the net has. */
async function withOwn(net: AnyNet, use: (own: Gpu, trainer: Trainer) => Promise<void>): Promise<void> {
  const own = await openWith({ variants, rates, training: async () => ({ tableFor }) }, nodeHost);
  try {
    await withTrainer(net, { optimizer: sgd }, (trainer) => use(own, trainer), own);
  } finally {
    own.close();
  }
}

inDepth(
  "a device that is lost ends the steps that nobody kept with a clear error, and training goes on from what was",
  () =>
    withOwn(single, async (own, trainer) => {
      const { x, labels } = images();
      const first = await trainer.step(x, labels);
      await trainer.step(x, labels);
      for (const [i, use] of [() => trainer.step(x, labels), () => trainer.tensors()].entries()) {
        own.device.destroy();
        await idle();
        const message =
          /the GPU device was lost, and (a step|\d steps) with it: training goes on from step 0, the last that was kept/;
        await refuses(use, GpuError, "DEVICE_LOST", message);
        assert.is(trainer.steps, 0);
        // What it began with, to the bit, and not what is on no device any more.
        assert.equal(await trainer.step(x, labels), first, `after use ${i}`);
      }
    }),
);

inDepth("where there is not enough memory the error says how much is, and for which batch there is", async () => {
  const own = await openWith({ variants, rates, training: async () => ({ tableFor }) }, nodeHost);
  const train = (batch: number) => own.train(small, { batch, optimizer: sgd });
  const most = 2 ** 16;
  own.limits = { maxStorageBufferBindingSize: most, maxBufferSize: most };
  own.traits = { ...own.traits, maxBinding: most };
  const over = await train(100).catch((error) => error);
  assert.is(over.code, "LIMIT");
  const [, batch] = /^input "x" needs 0\.2 MiB; .*; a batch of (\d+) takes [\d.]+ MiB$/.exec(over.message) ?? [];
  assert.ok(["25", "12", "6"].includes(batch), over.message);
  await (await train(Number(batch))).dispose();

  const create = own.createBuffer.bind(own);
  own.createBuffer = async (label, size, usage) => {
    if (size > 2 ** 14) throw new GpuError("OUT_OF_MEMORY", "the device is out of memory");
    return create(label, size, usage);
  };
  const wanting = /^the device is out of memory; the net needs .* MiB \(weights .*\); a batch of 8 takes [\d.]+ MiB$/;
  await refuses(() => train(16), GpuError, "OUT_OF_MEMORY", wanting);
  assert.equal(own.alive, { buffers: 0, bytes: 0 });
  own.close();

  // Of the machine's memory it is known how much there is.
  const planOf = (images: number): Plan => {
    if (images < 3) throw new ShapeError("one value per channel");
    return { ...stepOf(small, { batch: 4 }), params: [], buffers: [1024 * images] };
  };
  const error = new GpuError("OUT_OF_MEMORY", "the machine has 10 KiB");
  const checkMemory = (bytes: number) => {
    if (bytes > 10 * 1024) throw error;
  };
  const told = (size: number, check?: typeof checkMemory) =>
    (withSmallerBatch(error, size, planOf, check) as Error).message;
  assert.match(told(64), /^the machine has 10 KiB; a batch of 32 takes/);
  assert.match(told(64, checkMemory), /^the machine has 10 KiB; a batch of 8 takes/);
  assert.is(told(5, checkMemory), error.message);
  const other = new UsageError("no");
  assert.is(withSmallerBatch(other, 64, planOf), other);
});

inDepth("what was saved outlives the device: what comes after it ends in the same bits", () =>
  withOwn(noisy, async (own, trainer) => {
    const { x, labels } = images();
    await trainer.step(x, labels);
    await trainer.save();
    const second = await trainer.step(x, labels);
    const wanted = await trainer.tensors();
    own.device.destroy();
    await refuses(
      () => trainer.step(x, labels),
      GpuError,
      "DEVICE_LOST",
      /goes on from step 1, the last that was kept/,
    );
    assert.is(trainer.steps, 1);
    assert.equal(await trainer.step(x, labels), second);
    sameTensors(await trainer.tensors(), wanted);
    // Nothing is lost with a device on which there was nothing new.
    await trainer.save();
    own.device.destroy();
    assert.is((await trainer.step(x, labels)).step, 3);
  }),
);

inDepth("a device that is lost in a step ends it, or comes too late for it", () =>
  withOwn(single, async (own, trainer) => {
    const { x, labels } = images();
    await trainer.step(x, labels);
    for (let i = 0; i < 2; i++) {
      const step = trainer.step(x, labels).then(
        () => undefined,
        (error) => error,
      );
      await new Promise((resolve) => setTimeout(resolve, int(0, 5)));
      own.device.destroy();
      const error = await step;
      assert.ok(error === undefined || (error instanceof GpuError && error.code === "DEVICE_LOST"), `${error}`);
    }
  }),
);

test("a GPU that was opened without gradients says so", async () => {
  const plain = await openWith({ variants, rates }, nodeHost);
  const message = /openGpu\(\) was given no gradients: pass its option "training"/;
  await refuses(() => plain.train(small, { optimizer: sgd }), UsageError, "USAGE", message);
  plain.close();
});

test.run();
