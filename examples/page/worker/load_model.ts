import { type AnyNet, type Given, openFitting, trace } from "../../../engine/definition.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { type Graph, paramShapes } from "../../../engine/graph/graph.ts";
import type { Progress } from "../../../engine/ground/options.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import { Model } from "../../../engine/model.ts";
import type { Weights } from "../../../engine/weights/open.ts";
import { randomWeights } from "../../../nets/random_weights.ts";

/**
 * What weights a page can ask for: noise, a file, an address, or a name of the net's own list; of a file that name, where it is
 * one of those that are published. An ONNX model is a net with its weights.
 */
export type WeightsChoice =
  | { readonly random: true }
  | { readonly model: Blob }
  | { readonly file: Blob; readonly published?: string }
  | { readonly url: string }
  | { readonly published: string };

export interface LoadingOptions {
  readonly signal: AbortSignal;
  onProgress(progress: Progress): void;
}

export interface ModelChoice {
  /** The net's own. */
  readonly options?: Given;
  /** The net as a graph, with more values named. */
  readonly graph?: Graph;
  /** What is compiled while the weights load. */
  readonly outputs?: readonly string[];
}

/** Every tensor of a net's checkpoint that the net has, by its name. Throws what Gpu.loadNet() throws. */
export async function readParameters(
  gpu: Gpu,
  definition: AnyNet,
  weights: Weights,
  loading?: LoadingOptions,
): Promise<Map<string, Tensor>> {
  const wanted = paramShapes(trace(definition));
  const checkpoint = await openFitting(definition, wanted, { weights, ...loading }, gpu.host.open, gpu.nets);
  try {
    const tensors = new Map<string, Tensor>();
    for (const [name, shape] of wanted) tensors.set(name, { shape, data: await checkpoint.read(name) });
    return tensors;
  } finally {
    await checkpoint.close();
  }
}

/**
 * A net as a model, whose plans the page chooses itself: a visitor who looks at one layer after the other would fill a GPU
 * with those that a Net keeps. Checks the weights. Throws what Gpu.loadNet() throws.
 */
export async function loadModel(
  gpu: Gpu,
  definition: AnyNet,
  weights: WeightsChoice,
  { signal, onProgress }: LoadingOptions,
  { options = {}, graph = trace(definition, options), outputs }: ModelChoice = {},
): Promise<Model> {
  const chosen = "model" in weights ? definition.defaultWeights : Object.values(weights)[0];
  const given = "random" in weights ? randomWeights(definition, options) : chosen;
  const open = () =>
    openFitting(definition, paramShapes(graph), { weights: given, signal, onProgress }, gpu.host.open, gpu.nets);
  return Model.load(gpu, graph, open, { signal, onProgress, outputs });
}
