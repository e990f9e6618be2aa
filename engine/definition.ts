import type { CompileOptions } from "./graph/compile.ts";
import { Graph } from "./graph/graph.ts";
import { type Limits, makePlan } from "./graph/plan.ts";
import type { Value } from "./graph/value.ts";
import {
  check,
  checkFields,
  checkOptions,
  GpuError,
  isCount,
  isTexts,
  ShapeError,
  show,
  UsageError,
} from "./ground/errors.ts";
import type { Watch } from "./ground/options.ts";
import { type Shape, sameShape } from "./ground/tensor.ts";
import type { PictureOptions, Preparation } from "./image/pictures.ts";
import type { Transforms } from "./image/transforms.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";
import {
  type OpenSource,
  openWeights,
  type PublishedFile,
  publishedWeights,
  type Weights,
  type WeightsTable,
} from "./weights/open.ts";

// What a net is and what it is loaded with: data, and pure functions that make a graph of it.

/** Options that a net may have; each net lists its own with their defaults. Numbers are counts, but for factors: `...Mult`. */
export interface NetOptions {
  readonly inChannels: number;
  readonly numClasses: number;
}

/** A checkpoint that is published, or comes with the package. */
export interface PublishedWeights extends PublishedFile {
  /** How its images were prepared, where that differs from the net's other checkpoints; crop is their size. */
  readonly transforms?: Transforms;
  /** Options of the net that it wants, in place of their defaults. */
  readonly options?: object;
}

/** A net as its file in nets/ defines it. */
export interface NetDefinition<O extends NetOptions = NetOptions> extends Preparation, WeightsTable<PublishedWeights> {
  readonly name: string;
  readonly options: O;
  /** Height and width of its images, in pixels. */
  readonly imageSize: readonly [number, number];
  /** Builds the net on x [N, C, H, W] and returns the logits [N, numClasses]. */
  build(x: Value, options: O): Value;
  /** The logits' softmax. */
  probabilities(logits: Value): Value;
  /** Names of the classes that it has by itself. */
  labels(): Promise<readonly string[]>;
}

// biome-ignore lint/suspicious/noExplicitAny: a registry holds nets of any options
export type AnyNet = NetDefinition<any>;

const DEFINITION = {
  name: "string",
  options: "object",
  imageSize: "object",
  weights: "object",
  build: "function",
  probabilities: "function",
  labels: "function",
  preprocess: "function",
};

/** Throws a UsageError unless it is a net's definition. */
export function checkDefinition(definition: unknown): asserts definition is AnyNet {
  checkFields("the net", definition, DEFINITION);
  const { name, imageSize } = definition as AnyNet;
  // What messages spell out.
  check(name.length < 100 && imageSize.length === 2, "the net", definition, "of a short name and two sizes");
}

/** Nets by their names, each as it is or as a function that loads it. */
export type Nets = Readonly<Record<string, AnyNet | (() => Promise<AnyNet>)>>;

/** A net by its name; throws a UsageError that lists the names there are. */
export function findNet<T>(nets: Readonly<Record<string, T>>, name: string): T {
  if (Object.hasOwn(nets, name)) return nets[name];
  throw new UsageError(
    `there is no net ${show(name)}; there are ${Object.keys(nets).join(", ") || "none: give openGpu() some"}`,
  );
}

export interface LoadOptions extends CompileOptions, PictureOptions, Watch {
  readonly weights?: Weights;
  /** Which of a file's mappings of names to tensors is meant, where several fit: "model_ema", say, or "" for the outermost. */
  readonly weightsKey?: string;
  /** Images per run. */
  readonly batch?: number;
  /** Height and width in pixels, or one number for both, where the net can take another size than its own. */
  readonly imageSize?: number | readonly [number, number];
  /** Names of the classes, in place of those that a training has saved beside the weights, or of the net's own. */
  readonly labels?: readonly string[];
}

/** What a net is loaded with, and the options of its own. */
export type Given = LoadOptions | (LoadOptions & { readonly [option: string]: unknown });

/** What can be said of pictures, in loadNet() and in every run. */
export const PICTURE_OPTIONS = ["transforms", "orientation"] as const;

const LOAD_OPTIONS: readonly string[] = [
  ...PICTURE_OPTIONS,
  "weights",
  "weightsKey",
  "batch",
  "imageSize",
  "labels",
  "passes",
  "variants",
  "precision",
  "dtype",
  "signal",
  "onProgress",
];

/** What every run of a net computes; features come on top. */
export const OUTPUTS = ["logits", "probabilities"] as const;

/** A net as a graph, with its outputs named. Throws what the net's layers throw when nothing fits. */
export function traceNet<O extends NetOptions>(
  definition: NetDefinition<O>,
  input: Shape,
  options: O,
  graph = new Graph(),
): Graph {
  const logits = build(definition, graph.input("x", input), options);
  const [first, second] = OUTPUTS;
  graph.name(first, logits);
  graph.name(second, definition.probabilities(logits));
  return graph;
}

/** A net as a graph, from all that it can be loaded with. Throws a UsageError for an option that it does not have. */
export const trace = (definition: AnyNet, given: Given = {}): Graph =>
  traceNet(definition, inputShape(definition, given), netOptions(definition, given));

