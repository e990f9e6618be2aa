import { Executable, ParamStore } from "./device/executable.ts";
import type { Gpu } from "./gpu.ts";
import { Graph, type Value } from "./graph/graph.ts";
import type { Dtype } from "./graph/kernel.ts";
import { type Forced, lower, type Target, TOLERANCE } from "./graph/lower.ts";
import { type PassName, passes } from "./graph/passes.ts";
import { makePlan, type Plan } from "./graph/plan.ts";
import { checkOptions, DisposedError, GpuError, ShapeError, UsageError } from "./ground/errors.ts";
import { type Shape, sameShape, type Tensor } from "./ground/tensor.ts";
import { type Batch, takeElements, takePictures } from "./image/batch.ts";
import type { Image, Transforms } from "./image/image.ts";
import { isPicture, type Picture, type PictureInput } from "./image/picture.ts";
import type { ByteSource, Checkpoint } from "./weights/checkpoint.ts";
import { openWeights, publishedWeights } from "./weights/open.ts";
import { matchCheckpoint } from "./weights/sources.ts";

/** Options that a net may have; each net lists its own with their defaults. */
export interface NetOptions {
  readonly inChannels: number;
  readonly numClasses: number;
}

/** A checkpoint that is published, or comes with the package. */
export interface PublishedWeights {
  readonly url: string | URL;
  /** The first digits of the file's SHA-256, where they are known. */
  readonly sha256?: string;
  /** How its images were prepared, where that differs from the net's other checkpoints. */
  readonly transforms?: Transforms;
}

/** A net as its file in nets/ defines it. */
export interface NetDefinition<O extends NetOptions = NetOptions> {
  readonly name: string;
  readonly options: O;
  /** Height and width of its images, in pixels. */
  readonly imageSize: readonly [number, number];
  /** Builds the net on x [N, C, H, W] and returns the logits [N, numClasses]. */
  build(x: Value, options: O): Value;
  /** The logits' softmax. */
  probabilities(logits: Value): Value;
  /** One picture as the net's input of shape [C, H, W]. */
  preprocess(image: Image, shape: Shape, transforms?: Transforms): Float32Array | Promise<Float32Array>;
  /** The same on the GPU, for a picture in a texture; undefined if there is no such input. */
  preprocessTexture?(
    gpu: Gpu,
    texture: GPUTexture,
    shape: Shape,
    dtype: Dtype,
    transforms?: Transforms,
  ): Promise<PictureInput | undefined>;
  /** Names of the classes. */
  labels(): Promise<readonly string[]>;
  /** Checkpoints that can be asked for by name. */
  readonly weights: Readonly<Record<string, PublishedWeights>>;
  /** The one that is loaded when none is given. */
  readonly defaultWeights?: string;
}

// biome-ignore lint/suspicious/noExplicitAny: a registry holds nets of any options
export type AnyNet = NetDefinition<any>;

export interface Progress {
  readonly phase: "download" | "load" | "tune";
  /** What is being read, or the layer that is being measured. */
  readonly file: string;
  /** Bytes when downloading, elements when loading, layers when tuning. */
  readonly loaded: number;
  readonly total: number;
}

/** What weights can be given as. A string is a file's path (in Node), a URL, or a name of the net's own. */
export type Weights =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | Blob
  | Checkpoint
  | Readonly<Record<string, Float32Array | Tensor>>;

