import {
  type AnyNet,
  type Given,
  inputShape,
  labelsOf,
  type NetOptions,
  netOptions,
  OUTPUTS,
  PICTURE_OPTIONS,
  traceSlice,
} from "./definition.ts";
import type { Device } from "./device/device.ts";
import type { Executable } from "./device/executable.ts";
import { paramShapes } from "./graph/graph.ts";
import type { Plan } from "./graph/plan.ts";
import { check, checkCount, checkOptions, isTexts } from "./ground/errors.ts";
import type { Prediction } from "./ground/predictions.ts";
import { all } from "./ground/promises.ts";
import type { Shape, Tensor } from "./ground/tensor.ts";
import type { Batch } from "./image/batch.ts";
import type { Picture } from "./image/picture.ts";
import type { PictureOptions } from "./image/pictures.ts";
import { Model } from "./model.ts";
import { matchCheckpoint } from "./weights/match.ts";
import { openWeights, publishedWeights } from "./weights/open.ts";

export type { Prediction };

export interface RunOptions extends PictureOptions {
  /** Layers whose outputs are wanted, too. */
  readonly features?: readonly string[];
  /** Ends the waiting, and the run if its turn has not come; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface ClassifyOptions extends PictureOptions, Pick<RunOptions, "signal"> {
  /** How many classes; 5 by default. */
  readonly top?: number;
}

/** Plans for so many lists of features stay on the device. */
const MOST_LISTS = 8;

type Pictures = typeof import("./image/pictures.ts");

/** What a net's pictures go through: what is asked for in this run before what the net was loaded with. */
function preparationOf(
  { choosePreparation }: Pictures,
  definition: AnyNet,
  given: Given,
  shape: Shape,
  { transforms, orientation = given.orientation }: PictureOptions = {},
) {
  const published = publishedWeights(definition, given.weights ?? definition.defaultWeights)?.transforms;
  const own =
    given.transforms && transforms ? { ...given.transforms, ...transforms } : (transforms ?? given.transforms);
  return choosePreparation(definition, published, { transforms: own, orientation }, shape);
}

/** Features in one order, whatever that of their names, and without what every run computes. */
function featuresOf(names: readonly string[]): string[] {
  check(isTexts(names), "features", names, "an array of names");
  return [...new Set(names)].filter((name) => !(OUTPUTS as readonly string[]).includes(name)).sort();
}

const keyOf = (features: readonly string[]): string => features.join("\n");

/** A net on the GPU. Ends with dispose(); its GPU stays open. */
export class Net {
  readonly definition: AnyNet;
  readonly options: NetOptions;
  /** [N, C, H, W] of what run() takes. */
  readonly inputShape: Shape;
  /** What is odd about the weights: a NaN, a prefix that was taken off their names. */
  readonly warnings: readonly string[];
  readonly #model: Model;
  readonly #pictures: Pictures;
  readonly #given: Given;
  /** The lists of features that there are plans for, by keyOf(), the one that was asked for last at the end. */
  readonly #lists = new Map<string, readonly string[]>();
  declare [Symbol.dispose]: () => void;

  static {
    if (Symbol.dispose) Object.defineProperty(Net.prototype, Symbol.dispose, { value: Net.prototype.dispose });
  }

  /** See Gpu.loadNet. */
  static async load(device: Device, definition: AnyNet, given: Given): Promise<Net> {
    const options = netOptions(definition, given);
    const graph = traceSlice(definition, given, device);
    // Before anything is downloaded.
    if (given.transforms || given.orientation) {
      preparationOf(await import("./image/pictures.ts"), definition, given, inputShape(definition, given));
    }
    const open = async () => {
      const checkpoint = await openWeights(definition, given, device.host.open);
      try {
        return await matchCheckpoint(checkpoint, paramShapes(graph), given.weightsKey);
      } catch (error) {
        await checkpoint.close();
        throw error;
      }
    };
    const { passes, variants, precision, dtype, signal, onProgress } = given;
    const compiled = { passes, variants, precision, dtype };
    const loading = Model.load(device, graph, open, { ...compiled, signal, onProgress, outputs: OUTPUTS });
    // Pictures are taken hold of at once when they come: what does that is there by then.
    const [model, pictures] = await all([loading, import("./image/pictures.ts")]);
    return new Net(model, definition, options, given, pictures);
  }

  private constructor(model: Model, definition: AnyNet, options: NetOptions, given: Given, pictures: Pictures) {
    this.#model = model;
    this.definition = definition;
    this.options = options;
    this.inputShape = inputShape(definition, given);
    this.#pictures = pictures;
    this.#given = { ...given, labels: given.labels && [...given.labels] };
    this.warnings = model.warnings;
  }