function build<O extends NetOptions>(definition: NetDefinition<O>, x: Value, options: O): Value {
  try {
    return definition.build(x, options);
  } catch (cause) {
    const { name, imageSize } = definition;
    const [, channels, ...size] = x.shape;
    if (!(cause instanceof ShapeError) || sameShape(size, imageSize)) throw cause;
    // One after the other: what fits need not go on fitting. Most are refused by the first layers.
    let side = 1;
    while (side < MOST_TRIED) {
      try {
        definition.build(new Graph().input("x", [1, channels, side, side]), options);
        break;
      } catch {
        side++;
      }
    }
    const sizes = `${name} cannot take images of ${size.join(" x ")} pixels: it is made for ${imageSize.join(" x ")}`;
    throw new ShapeError(`${sizes}, and takes no square below ${side} x ${side} (${cause.message})`, { cause });
  }
}

/** Sides of images: over those of all nets. */
const MOST_TRIED = 999;

/** Separates what a net is built with from what it is loaded with; an unknown option throws, naming the legal ones. */
export function netOptions<O extends NetOptions>(definition: NetDefinition<O>, given: object): O {
  checkOptions(definition.name, given, [...Object.keys(definition.options), ...LOAD_OPTIONS]);
  const own = Object.entries(given).filter(([name, value]) => !LOAD_OPTIONS.includes(name) && value !== undefined);
  for (const [name, value] of own) {
    const wanted = definition.options[name as keyof O];
    const what = `${definition.name}: ${name}`;
    const isFactor = /Mult$/.test(name);
    const isSound = typeof wanted !== "number" || (isFactor ? (value as number) > 0 : isCount(value));
    const kind = typeof wanted === "number" ? `positive ${isFactor ? "number" : "integer"}` : typeof wanted;
    check(typeof value === typeof wanted && isSound, what, value, `a ${kind}`);
  }
  const options = { ...definition.options, ...publishedOf(definition, given)?.options, ...Object.fromEntries(own) };
  checkLabels(definition.name, (given as LoadOptions).labels, options.numClasses);
  return options;
}

/** The entry of the net's own table that it is loaded with, if it is one. */
export const publishedOf = (definition: AnyNet, { weights }: Given): PublishedWeights | undefined =>
  publishedWeights(definition, weights ?? definition.defaultWeights);

function checkLabels(net: string, labels: unknown, numClasses: number): void {
  if (labels === undefined) return;
  check(isTexts(labels), `${net}: labels`, labels, "an array of strings");
  const { length } = labels;
  if (length === numClasses) return;
  throw new UsageError(
    `${net} has ${numClasses} classes and got ${length} labels: give one for each, or another number of classes`,
  );
}

/** More images than anybody runs at once: the ways to divide them are tried one by one. */
const MOST_IMAGES = 2 ** 24;

/** Shape [N, C, H, W] of a net's input, from all that it can be loaded with. */
export function inputShape(definition: AnyNet, given: Given = {}): Shape {
  const { inChannels } = netOptions<NetOptions>(definition, given);
  const { batch = 1, imageSize = publishedOf(definition, given)?.transforms?.crop ?? definition.imageSize } = given;
  if (!isCount(batch) || batch > MOST_IMAGES)
    throw new ShapeError(`batch is ${show(batch)}; it must be a positive integer up to ${MOST_IMAGES}`);
  const [height, width] = Array.isArray(imageSize) ? imageSize : [imageSize, imageSize];
  return [batch, inChannels, height, width];
}

/**
 * Opens a net's weights, whose tensors have to be the wanted ones; they are closed again where they are not. `nets` are those
 * that they may be of instead. Throws what openWeights() and matchCheckpoint() throw.
 */
export async function openFitting(
  definition: AnyNet,
  wanted: ReadonlyMap<string, Shape>,
  given: Given,
  open: OpenSource,
  nets: Nets,
): Promise<Checkpoint> {
  const opened = await openWeights(definition, given, open);
  try {
    // It came with what has opened them.
    const { matchCheckpoint } = await import("./weights/sources.ts");
    const others = async () => (await import("./others.ts")).otherNets(nets, definition);
    return await matchCheckpoint(opened, wanted, given.weightsKey, definition, others);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/**
 * The graph for as large a part of the batch as the device can bind: the whole batch, or an equal slice of it where an
 * activation of the whole would be over the limit. Throws a GpuError (LIMIT) when not even one image fits.
 */
export function traceSlice(definition: AnyNet, given: Given, { limits }: { readonly limits: Limits }): Graph {
  const options = netOptions(definition, given);
  const [batch, ...image] = inputShape(definition, given);
  for (let slices = 1; ; slices++) {
    if (batch % slices !== 0) continue;
    const graph = traceNet(definition, [batch / slices, ...image], options);
    try {
      makePlan(graph, OUTPUTS.slice(0, 1), limits, given.dtype);
      return graph;
    } catch (error) {
      if (!(error instanceof GpuError) || error.code !== "LIMIT" || slices === batch) throw error;
    }
  }
}