export interface LoadOptions {
  readonly weights?: Weights;
  /** Images per run. */
  readonly batch?: number;
  /** Height and width in pixels, or one number for both, where the net can take another size than its own. */
  readonly imageSize?: number | readonly [number, number];
  /** Graph rewrites to run; all of them by default. */
  readonly passes?: readonly PassName[];
  /** Variants to take whatever the device: `{ conv2d: "conv2d" }` asks for the plain kernel. */
  readonly variants?: Forced;
  /**
   * "strict" computes every layer directly. By default faster algorithms (Winograd's) are taken where all of them
   * together add no more than 2e-5 of the outputs' rms to the error.
   */
  readonly precision?: "default" | "strict";
  /**
   * "f16" stores weights and activations in half the bytes, where the adapter has shader-f16; sums are float32 all the
   * same. A run whose values go beyond 65504 throws a GpuError (OVERFLOW).
   */
  readonly dtype?: Dtype;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

const LOAD_OPTIONS = [
  "weights",
  "batch",
  "imageSize",
  "passes",
  "variants",
  "precision",
  "dtype",
  "signal",
  "onProgress",
];

/** What a graph is compiled with. */
export type CompileOptions = Pick<LoadOptions, "passes" | "variants" | "precision" | "dtype">;

export interface Prediction {
  readonly label: string;
  readonly index: number;
  readonly probability: number;
}

/** The graph of a net with its logits and probabilities named. Throws what the net's layers throw when nothing fits. */
export function traceNet<O extends NetOptions>(definition: NetDefinition<O>, input: Shape, options: O): Graph {
  const graph = new Graph();
  const logits = build(definition, graph.input("x", input), options);
  graph.name("logits", logits);
  graph.name("probabilities", definition.probabilities(logits));
  return graph;
}

function build<O extends NetOptions>(definition: NetDefinition<O>, x: Value, options: O): Value {
  try {
    return definition.build(x, options);
  } catch (cause) {
    const { name, imageSize } = definition;
    const size = x.shape.slice(2);
    if (!(cause instanceof ShapeError) || sameShape(size, imageSize)) throw cause;
    const sizes = `${name} cannot take images of ${size.join(" x ")} pixels, it is made for ${imageSize.join(" x ")}`;
    throw new ShapeError(`${sizes} (${cause.message})`, { cause });
  }
}

/** Separates what a net is built with from what it is loaded with; an unknown option throws, naming the legal ones. */
export function netOptions<O extends NetOptions>(definition: NetDefinition<O>, given: object): O {
  checkOptions(definition.name, given, [...Object.keys(definition.options), ...LOAD_OPTIONS]);
  const own = Object.entries(given).filter(([name, value]) => !LOAD_OPTIONS.includes(name) && value !== undefined);
  for (const [name, value] of own) {
    const wanted = definition.options[name as keyof O];
    if (typeof value !== typeof wanted || (typeof wanted === "number" && !(Number.isInteger(value) && value > 0))) {
      const kind = typeof wanted === "number" ? "a positive integer" : `a ${typeof wanted}`;
      throw new UsageError(`${definition.name}: ${name} is ${JSON.stringify(value)}; it must be ${kind}`);
    }
  }
  return { ...definition.options, ...Object.fromEntries(own) };
}

/** Shape of a net's input for a batch of images. */
export function inputShape(definition: AnyNet, options: NetOptions, load: LoadOptions): Shape {
  const { batch = 1, imageSize = definition.imageSize } = load;
  if (!(Number.isInteger(batch) && batch > 0)) throw new ShapeError(`batch is ${batch}; it must be a positive integer`);
  const [height, width] = typeof imageSize === "number" ? [imageSize, imageSize] : imageSize;
  return [batch, options.inChannels, height, width];
}

/** Runs the passes on a graph: all of them by default. */
export function optimize(graph: Graph, outputs: readonly string[], enabled: readonly PassName[] = PASSES): Graph {
  const unknown = enabled.find((name) => !PASSES.includes(name));
  if (unknown) throw new UsageError(`there is no pass "${unknown}"; there are ${PASSES.join(", ")}`);
  const names = PASSES.filter((name) => enabled.includes(name));
  return names.reduce((rewritten, name) => passes[name](rewritten, outputs), graph);
}

/** Runs the passes on a graph, picks a variant for every operator, and lays the result out. */
export function compile(
  graph: Graph,
  outputs: readonly string[],
  target: Target & Pick<Gpu, "limits">,
  { passes: enabled, variants: forced = {}, precision = "default", dtype = "f32" }: CompileOptions = {},
): Plan {
  const operators = graph.nodes.flatMap((node) => (node.kind === "op" ? node.kernel.name : []));
  // Those of other nets are legal, so that one choice can be given for all.
  checkOptions("variants", forced, [...new Set([...operators, ...Object.keys(target.variants)])]);
  if (!DTYPES.includes(dtype)) throw new UsageError(`dtype is "${dtype}"; it must be one of ${DTYPES.join(", ")}`);
  if (dtype === "f16" && !target.traits.f16) {
    throw new UsageError('this adapter computes no f16 (it lacks "shader-f16"): load the net as "f32"');
  }
  if (!PRECISIONS.includes(precision)) {
    throw new UsageError(`precision is "${precision}"; it must be one of ${PRECISIONS.join(", ")}`);
  }
  // Winograd's intermediate values would lose too much as f16.
  const tolerance = precision === "strict" || dtype === "f16" ? 0 : TOLERANCE;
  return makePlan(
    lower(
      optimize(graph, outputs, enabled),
      outputs,
      { ...target, traits: { ...target.traits, dtype } },
      { forced, tolerance },
    ),
    outputs,
    target.limits,
    dtype,
  );
}

const PASSES = Object.keys(passes) as PassName[];

/** What every run computes; features come on top. */
const OUTPUTS = ["logits", "probabilities"];

const PRECISIONS = ["default", "strict"];
const DTYPES = ["f32", "f16"];

/** A net on the GPU. Ends with dispose(); its GPU stays open. */
export class Net {
  readonly definition: AnyNet;
  readonly options: NetOptions;
  /** [N, C, H, W] of what run() takes. */
  readonly inputShape: Shape;
  /** What is odd about the weights, such as a NaN. */
  readonly warnings: readonly string[];
  readonly #gpu: Gpu;
  /** The net for one slice of the batch: see traceSlice. */
  readonly #graph: Graph;
  readonly #loadOptions: LoadOptions;
  readonly #checkpoint: Checkpoint;
  readonly #params: ParamStore;
  readonly #transforms: Transforms | undefined;
  /** By the names of the outputs. */
  readonly #executables = new Map<string, Promise<Executable>>();
  #disposed = false;
  declare [Symbol.dispose]: () => void;

