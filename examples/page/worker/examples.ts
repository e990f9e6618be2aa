import { UsageError } from "../../../engine/ground/errors.ts";
import { pcg } from "../../../engine/ground/hash.ts";
import { sizeOf } from "../../../engine/ground/tensor.ts";
import type { Dataset } from "../../../engine/training/data.ts";
import { shuffled, type Trainer } from "../../../engine/training/trainer.ts";

/** The examples of a step, counted from 0: an epoch's in an order that follows from the seed. */
export function examplesAt(dataset: Dataset, step: number, batch: number, seed: number) {
  const { size } = dataset;
  if (size < batch) throw new UsageError(`a batch is ${batch} images, and there are ${size}: choose a smaller batch`);
  const perEpoch = Math.floor(size / batch);
  const order = shuffled(size, pcg(seed ^ pcg(Math.floor(step / perEpoch) + 1)));
  const first = (step % perEpoch) * batch;
  return dataset.examples(order.slice(first, first + batch));
}

/** What a net that is trained says of an example. */
export interface TestAnswer {
  /** Its elements, as the net sees it. */
  readonly image: Float32Array;
  readonly label: number;
  readonly probabilities: Float32Array;
  /** The cross-entropy. */
  readonly loss: number;
}

/** A trainer's answers for a dataset, with the weights as they are; for a part of it where the signal aborts. */
export async function answersOf(trainer: Trainer, dataset: Dataset, signal: AbortSignal): Promise<TestAnswer[]> {
  const [batch, ...image] = trainer.inputShape;
  const elements = sizeOf(image);
  const all: TestAnswer[] = [];
  for (let first = 0; first < dataset.size && !signal.aborted; first += batch) {
    const places = Array.from({ length: Math.min(batch, dataset.size - first) }, (_, i) => first + i);
    const { images, labels } = await dataset.examples(places);
    const padded = new Float32Array(batch * elements);
    padded.set(images);
    const { data } = await trainer.run(padded);
    for (const i of places.keys()) {
      const probabilities = softmaxOf(data.subarray(i * trainer.numClasses, (i + 1) * trainer.numClasses));
      const image = images.slice(i * elements, (i + 1) * elements);
      const loss = -Math.log(Math.max(probabilities[labels[i]], 1e-30));
      all.push({ image, label: labels[i], probabilities, loss });
    }
  }
  return all;
}

/** In float64. */
function softmaxOf(logits: Float32Array): Float32Array {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (v) => Math.exp(v - largest));
  const sum = powers.reduce((total, v) => total + v, 0);
  return Float32Array.from(powers, (v) => v / sum);
}
