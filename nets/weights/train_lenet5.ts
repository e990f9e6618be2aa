/**
 * Trains LeNet-5 on MNIST from scratch, on digits that are distorted anew in every epoch; README.md tells what came of it:
 *
 *     node dist/nets/weights/train_lenet5.js [--epochs 16] [--batch 64] [--lr 0.004] [--seed 1] [--holdout 0] [--out FILE]
 *
 * With --holdout N the last N training images are scored after each epoch instead of trained on, and the test images
 * are not read. The same options give the same file on the same adapter and driver.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { UsageError } from "../../engine/ground/errors.ts";
import { DIGIT } from "../../engine/image/image.ts";
import { drawsOf } from "../../engine/training/augmentation.ts";
import type { Dataset } from "../../engine/training/data.ts";
import { type Digits, digitInputs } from "../../engine/training/mnist.ts";
import { OPTIMIZER } from "../../engine/weights/checkpoint.ts";
import { encodeSafetensors } from "../../engine/weights/safetensors.ts";
import { oneCycleSchedule, openGpu } from "../../index.ts";
import { distorted } from "./distortion.ts";
import { readMnist } from "./mnist.ts";

const { mean, std, side } = DIGIT;

/** `size` digits from `start` on, each distorted by a draw of its own where they are trained on. */
function digitsFrom({ images, labels }: Digits, start: number, size: number): Dataset {
  const digitAt = (place: number) => images.subarray(place * side ** 2, (place + 1) * side ** 2);
  return {
    size,
    examples(places, key) {
      const all = places.map((place) => start + place);
      const inputs = (key: number) =>
        Float32Array.from(
          all.flatMap((place) => [...distorted(digitAt(place), drawsOf(key, place))]),
          (ink) => (ink / 255 - mean) / std,
        );
      return {
        images: key === undefined ? digitInputs(images, all) : inputs(key),
        labels: all.map((place) => labels[place]),
      };
    },
  };
}

const { out, ...options } = parseArgs({
  options: {
    epochs: { type: "string", default: "16" },
    batch: { type: "string", default: "64" },
    lr: { type: "string", default: "0.004" },
    seed: { type: "string", default: "1" },
    holdout: { type: "string", default: "0" },
    out: { type: "string", default: "nets/weights/lenet5.safetensors" },
  },
}).values;
const mnist = readMnist("train");
const [epochs, batch, lr, seed, holdout] = [
  options.epochs,
  options.batch,
  options.lr,
  options.seed,
  options.holdout,
].map(Number);
if (!Number.isInteger(holdout) || holdout < 0 || holdout >= mnist.count)
  throw new UsageError(`--holdout must be a count of images below ${mnist.count}`);

const training = digitsFrom(mnist, 0, mnist.count - holdout);
// Only a final run may see the test images: whoever holds images out is still choosing.
const held = holdout > 0 ? digitsFrom(mnist, training.size, holdout) : undefined;
const gpu = await openGpu();
try {
  const schedule = oneCycleSchedule(lr, epochs * Math.floor(training.size / batch));
  const trainer = await gpu.train("lenet5", { batch, seed, optimizer: { name: "adam", lr: schedule } });
  for await (const { epoch, loss, validation, seconds } of trainer.fit(training, { epochs, validation: held })) {
    const score = validation ? `, held-out accuracy ${(100 * validation.accuracy).toFixed(2)} %` : "";
    console.error(`epoch ${epoch}: loss ${loss.toFixed(4)}${score}, ${Math.round(seconds)} s`);
  }
  const asked = Object.entries(options).map(([name, value]) => `--${name} ${value}`);
  const metadata: Record<string, string> = {
    net: "LeNet-5",
    data: "the 60,000 training images of MNIST (LeCun, Cortes and Burges), distorted at random",
    trainer: `shadenet, nets/weights/train_lenet5.ts ${asked.join(" ")}`,
    adapter: gpu.adapter.name,
  };
  if (!held) {
    const test = readMnist("test");
    metadata.test_accuracy = String((await trainer.evaluate(digitsFrom(test, 0, test.count))).accuracy);
  }
  const tensors = [...(await trainer.tensors())].filter(([name]) => !name.startsWith(OPTIMIZER));
  await writeFile(out, encodeSafetensors(new Map(tensors), metadata));
  console.error(`wrote ${out}`, metadata);
} finally {
  gpu.close();
}