  static {
    if (Symbol.dispose) Object.defineProperty(Net.prototype, Symbol.dispose, { value: Net.prototype.dispose });
  }

  /** See Gpu.loadNet. */
  static async load(gpu: Gpu, definition: AnyNet, given: LoadOptions & object): Promise<Net> {
    const options = netOptions(definition, given);
    const input = inputShape(definition, options, given);
    const graph = traceSlice(definition, input, options, gpu, given.dtype);
    const plan = compile(graph, OUTPUTS, gpu, given);
    // Kernels compile while the weights are on their way; the executable finds them in the GPU's cache.
    for (const { kernel, code, bindings } of plan.steps) gpu.pipeline(kernel, code, bindings).catch(() => {});
    const checkpoint = await openWeights(definition, given, gpu.host.open);
    const params = new ParamStore(gpu, checkpoint, given);
    const net = new Net(gpu, definition, options, input, graph, given, checkpoint, params);
    try {
      matchCheckpoint(checkpoint, paramShapes(graph));
      await net.#keep(OUTPUTS, () => Executable.create(gpu, plan, params));
      return net;
    } catch (error) {
      net.dispose();
      throw error;
    }
  }

  private constructor(
    gpu: Gpu,
    definition: AnyNet,
    options: NetOptions,
    input: Shape,
    graph: Graph,
    given: LoadOptions,
    checkpoint: Checkpoint,
    params: ParamStore,
  ) {
    this.#gpu = gpu;
    this.definition = definition;
    this.options = options;
    this.#graph = graph;
    this.inputShape = input;
    this.#loadOptions = given;
    this.#checkpoint = checkpoint;
    this.#params = params;
    this.#transforms = publishedWeights(definition, given.weights ?? definition.defaultWeights)?.transforms;
    this.warnings = params.warnings;
  }