  /** Names that run() can return as features: the layers, by torchvision's names. */
  get layers(): string[] {
    return [...this.#model.graph.names.keys()];
  }

  /** The plan that is run for these features. */
  async plan(features: readonly string[] = []): Promise<Plan> {
    return (await this.executable(features)).plan;
  }

  /**
   * The plan for these features, in any order, on the device. With large batches it is that of a slice. Plans for eight lists
   * are kept, and the one that was not asked for the longest is freed for another.
   */
  async executable(features: readonly string[] = []): Promise<Executable> {
    return this.#executable(features);
  }

  /** At once, so that what is asked for first comes first. */
  #executable(features: readonly string[]): Promise<Executable> {
    const wanted = featuresOf(features);
    if (wanted.length > 0) {
      this.#lists.delete(keyOf(wanted));
      this.#lists.set(keyOf(wanted), wanted);
      const [oldest] = this.#lists.values();
      if (this.#lists.size > MOST_LISTS) this.release(oldest).catch(() => {});
    }
    return this.#model.executable([...OUTPUTS, ...wanted]);
  }

  /** Frees what the plan for these features holds besides the weights, or the plans for all, after their runs. */
  async release(features?: readonly string[]): Promise<void> {
    const wanted = features ? [featuresOf(features)] : [...this.#lists.values()];
    const freed = wanted.filter((list) => this.#lists.delete(keyOf(list)));
    await Promise.all(freed.map((list) => this.#model.release([...OUTPUTS, ...list])));
  }

  /**
   * Runs one batch: elements in NCHW of shape inputShape, or up to N pictures, which are prepared as the net's weights
   * want them; what is left of the batch is zeros. Either is the caller's again at once. Returns the logits
   * [N, numClasses], their softmax, and any layer's output by its name. Concurrent calls are queued. Throws a ShapeError,
   * an ImageError for a picture that cannot be read, a UsageError for an unknown layer and for transforms that make no
   * sense; those given here go before those of loadNet().
   */
  async run(
    input: Float32Array | Tensor | Picture | readonly Picture[],
    options: RunOptions = {},
  ): Promise<{ logits: Tensor; probabilities: Tensor; features: Record<string, Tensor> }> {
    checkOptions("run()", options, ["features", "signal", ...PICTURE_OPTIONS]);
    const { features: names = [], signal } = options;
    const all = await this.#run(() => this.#take(input, options), names, signal);
    const features = Object.fromEntries(names.map((name) => [name, all[name]]));
    return { logits: all.logits, probabilities: all.probabilities, features };
  }

  async #take(input: Float32Array | Tensor | Picture | readonly Picture[], options: PictureOptions): Promise<Batch> {
    const { takeElements, takenAsPictures } = this.#pictures;
    const pictures = takenAsPictures(input);
    return pictures ? this.#prepare(pictures, options) : takeElements(input as Float32Array | Tensor, this.inputShape);
  }

  async #prepare(pictures: readonly Picture[], options: PictureOptions): Promise<Batch> {
    return this.#pictures.takePictures(pictures, {
      device: this.#model.device,
      definition: this.definition,
      shape: this.inputShape,
      dtype: this.#given.dtype ?? "f32",
      ...preparationOf(this.#pictures, this.definition, this.#given, this.inputShape, options),
    });
  }

  /** Takes a batch at once and runs it; takes it again, where it was on a device that was lost, and runs it on another one. */
  #run(
    take: () => Promise<Batch>,
    features: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Record<string, Tensor>> {
    signal?.throwIfAborted();
    let batch: Promise<Batch> | undefined = take();
    batch.catch(() => {});
    return this.#model.device.survive(async () => {
      const taken = batch ?? take();
      try {
        return await this.#runSlices(taken, features, signal);
      } finally {
        taken.then((each) => each.dispose()).catch(() => {});
        if (!(await taken.catch(() => undefined))?.inMemory) batch = undefined;
      }
    });
  }

  async #runSlices(
    batch: Promise<Batch>,
    features: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Record<string, Tensor>> {
    const executable = await this.#executable(features);
    const [count] = executable.plan.inputs[0].shape;
    const starts = Array.from({ length: this.inputShape[0] / count }, (_, i) => i * count);
    const parts = await Promise.all(
      starts.map((first) =>
        executable.run(
          batch.then(({ slice }) => ({ x: slice(first, count) })),
          undefined,
          signal,
        ),
      ),
    );
    if (parts.length === 1) return parts[0];
    return Object.fromEntries(
      Object.keys(parts[0]).map((name) => [name, this.#pictures.joinBatches(parts.map((part) => part[name]))]),
    );
  }

  /**
   * The most probable classes of a picture, best first; of several, one list each. A picture is taken hold of at once; of
   * several, those of the first batch. Throws what run() throws, and a GpuError (OVERFLOW) where the answer is NaN.
   */
  async classify(image: Picture, options?: ClassifyOptions): Promise<Prediction[]>;
  async classify(images: readonly Picture[], options?: ClassifyOptions): Promise<Prediction[][]>;
  async classify(images: Picture | readonly Picture[], options: ClassifyOptions = {}) {
    checkOptions("classify()", options, ["top", "signal", ...PICTURE_OPTIONS]);
    const { top = 5, signal } = options;
    checkCount("top", top);
    const list = Array.isArray(images) ? (images as readonly Picture[]) : [images as Picture];
    const [batch] = this.inputShape;
    const results: Prediction[][] = [];
    for (let first = 0; first < list.length; first += batch) {
      const chunk = list.slice(first, first + batch);
      const { probabilities } = await this.#run(() => this.#prepare(chunk, options), [], signal);
      const labels = await labelsOf(this.definition, this.options.numClasses, this.#given.labels);
      const classes = probabilities.shape[1];
      chunk.forEach((_, i) => {
        const own = probabilities.data.subarray(i * classes, (i + 1) * classes);
        results.push(this.#pictures.mostProbable(this.definition.name, own, labels, top));
      });
    }
    return Array.isArray(images) ? results : results[0];
  }

  /** Frees what the net holds on the GPU, after the runs already asked for. Safe to call twice. */
  dispose(): void {
    this.#model.dispose();
  }
}
