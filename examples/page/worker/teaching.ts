import type { AnyNet } from "../../../engine/definition.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { GpuError, UsageError } from "../../../engine/ground/errors.ts";
import { pcg } from "../../../engine/ground/hash.ts";
import type { Watch } from "../../../engine/ground/options.ts";
import { type Shape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import type { Image } from "../../../engine/image/image.ts";
import type { Net } from "../../../engine/net.ts";
import type { Dataset } from "../../../engine/training/data.ts";
import { parseDigits, unpacked } from "../../../engine/training/mnist.ts";
import { type StepResult, shuffled } from "../../../engine/training/trainer.ts";
import { encodeSafetensors } from "../../../engine/weights/safetensors.ts";
import { dropout } from "../../../kernels/dropout.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../../../kernels/pool2d/adaptive_avgpool2d.ts";
import { convLayer, linearLayer } from "../../../nets/layers.ts";
import { answersOf, examplesAt, type TestAnswer } from "./examples.ts";
import { inTurn } from "./in_turn.ts";
import { type LoadingOptions, readParameters } from "./load_model.ts";
import type { DigitFiles } from "./training.ts";

/** How a head of one's own classes is trained. */
export interface TeachSettings {
  readonly steps: number;
  readonly lr: number;
  /** The share of each class's samples that is kept to test with. */
  readonly held: number;
  /** Chooses these, and what is drawn at random. */
  readonly seed: number;
}

/** A sample that the head was not trained with. */
export interface HeldOut {
  readonly id: number;
  readonly probabilities: Float32Array;
}

/** What is told while a head is trained: of a step, and how it then reads what is held out. */
export type TeachTold = StepResult & { readonly held?: { readonly loss: number; readonly accuracy: number } };

export interface Taught {
  /** Samples that it was trained with. */
  readonly count: number;
  readonly held: readonly HeldOut[];
}

/** Where a net ends that stays as it is, and what comes behind it: the net's own last layer, under its own name. */
interface Head {
  /** The layer whose output is the head's input. */
  readonly from: string;
  build(x: Value, numClasses: number): Value;
}

const HEADS: Readonly<Record<string, Head>> = {
  lenet5: { from: "tanh4", build: (x, numClasses) => linearLayer("linear2", flatten(x), numClasses) },
  resnet18: { from: "flatten", build: (x, numClasses) => linearLayer("fc", flatten(x), numClasses) },
  squeezenet1_1: {
    from: "features",
    build: (x, numClasses) =>
      flatten(adaptiveAvgPool2d(relu(convLayer("classifier.1", dropout(x), numClasses, 1)), { outputSize: 1 })),
  },
};

/** A body that is loaded. */
interface Body {
  readonly definition: AnyNet;
  readonly head: Head;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly net: Net;
}

/** Pictures at once: of features, and of a step. */
const [LOOKED_AT, BATCH] = [8, 16];

/** Steps from one test to the next. */
const TEST_EVERY = 20;

const DIGIT_SIZE = 28 * 28;

/**
 * A new last layer on a net that stays as it is. What the net makes of a sample up to there is computed once, and is the
 * input of a net of one layer, which is trained in its place: a step costs nothing of what comes before.
 */
export class Teaching {
  readonly #gpu: Gpu;
  #body: Body | undefined;
  /** [C, H, W] of each of them. */
  #shape: Shape = [];
  /** What the body makes of samples, by their numbers. */
  readonly #features = new Map<number, Float32Array>();
  /** The head as it was trained. */
  #trained: ReadonlyMap<string, Tensor> | undefined;
  readonly #inTurn = inTurn();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Loads a body in place of the one before, and forgets what that has seen. Throws what Gpu.loadNet() throws. */
  open(name: string, weights: Blob | string, loading: LoadingOptions): Promise<readonly string[]> {
    return this.#inTurn(async () => {
      const definition = await this.#gpu.definition(name);
      if (!Object.hasOwn(HEADS, name)) throw new UsageError(`there is no head for ${name}`);
      const tensors = await readParameters(this.#gpu, definition, weights, loading);
      const net = await this.#gpu.loadNet(definition, { weights: Object.fromEntries(tensors), batch: LOOKED_AT });
      if (loading.signal.aborted) net.dispose();
      loading.signal.throwIfAborted();
      this.#body?.net.dispose();
      this.#features.clear();
      this.#trained = undefined;
      this.#body = { definition, head: HEADS[name], tensors, net };
      return net.warnings;
    });
  }

  #loaded(): Body {
    if (this.#body) return this.#body;
    throw new UsageError("no net is loaded yet");
  }

  /** Takes samples by numbers that name them from here on. Throws what Net.run() throws. */
  look(samples: readonly { readonly id: number; readonly picture: Image }[], { signal }: Watch): Promise<void> {
    return this.#inTurn(async () => {
      const { net, head } = this.#loaded();
      for (let first = 0; first < samples.length; first += LOOKED_AT) {
        const some = samples.slice(first, first + LOOKED_AT);
        const pictures = some.map(({ picture }) => picture);
        const { features } = await net.run(pictures, { features: [head.from], signal });
        const { shape, data } = features[head.from];
        const [, channels, height = 1, width = 1] = shape;
        this.#shape = [channels, height, width];
        const size = sizeOf(this.#shape);
        for (const [i, { id }] of some.entries()) this.#features.set(id, data.slice(i * size, (i + 1) * size));
      }
    });
  }

  /** Forgets samples. */
  forget(ids: readonly number[]): void {
    for (const id of ids) this.#features.delete(id);
  }

  /** Trains a head for classes of samples, by their numbers; of each class some are held out to test with. Throws what gpu.train() and its fit() throw. */
  teach(
    classes: readonly (readonly number[])[],
    { steps, lr, held, seed }: TeachSettings,
    { signal, onProgress }: { readonly signal: AbortSignal; onProgress(told: TeachTold): void },
  ): Promise<Taught> {
    return this.#inTurn(async () => {
      const { definition, head } = this.#loaded();
      const [training, testing] = split(classes, held, seed);
      const [inChannels, ...imageSize] = this.#shape;
      const one: AnyNet = {
        ...definition,
        options: { inChannels, numClasses: classes.length },
        imageSize: [imageSize[0], imageSize[1]],
        build: (x, { numClasses }) => head.build(x, numClasses),
        weights: {},
        defaultWeights: undefined,
      };
      const batch = Math.min(BATCH, training.length);
      const trainer = await this.#gpu.train(one, { batch, optimizer: { name: "adam", lr }, seed });
      try {
        const [examples, test] = [this.#dataset(training), this.#dataset(testing)];
        let answers: TestAnswer[] = [];
        while (trainer.steps < steps || answers.length === 0) {
          signal.throwIfAborted();
          try {
            const { images, labels } = await examplesAt(examples, trainer.steps, batch, seed);
            const result = await trainer.step(images, labels);
            const isTest = result.step % TEST_EVERY === 0 || result.step >= steps;
            answers = isTest ? await answersOf(trainer, test, signal) : [];
            onProgress(isTest ? { ...result, held: summaryOf(answers) } : result);
          } catch (error) {
            if (!(error instanceof GpuError) || error.code !== "DEVICE_LOST") throw error;
            // It begins again, which takes seconds. Throws where the device cannot be opened again.
            await this.#gpu.ready();
          }
        }
        const head = await trainer.tensors();
        signal.throwIfAborted();
        this.#trained = head;
        const readings = answers.map(({ probabilities }, i) => ({ id: testing[i].id, probabilities }));
        return { count: training.length, held: readings };
      } finally {
        await trainer.dispose();
      }
    });
  }

  #dataset(samples: readonly Sample[]): Dataset {
    const size = sizeOf(this.#shape);
    return {
      size: samples.length,
      examples: (places) => {
        const images = new Float32Array(places.length * size);
        for (const [i, place] of places.entries()) {
          const features = this.#features.get(samples[place].id);
          if (!features) throw new UsageError("a sample was not looked at");
          images.set(features, i * size);
        }
        return { images, labels: places.map((place) => samples[place].label) };
      },
    };
  }

  /** The bytes of a checkpoint of the whole net with the head as it was trained last, and the names of its classes. */
  save(classes: readonly string[]): Promise<Uint8Array> {
    return this.#inTurn(async () => {
      const { definition, tensors } = this.#loaded();
      const trained = this.#trained;
      if (!trained) throw new UsageError("nothing is trained yet");
      const all = new Map([...tensors].map(([name, tensor]) => [name, trained.get(name) ?? tensor]));
      return encodeSafetensors(all, { net: definition.name, classes: JSON.stringify(classes) });
    });
  }

  /** The first of the page's digits of each class from 0 on: 28 x 28 bytes each, 255 is ink. */
  async digits(classes: number, perClass: number, [images, labels]: DigitFiles["train"], watch: Watch) {
    const read = async (file: Blob | string) => {
      if (file instanceof Blob) return unpacked(file, "the file of digits");
      const source = await this.#gpu.host.open(file, watch);
      return unpacked(await source.read(0, source.size), "the file of digits");
    };
    const digits = parseDigits(await read(images), await read(labels));
    const places = Array.from(digits.labels.keys());
    return Array.from({ length: classes }, (_, digit) =>
      places
        .filter((place) => digits.labels[place] === digit)
        .slice(0, perClass)
        .map((place) => digits.images.slice(place * DIGIT_SIZE, (place + 1) * DIGIT_SIZE)),
    );
  }
}

interface Sample {
  readonly id: number;
  readonly label: number;
}

function summaryOf(answers: readonly TestAnswer[]) {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const isRight = ({ probabilities, label }: TestAnswer) => probabilities[label] === Math.max(...probabilities);
  return { loss: mean(answers.map(({ loss }) => loss)), accuracy: mean(answers.map((each) => Number(isRight(each)))) };
}

/** Samples to train with and to test with: of each class at least one. */
function split(classes: readonly (readonly number[])[], share: number, seed: number): [Sample[], Sample[]] {
  const [training, testing]: [Sample[], Sample[]] = [[], []];
  for (const [label, ids] of classes.entries()) {
    const held = Math.min(ids.length - 1, Math.max(1, Math.round(share * ids.length)));
    for (const [i, place] of shuffled(ids.length, pcg(seed ^ pcg(label + 1))).entries())
      (i < held ? testing : training).push({ id: ids[place], label });
  }
  return [training, testing];
}
