import {
  type AnyNet,
  type Given,
  inputShape,
  type NetOptions,
  type Nets,
  netOptions,
  OUTPUTS,
  openFitting,
  PICTURE_OPTIONS,
  publishedOf,
  traceSlice,
} from "./definition.ts";
import type { Device } from "./device/device.ts";
import type { Executable, Inputs } from "./device/executable.ts";
import type { DeviceTensor } from "./device/resident.ts";
import { paramShapes } from "./graph/graph.ts";
import type { Plan } from "./graph/plan.ts";
import { check, checkChoice, checkCount, checkOptions, isTexts } from "./ground/errors.ts";
import type { Prediction } from "./ground/predictions.ts";
import { all } from "./ground/promises.ts";
import type { Shape, Tensor } from "./ground/tensor.ts";
import type { Batch } from "./image/batch.ts";
import type { Picture } from "./image/picture.ts";
import type { PictureOptions } from "./image/pictures.ts";
import { Model } from "./model.ts";

export type { Prediction };

export interface RunOptions extends PictureOptions {
  /** Layers whose outputs are wanted, too. */
  readonly features?: readonly string[];
  /** Ends the waiting, and the run if its turn has not come; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Where the outputs are wanted: in "memory", which is the default, or left on the "gpu". */
  readonly location?: "memory" | "gpu";
}

/** What a run gives, by default in memory. */
export interface RunResult<T = Tensor> {
  /** [N, numClasses]. */
  readonly logits: T;
  /** Their softmax. */
  readonly probabilities: T;
  /** By the names that were asked for. */
  readonly features: Readonly<Record<string, T>>;
}

