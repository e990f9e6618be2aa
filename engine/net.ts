import type { ByteSource, Checkpoint } from "./checkpoint.ts";
import { checkOptions, DisposedError, GpuError, ShapeError, UsageError } from "./errors.ts";
import type { Gpu } from "./gpu.ts";
import { Graph, type Value } from "./graph.ts";
import type { Image, Transforms } from "./image.ts";
import { type Forced, lower } from "./lower.ts";
import { type PassName, passes } from "./passes.ts";
import { makePlan, type Plan } from "./plan.ts";
import { Executable, ParamStore } from "./runtime.ts";
import { formatShape, type Shape, sameShape, sizeOf, type Tensor } from "./tensor.ts";
import { arraysCheckpoint, blobSource, bytesSource, matchCheckpoint, openCheckpoint } from "./weights.ts";

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
  preprocess(image: Image, shape: Shape, transforms?: Transforms): Float32Array;
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
  readonly phase: "download" | "load";
  /** What is being read. */
  readonly file: string;
  /** Bytes when downloading, elements when loading. */
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
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

const LOAD_OPTIONS = ["weights", "batch", "imageSize", "passes", "variants", "signal", "onProgress"];

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

/** Runs the passes on a graph, picks a variant for every operator, and lays the result out. */
export function compile(
  graph: Graph,
  outputs: readonly string[],
  target: Pick<Gpu, "traits" | "limits" | "variants">,
  { passes: enabled = PASSES, variants: forced }: Pick<LoadOptions, "passes" | "variants"> = {},
): Plan {
  const unknown = enabled.find((name) => !PASSES.includes(name));
  if (unknown) throw new UsageError(`there is no pass "${unknown}"; there are ${PASSES.join(", ")}`);
  const names = PASSES.filter((name) => enabled.includes(name));
  const fused = names.reduce((rewritten, name) => passes[name](rewritten, outputs), graph);
  return makePlan(lower(fused, outputs, target, forced), outputs, target.limits);
}

