import {
  type AnyNet,
  type Given,
  inputShape,
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
import { checkOptions, UsageError } from "./ground/errors.ts";
import { all } from "./ground/promises.ts";
import type { Shape, Tensor } from "./ground/tensor.ts";
import { type Batch, takeElements } from "./image/batch.ts";
import { isPicture, type Picture } from "./image/picture.ts";
import type { PictureOptions } from "./image/pictures.ts";
import { Model } from "./model.ts";
import { matchCheckpoint } from "./weights/match.ts";
import { openWeights, publishedWeights } from "./weights/open.ts";

export interface Prediction {
  readonly label: string;
  readonly index: number;
  readonly probability: number;
}

type Pictures = typeof import("./image/pictures.ts");

export interface ClassifyOptions extends PictureOptions {
  /** How many classes; 5 by default. */
  readonly top?: number;
}

/** What a net's pictures go through: what is asked for in this run before what the net was loaded with. */
function preparationOf(
  { choosePreparation }: Pictures,
  definition: AnyNet,
  given: Given,
  { transforms, orientation = given.orientation }: PictureOptions = {},
) {
  const published = publishedWeights(definition, given.weights ?? definition.defaultWeights)?.transforms;
  const own =
    given.transforms && transforms ? { ...given.transforms, ...transforms } : (transforms ?? given.transforms);
  return choosePreparation(definition, published, { transforms: own, orientation }, inputShape(definition, given));
}

/** A net on the GPU. Ends with dispose(); its GPU stays open. */
export class Net {
  readonly definition: AnyNet;
  readonly options: NetOptions;
  /** [N, C, H, W] of what run() takes. */
  readonly inputShape: Shape;
  /** What is odd about the weights, such as a NaN. */
  readonly warnings: readonly string[];
  readonly #model: Model;
  readonly #pictures: Pictures;
  readonly #given: Given;
  declare [Symbol.dispose]: () => void;

  static {
    if (Symbol.dispose) Object.defineProperty(Net.prototype, Symbol.dispose, { value: Net.prototype.dispose });
  }

  /** See Gpu.loadNet. */
  static async load(device: Device, definition: AnyNet, given: Given): Promise<Net> {
    const options = netOptions(definition, given);
    const graph = traceSlice(definition, given, device);
    // Before anything is downloaded.
    if (given.transforms || given.orientation) preparationOf(await import("./image/pictures.ts"), definition, given);
    const open = async () => {
      const checkpoint = await openWeights(definition, given, device.host.open);
      try {
        matchCheckpoint(checkpoint, paramShapes(graph));
        return checkpoint;
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
    this.#given = given;
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

  /** The plan for these features on the device. With large batches it is that of a slice. */
  executable(features: readonly string[] = []): Promise<Executable> {
    return this.#model.executable([...new Set([...OUTPUTS, ...features])]);
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
    options: { readonly features?: readonly string[] } & PictureOptions = {},
  ): Promise<{ logits: Tensor; probabilities: Tensor; features: Record<string, Tensor> }> {
    checkOptions("run()", options, ["features", ...PICTURE_OPTIONS]);
    const names = options.features ?? [];
    const all = await this.#run(this.#take(input, options), names);
    const features = Object.fromEntries(names.map((name) => [name, all[name]]));
    return { logits: all.logits, probabilities: all.probabilities, features };
  }

  async #take(input: Float32Array | Tensor | Picture | readonly Picture[], options: PictureOptions): Promise<Batch> {
    if (isPicture(input)) return this.#prepare([input], options);
    if (Array.isArray(input) && input.every(isPicture)) return this.#prepare(input, options);
    return takeElements(input as Float32Array | Tensor, this.inputShape);
  }

  async #prepare(pictures: readonly Picture[], options: PictureOptions): Promise<Batch> {
    return this.#pictures.takePictures(pictures, {
      device: this.#model.device,
      definition: this.definition,
      shape: this.inputShape,
      dtype: this.#given.dtype ?? "f32",
      ...preparationOf(this.#pictures, this.definition, this.#given, options),
    });
  }

  /** Runs a batch slice by slice, and disposes of it. */
  async #run(batch: Promise<Batch>, features: readonly string[]): Promise<Record<string, Tensor>> {
    const taken = batch.catch(() => undefined);
    try {
      const executable = await this.executable(features);
      const [count] = executable.plan.inputs[0].shape;
      const starts = Array.from({ length: this.inputShape[0] / count }, (_, i) => i * count);
      const parts = await Promise.all(
        starts.map((first) => executable.run(batch.then(({ slice }) => ({ x: slice(first, count) })))),
      );
      if (parts.length === 1) return parts[0];
      return Object.fromEntries(
        Object.keys(parts[0]).map((name) => [name, joinBatches(parts.map((part) => part[name]))]),
      );
    } finally {
      taken.then((batch) => batch?.dispose());
    }
  }

  /**
   * The most probable classes of a picture, best first; of several, one list each. A picture is taken hold of at once; of
   * several, those of the first batch. Throws what run() throws.
   */
  async classify(image: Picture, options?: ClassifyOptions): Promise<Prediction[]>;
  async classify(images: readonly Picture[], options?: ClassifyOptions): Promise<Prediction[][]>;
  async classify(images: Picture | readonly Picture[], options: ClassifyOptions = {}) {
    checkOptions("classify()", options, ["top", ...PICTURE_OPTIONS]);
    const { top = 5 } = options;
    if (!(Number.isInteger(top) && top > 0)) throw new UsageError(`top is ${top}; it must be a positive integer`);
    const list = Array.isArray(images) ? (images as readonly Picture[]) : [images as Picture];
    const [batch] = this.inputShape;
    const results: Prediction[][] = [];
    for (let first = 0; first < list.length; first += batch) {
      const chunk = list.slice(first, first + batch);
      const { probabilities } = await this.#run(this.#prepare(chunk, options), []);
      const labels = await this.definition.labels();
      const classes = probabilities.shape[1];
      chunk.forEach((_, i) => {
        results.push(best(probabilities.data.subarray(i * classes, (i + 1) * classes), labels, top));
      });
    }
    return Array.isArray(images) ? results : results[0];
  }

  /** Frees what the net holds on the GPU, after the runs already asked for. Safe to call twice. */
  dispose(): void {
    this.#model.dispose();
  }
}

function joinBatches(parts: readonly Tensor[]): Tensor {
  const [{ shape, data }] = parts;
  const joined = new Float32Array(parts.length * data.length);
  parts.forEach((part, i) => {
    joined.set(part.data, i * data.length);
  });
  return { shape: shape.with(0, parts.length * shape[0]), data: joined };
}

function best(probabilities: Float32Array, labels: readonly string[], top: number): Prediction[] {
  return Array.from(probabilities, (probability, index) => ({
    label: labels[index] ?? `class ${index}`,
    index,
    probability,
  }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, top);
}