/** The input of a run; see run(). */
export type RunInput = Float32Array | Tensor | GPUBuffer | Picture | readonly Picture[];

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
  const published = publishedOf(definition, given)?.transforms;
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

  /** See Gpu.loadNet; `nets` are those that the weights may be of where they do not fit. */
  static async load(device: Device, definition: AnyNet, given: Given, nets: Nets): Promise<Net> {
    try {
      const graph = traceSlice(definition, given, device);
      // Before anything is downloaded.
      if (given.transforms || given.orientation) {
        preparationOf(await import("./image/pictures.ts"), definition, given, inputShape(definition, given));
      }
      const open = () => openFitting(definition, paramShapes(graph), given, device.host.open, nets);
      const loading = Model.load(device, graph, open, { ...given, outputs: OUTPUTS });
      // Pictures are taken hold of at once when they come: what does that is there by then.
      const [model, pictures] = await all([loading, import("./image/pictures.ts")]);
      return new Net(model, definition, given, pictures);
    } catch (error) {
      const { withClasses } = await import("./others.ts").catch(() => Promise.reject(error));
      return Net.load(device, definition, withClasses(definition, given, error as Error), nets);
    }
  }

  private constructor(model: Model, definition: AnyNet, given: Given, pictures: Pictures) {
    this.#model = model;
    this.definition = definition;
    this.options = netOptions(definition, given);
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
    await this.#model.device.ready();
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
   * want them; what is left of the batch is zeros. Either is the caller's again at once, but for what is on the device, a
   * GPUBuffer of elements as the net's dtype or a GPUTexture: that is read when the run's turn comes. Returns the logits
   * [N, numClasses], their softmax, and any layer's output by its name; with `location: "gpu"` as a DeviceTensor each, as
   * soon as all work is submitted. Concurrent calls are queued. Throws a ShapeError, an ImageError for a picture that cannot
   * be read, a UsageError for an unknown layer and for transforms that make no sense; those given here go before those of
   * loadNet().
   */
  async run(input: RunInput, options: RunOptions & { readonly location: "gpu" }): Promise<RunResult<DeviceTensor>>;
  async run(input: RunInput, options?: RunOptions & { readonly location?: "memory" }): Promise<RunResult>;
  async run(input: RunInput, options: RunOptions = {}): Promise<RunResult<Tensor | DeviceTensor>> {
    checkOptions("run()", options, ["features", "signal", "location", ...PICTURE_OPTIONS]);
    const { features: names = [], signal, location = "memory" } = options;
    checkChoice("location", location, ["memory", "gpu"]);
    const finish: Finish<Tensor | DeviceTensor> =
      location === "gpu"
        ? async (...given) => (await import("./device/resident.ts")).keepSlices(...given)
        : this.#readSlices;
    const all = await this.#run((generation) => this.#take(input, options, generation), names, finish, signal);
    const features = Object.fromEntries(names.map((name) => [name, all[name]]));
    return { logits: all.logits, probabilities: all.probabilities, features };
  }

  async #take(input: RunInput, options: PictureOptions, generation: number): Promise<Batch> {
    const { takeElements, takenAsPictures } = this.#pictures;
    const pictures = takenAsPictures(input);
    if (pictures) return this.#prepare(pictures, options, generation);
    if (typeof Object(input).mapAsync !== "function")
      return takeElements(input as Float32Array | Tensor, this.inputShape);
    const { takeBuffer } = await import("./device/resident.ts");
    this.#model.device.check(generation);
    return takeBuffer(input as GPUBuffer, this.inputShape, this.#given.dtype ?? "f32");
  }

  async #prepare(pictures: readonly Picture[], options: PictureOptions, generation: number): Promise<Batch> {
    return this.#pictures.takePictures(pictures, {
      device: this.#model.device,
      generation,
      definition: this.definition,
      shape: this.inputShape,
      dtype: this.#given.dtype ?? "f32",
      ...preparationOf(this.#pictures, this.definition, this.#given, this.inputShape, options),
    });
  }

  readonly #readSlices: Finish<Tensor> = async (executable, slices, signal) => {
    const parts = await Promise.all(slices.map((slice) => executable.run(slice(), undefined, signal)));
    if (parts.length === 1) return parts[0];
    return Object.fromEntries(
      Object.keys(parts[0]).map((name) => [name, this.#pictures.joinBatches(parts.map((part) => part[name]))]),
    );
  };

  /**
   * Takes a batch at once and runs it; takes it again, where it was on a device that was lost, and runs it on another one.
   * `take` is told the device's generation when it was asked for, since what was given on an earlier one is gone.
   */
  #run<T>(
    take: (generation: number) => Promise<Batch>,
    features: readonly string[],
    finish: Finish<T>,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, T>> {
    signal?.throwIfAborted();
    const { generation } = this.#model.device;
    const begin = () => {
      const taken = take(generation);
      // Whoever waits for it hears of it, later.
      taken.catch(() => {});
      return taken;
    };
    let batch: Promise<Batch> | undefined = begin();
    return this.#model.device.survive(async () => {
      batch ??= begin();
      const taken = batch;
      try {
        const executable = await this.#executable(features);
        const [count] = executable.plan.inputs[0].shape;
        const inputs = async (i: number) => ({ x: (await taken).slice(i * count, count) });
        const slices = Array.from({ length: this.inputShape[0] / count }, (_, i) => () => inputs(i));
        return await finish(executable, slices, signal);
      } finally {
        taken.then((each) => each.dispose()).catch(() => {});
        if (!(await taken.catch(() => undefined))?.inMemory) batch = undefined;
      }
    });
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
      const { probabilities } = await this.#run(
        (generation) => this.#prepare(chunk, options, generation),
        [],
        this.#readSlices,
        signal,
      );
      const classes = probabilities.shape[1];
      const labels =
        this.#given.labels ?? (await this.#pictures.labelsOf(this.definition, classes, this.#model.checkpoint));
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

/** Runs the slices of a batch, and makes outputs of theirs. */
type Finish<T> = (
  executable: Executable,
  slices: readonly (() => Promise<Inputs>)[],
  signal: AbortSignal | undefined,
) => Promise<Record<string, T>>;
