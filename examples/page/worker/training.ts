import { type Dataset, mnist } from "../../../browser.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { GpuError, UsageError } from "../../../engine/ground/errors.ts";
import type { Watch } from "../../../engine/ground/options.ts";
import { mostProbable } from "../../../engine/ground/predictions.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import type { StepResult, Trainer } from "../../../engine/training/trainer.ts";
import { answersOf, examplesAt } from "./examples.ts";
import { inTurn } from "./in_turn.ts";

/** A file of MNIST's: one that was chosen, or an address. */
type DigitFile = Blob | string;

/** Images and labels; where there are none to test with, some of those to train with are kept for that. */
export interface DigitFiles {
  readonly train: readonly [images: DigitFile, labels: DigitFile];
  readonly test?: readonly [images: DigitFile, labels: DigitFile];
}

export interface Settings {
  readonly optimizer: string;
  readonly lr: number;
  readonly batch: number;
  readonly seed: number;
}

/** A digit that the net reads wrongly. */
export interface Mistake {
  /** [1, 32, 32], as the net sees it. */
  readonly image: Float32Array;
  readonly label: number;
  readonly guess: number;
  /** Of the guess. */
  readonly probability: number;
}

/** How the net reads digits that it is not trained with. */
export interface Test {
  readonly step: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly count: number;
  /** Those with the largest losses. */
  readonly mistakes: readonly Mistake[];
}

/** What is told while a net is trained; `lost` is why it goes on from an earlier step. */
export type Told =
  | { readonly result: StepResult }
  | { readonly filters: Tensor; readonly step: number }
  | { readonly test: Test }
  | { readonly lost: string; readonly step: number };

interface Watching {
  readonly signal: AbortSignal;
  onProgress(told: Told): void;
}

/** Steps from one look at the filters, and from one test, to the next. */
const [LOOK_EVERY, TEST_EVERY] = [5, 40];

/** Digits of a test, and mistakes that are told of. */
const [TESTED, TOLD] = [500, 12];

/** LeNet-5 as it is trained, on one set of digits. */
export class Training {
  readonly #gpu: Gpu;
  #train: Dataset | undefined;
  #test: Dataset | undefined;
  #trainer: Trainer | undefined;
  /** As they are now: the learning rate may be another in every step. */
  #settings: Settings | undefined;
  #tested = -1;
  readonly #inTurn = inTurn();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Reads the digits to train and to test with, and tells how many there are. Throws what mnist() and downloads do. */
  async read({ train, test }: DigitFiles, watch: Watch): Promise<{ train: number; test: number }> {
    const all = await this.#dataset(train, watch);
    const kept = test ? all.size : all.size - Math.min(TESTED, Math.floor(all.size / 5));
    const other = test ? await this.#dataset(test, watch) : part(all, kept, all.size);
    return this.#inTurn(async () => {
      this.#train = part(all, 0, kept);
      this.#test = part(other, 0, Math.min(TESTED, other.size));
      this.#tested = -1;
      return { train: kept, test: this.#test.size };
    });
  }

  async #dataset([images, labels]: DigitFiles["train"], watch: Watch): Promise<Dataset> {
    const blob = async (file: DigitFile) => {
      if (file instanceof Blob) return file;
      const source = await this.#gpu.host.open(file, watch);
      return source.read(0, source.size);
    };
    return mnist(await blob(images), await blob(labels));
  }

  /**
   * Trains for so many steps, or until the signal aborts, from where it was; with other settings from there on. A lost
   * device costs the steps since the last test. Throws what gpu.train() and its step() throw.
   */
  train(settings: Settings, steps: number, { signal, onProgress }: Watching): Promise<void> {
    return this.#inTurn(async () => {
      const trainer = await this.#trainerFor(settings);
      if (trainer.steps === 0) await this.#look(trainer, onProgress);
      for (let i = 0; i < steps && !signal.aborted; i++) {
        try {
          if (!this.#train) throw new UsageError("there are no digits to train with yet");
          const { images, labels } = await examplesAt(this.#train, trainer.steps, settings.batch, settings.seed);
          const result = await trainer.step(images, labels);
          onProgress({ result });
          if (result.step % LOOK_EVERY === 0 || steps === 1) await this.#look(trainer, onProgress);
          if (result.step % TEST_EVERY === 0 || steps === 1) await this.#tell(trainer, signal, onProgress);
        } catch (error) {
          if (!(error instanceof GpuError) || error.code !== "DEVICE_LOST") throw error;
          // Throws where it cannot be opened again.
          await this.#gpu.ready();
          onProgress({ lost: error.message, step: trainer.steps });
        }
      }
    });
  }

  /** The bytes of a checkpoint with the weights as they are. */
  save(): Promise<{ bytes: Uint8Array; steps: number }> {
    return this.#inTurn(async () => {
      if (!this.#trainer) throw new UsageError("nothing is trained yet");
      return { bytes: await this.#trainer.save(), steps: this.#trainer.steps };
    });
  }

  /** The next training begins anew. */
  forget(): Promise<void> {
    return this.#inTurn(() => this.#dispose());
  }

  async #dispose(): Promise<void> {
    const trainer = this.#trainer;
    this.#trainer = undefined;
    this.#tested = -1;
    await trainer?.dispose();
  }

  /** The trainer as it is; for a batch of another size another one that goes on from it. */
  async #trainerFor(settings: Settings): Promise<Trainer> {
    const before = this.#trainer;
    const { optimizer: name, batch, seed } = settings;
    this.#settings = settings;
    if (before?.inputShape[0] === batch) return before;
    const lr = () => this.#settings?.lr ?? 0;
    const resume = await before?.save();
    this.#trainer = await this.#gpu.train("lenet5", { batch, optimizer: { name, lr }, seed, resume });
    await before?.dispose();
    return this.#trainer;
  }

  async #look(trainer: Trainer, onProgress: Watching["onProgress"]): Promise<void> {
    const filters = (await trainer.tensors()).get("conv1.weight");
    if (filters) onProgress({ filters, step: trainer.steps });
  }

  /** Reads the digits of the test, and keeps the weights, so that a loss of the device costs no more than what comes after. */
  async #tell(trainer: Trainer, signal: AbortSignal, onProgress: Watching["onProgress"]): Promise<void> {
    if (!this.#test || this.#tested === trainer.steps) return;
    const { size } = this.#test;
    const answers = await answersOf(trainer, this.#test, signal);
    if (signal.aborted) return;
    const all = answers.map(({ probabilities, ...example }) => {
      const [{ index: guess, probability }] = mostProbable("LeNet-5", probabilities, [], 1);
      return { ...example, guess, probability };
    });
    await trainer.save();
    this.#tested = trainer.steps;
    const wrong = all.filter(({ label, guess }) => label !== guess).sort((a, b) => b.loss - a.loss);
    const loss = all.reduce((sum, each) => sum + each.loss, 0) / size;
    const mistakes = wrong.slice(0, TOLD);
    onProgress({ test: { step: trainer.steps, loss, accuracy: 1 - wrong.length / size, count: size, mistakes } });
  }
}

/** The examples of a dataset from one place to another. */
const part = (dataset: Dataset, from: number, to: number): Dataset => ({
  ...dataset,
  size: to - from,
  examples: (places, key) =>
    dataset.examples(
      places.map((place) => from + place),
      key,
    ),
});