  /** Names that run() can return as features: the layers, by torchvision's names. */
  get layers(): string[] {
    return [...this.#graph.names.keys()];
  }

  /** The plan that is run for these features. */
  async plan(features: readonly string[] = []): Promise<Plan> {
    return (await this.executable(features)).plan;
  }

  /** The plan for these features on the device. With large batches it is that of a slice. */
  executable(features: readonly string[] = []): Promise<Executable> {
    if (this.#disposed) throw new DisposedError("the net");
    const outputs = [...new Set([...OUTPUTS, ...features])];
    return this.#keep(outputs, async () => {
      const plan = compile(this.#graph, outputs, this.#gpu, this.#loadOptions);
      return Executable.create(this.#gpu, plan, this.#params);
    });
  }

  /** What there is for these outputs already, or what is made now. */
  #keep(outputs: readonly string[], make: () => Promise<Executable>): Promise<Executable> {
    const key = outputs.join("\n");
    let executable = this.#executables.get(key);
    if (!executable) {
      executable = make();
      executable.catch(() => this.#executables.delete(key));
      this.#executables.set(key, executable);
    }
    return executable;
  }

  /**
   * Runs one batch: elements in NCHW of shape inputShape, or up to N pictures, which are prepared as the net's weights
   * want them; what is left of the batch is zeros. Either is the caller's again at once. Returns the logits
   * [N, numClasses], their softmax, and any layer's output by its name. Concurrent calls are queued. Throws a ShapeError,
   * an ImageError for a picture that cannot be read, a UsageError for an unknown layer.
   */
  async run(
    input: Float32Array | Tensor | Picture | readonly Picture[],
    options: { readonly features?: readonly string[] } = {},
  ): Promise<{ logits: Tensor; probabilities: Tensor; features: Record<string, Tensor> }> {
    checkOptions("run()", options, ["features"]);
    const names = options.features ?? [];
    const all = await this.#run(this.#take(input), names);
    const features = Object.fromEntries(names.map((name) => [name, all[name]]));
    return { logits: all.logits, probabilities: all.probabilities, features };
  }

  async #take(input: Float32Array | Tensor | Picture | readonly Picture[]): Promise<Batch> {
    if (isPicture(input)) return this.#takePictures([input]);
    if (Array.isArray(input) && input.every(isPicture)) return this.#takePictures(input);
    return takeElements(input as Float32Array | Tensor, this.inputShape);
  }

  #takePictures(pictures: readonly Picture[]): Promise<Batch> {
    const { dtype = "f32" } = this.#loadOptions;
    return takePictures(pictures, {
      gpu: this.#gpu,
      definition: this.definition,
      shape: this.inputShape,
      dtype,
      transforms: this.#transforms,
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
  async classify(image: Picture, options?: { readonly top?: number }): Promise<Prediction[]>;
  async classify(images: readonly Picture[], options?: { readonly top?: number }): Promise<Prediction[][]>;
  async classify(images: Picture | readonly Picture[], { top = 5 }: { readonly top?: number } = {}) {
    if (!(Number.isInteger(top) && top > 0)) throw new UsageError(`top is ${top}; it must be a positive integer`);
    const list = Array.isArray(images) ? (images as readonly Picture[]) : [images as Picture];
    const [batch] = this.inputShape;
    const results: Prediction[][] = [];
    for (let first = 0; first < list.length; first += batch) {
      const chunk = list.slice(first, first + batch);
      const { probabilities } = await this.#run(this.#takePictures(chunk), []);
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
    if (this.#disposed) return;
    this.#disposed = true;
    const ended = [...this.#executables.values()].map((pending) => pending.then((executable) => executable.dispose()));
    this.#params.dispose(Promise.allSettled(ended));
    this.#checkpoint.close().catch(() => {});
  }
}

/**
 * The graph for as large a part of the batch as the device can bind: the whole batch, or an equal slice of it where an
 * activation of the whole would be over the limit. Throws a GpuError (LIMIT) when not even one image fits.
 */
export function traceSlice(
  definition: AnyNet,
  [batch, ...image]: Shape,
  options: NetOptions,
  { limits }: Pick<Gpu, "limits">,
  dtype?: Dtype,
): Graph {
  for (let slices = 1; ; slices++) {
    if (batch % slices !== 0) continue;
    const graph = traceNet(definition, [batch / slices, ...image], options);
    try {
      makePlan(graph, ["logits"], limits, dtype);
      return graph;
    } catch (error) {
      if (!(error instanceof GpuError) || error.code !== "LIMIT" || slices === batch) throw error;
    }
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

/** Every parameter that a graph reads, by its name in the checkpoint. */
export function paramShapes(graph: Graph): Map<string, Shape> {
  return new Map(graph.nodes.flatMap((node) => (node.kind === "param" ? [[node.name, node.shape] as const] : [])));
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

/** Opens a location; with the first digits of its SHA-256, only if the content has it. */
export type OpenSource = (
  location: string | URL,
  options: Pick<LoadOptions, "signal" | "onProgress"> & { readonly sha256?: string },
) => Promise<ByteSource>;