const PASSES = Object.keys(passes) as PassName[];

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
  readonly #compileOptions: Pick<LoadOptions, "passes" | "variants">;
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
    const graph = traceSlice(definition, input, options, gpu);
    const checkpoint = await openWeights(gpu, definition, given);
    const params = new ParamStore(gpu, checkpoint, given);
    const net = new Net(gpu, definition, options, input, graph, given, checkpoint, params);
    try {
      matchCheckpoint(checkpoint, paramShapes(graph));
      await net.#compiled([]);
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
    this.#compileOptions = given;
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
    return (await this.#compiled(features)).plan;
  }

  #compiled(features: readonly string[]): Promise<Executable> {
    if (this.#disposed) throw new DisposedError("the net");
    const outputs = [...new Set(["logits", "probabilities", ...features])];
    const key = outputs.join("\n");
    let executable = this.#executables.get(key);
    if (!executable) {
      executable = this.#compile(outputs);
      executable.catch(() => this.#executables.delete(key));
      this.#executables.set(key, executable);
    }
    return executable;
  }

  async #compile(outputs: readonly string[]): Promise<Executable> {
    const plan = compile(this.#graph, outputs, this.#gpu, this.#compileOptions);
    return Executable.create(this.#gpu, plan, this.#params);
  }

  /**
   * Runs one batch: `input` in NCHW of shape inputShape. Returns the logits [N, numClasses], their softmax, and any
   * layer's output by its name. Concurrent calls are queued. Throws a ShapeError, a UsageError for an unknown layer.
   */
  async run(
    input: Float32Array | Tensor,
    options: { readonly features?: readonly string[] } = {},
  ): Promise<{ logits: Tensor; probabilities: Tensor; features: Record<string, Tensor> }> {
    checkOptions("run()", options, ["features"]);
    const names = options.features ?? [];
    const data = checkedInput(input, this.inputShape);
    const all = await this.#runSlices(await this.#compiled(names), data);
    const features = Object.fromEntries(names.map((name) => [name, all[name]]));
    return { logits: all.logits, probabilities: all.probabilities, features };
  }

  async #runSlices(executable: Executable, input: Float32Array): Promise<Record<string, Tensor>> {
    const { shape } = executable.plan.inputs[0];
    const slices = this.inputShape[0] / shape[0];
    if (slices === 1) return executable.run({ x: input });
    const starts = Array.from({ length: slices }, (_, i) => i * sizeOf(shape));
    const parts = await Promise.all(
      starts.map((start) => executable.run({ x: input.subarray(start, start + sizeOf(shape)) })),
    );
    return Object.fromEntries(
      Object.keys(parts[0]).map((name) => [name, joinBatches(parts.map((part) => part[name]))]),
    );
  }

  /** The most probable classes of a picture, best first; of several, one list each. */
  async classify(image: Image, options?: { readonly top?: number }): Promise<Prediction[]>;
  async classify(images: readonly Image[], options?: { readonly top?: number }): Promise<Prediction[][]>;
  async classify(images: Image | readonly Image[], { top = 5 }: { readonly top?: number } = {}) {
    if (!(Number.isInteger(top) && top > 0)) throw new UsageError(`top is ${top}; it must be a positive integer`);
    const list = Array.isArray(images) ? (images as readonly Image[]) : [images as Image];
    const labels = await this.definition.labels();
    const [batch, ...image] = this.inputShape;
    const results: Prediction[][] = [];
    for (let first = 0; first < list.length; first += batch) {
      // The last batch is filled up with zeros.
      const input = new Float32Array(sizeOf(this.inputShape));
      const chunk = list.slice(first, first + batch);
      chunk.forEach((picture, i) => {
        const pixels = this.definition.preprocess(picture, image, this.#transforms);
        if (pixels.length !== sizeOf(image)) {
          throw new ShapeError(`${this.definition.name} prepares no images for ${formatShape(image)}: use run()`);
        }
        input.set(pixels, i * pixels.length);
      });
      const { probabilities } = await this.run(input);
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
function traceSlice(definition: AnyNet, [batch, ...image]: Shape, options: NetOptions, gpu: Gpu): Graph {
  for (let slices = 1; ; slices++) {
    if (batch % slices !== 0) continue;
    const graph = traceNet(definition, [batch / slices, ...image], options);
    try {
      makePlan(graph, ["logits"], gpu.limits);
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

/** A copy of the input, which is the caller's again at once; what it is will be checked where it is used. */
function checkedInput(input: Float32Array | Tensor, wanted: Shape): Float32Array {
  if ("shape" in input && !sameShape(input.shape, wanted)) {
    throw new ShapeError(`the input is ${formatShape(input.shape)}; the net was loaded for ${formatShape(wanted)}`);
  }
  return ("data" in input ? input.data : input)?.slice();
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

/** The entry of the net's own table, if the weights are one of its names. */
function publishedWeights(definition: AnyNet, weights: Weights | undefined): PublishedWeights | undefined {
  if (typeof weights !== "string" || !Object.hasOwn(definition.weights, weights)) return undefined;
  return definition.weights[weights];
}

async function openWeights(gpu: Gpu, definition: AnyNet, options: LoadOptions): Promise<Checkpoint> {
  const weights = options.weights ?? definition.defaultWeights;
  if (weights === undefined) {
    throw new UsageError(
      `${definition.name} comes without weights: give a .safetensors or .pth file, a URL or an object of arrays`,
    );
  }
  if (typeof weights === "string" || weights instanceof URL) {
    const published = publishedWeights(definition, weights);
    return openCheckpoint(await gpu.host.open(published?.url ?? weights, { ...options, sha256: published?.sha256 }));
  }
  if (weights instanceof Uint8Array || weights instanceof ArrayBuffer) return openCheckpoint(bytesSource(weights));
  if (weights instanceof Blob)
    return openCheckpoint(blobSource(weights, "name" in weights ? String(weights.name) : "the given blob"));
  if ("tensors" in weights && weights.tensors instanceof Map) return weights as Checkpoint;
  return arraysCheckpoint(weights as Record<string, Float32Array | Tensor>);
}

/** Opens a location; with the first digits of its SHA-256, only if the content has it. */
export type OpenSource = (
  location: string | URL,
  options: Pick<LoadOptions, "signal" | "onProgress"> & { readonly sha256?: string },
) => Promise<ByteSource>;
