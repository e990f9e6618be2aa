import { differentiate } from "../../../engine/graph/gradients.ts";
import type { Graph, Node, OpNode } from "../../../engine/graph/graph.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { type Shape, sameShape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";

// Where in the image a net finds what it names. Everything here is a function of a graph, or of a run's outputs.

/** Names of values: the last maps, the gradient of a logit by these, and the logits that it is of, as weights of a sum. */
export const MAPS = "heat map: activations";
export const GRADIENT = "heat map: gradient";
export const CHOSEN = "heat map: logits";

/** The last maps of a net, and how they are to be read. */
export interface HeatMapSource {
  /** The layer that they are the output of. */
  readonly layer: string;
  readonly height: number;
  readonly width: number;
  /** [1, C, H, W], or [1, T, C] of a transformer, whose last H x W tokens are the places. */
  readonly shape: Shape;
  /** The parameter [classes, channels, ...] that makes the logits of the maps' means, in nets that have one. */
  readonly classWeights?: string;
}

/** A value for every place of the last maps, row by row. */
export interface Heat {
  readonly values: Float32Array;
  readonly height: number;
  readonly width: number;
}

/** Whether a node is the mean of each channel of an image. */
const isPooling = (graph: Graph, node: Node): node is OpNode =>
  node.kind === "op" &&
  /^(adaptive_avgpool2d|mean)$/.test(node.kernel.name) &&
  graph.nodes[node.inputs.x].shape.length === 4 &&
  sizeOf(node.shape) === sizeOf(graph.nodes[node.inputs.x].shape.slice(0, 2));

/**
 * Names the maps that a heat map is of. Where one layer that is linear in the channels, and a mean over the image, make the
 * logits of the last maps, the weights of that layer tell how much each channel speaks for a class. Elsewhere these are the
 * maps that are pooled, what the last attention reads, or the output of the last convolution.
 */
export function addHeatMap(graph: Graph): HeatMapSource {
  const { nodes } = graph;
  const scored = findScored(graph);
  if (scored) return nameMaps(graph, scored.maps, scored.classWeights);
  const last = nodes.findLastIndex(
    (node) => node.kind === "op" && node.kernel.name === "conv2d" && sizeOf(node.shape.slice(2)) > 1,
  );
  if (last < 0) throw new UsageError("the net has no convolution to draw a heat map of");
  // Poolings before it are parts of blocks.
  const pooling = nodes.slice(last).find((node) => isPooling(graph, node));
  if (pooling?.kind === "op") return nameMaps(graph, pooling.inputs.x);
  const tokens = findTokens(graph);
  if (tokens === undefined) return nameMaps(graph, followTo(graph, last));
  const [, , height, width] = nodes[last].shape;
  return { ...nameMaps(graph, tokens), height, width };
}

/** The maps, and the parameter that weighs them: that of a linear layer behind the mean, or of a 1x1 convolution before. */
function findScored(graph: Graph): { readonly maps: number; readonly classWeights: string } | undefined {
  const at = (id: number) => graph.nodes[graph.root(id)];
  const scored = (maps: number, weights: number) => {
    const param = at(weights);
    return param.kind === "param" && !param.from ? { maps, classWeights: param.name } : undefined;
  };
  const head = at(graph.find("logits"));
  if (head.kind !== "op") return undefined;
  if ("w" in head.inputs) {
    const pooled = at(head.inputs.x);
    return isPooling(graph, pooled) ? scored(pooled.inputs.x, head.inputs.w) : undefined;
  }
  if (!isPooling(graph, head)) return undefined;
  const active = at(head.inputs.x);
  const layer = active.kind === "op" && active.kernel.activation?.(active.options) ? at(active.inputs.x) : active;
  const isPlain = layer.kind === "op" && layer.kernel.name === "conv2d";
  return isPlain && sizeOf(graph.nodes[layer.inputs.w].shape.slice(2)) === 1
    ? scored(layer.inputs.x, layer.inputs.w)
    : undefined;
}

/** [1, T, C]: what the last attention of a transformer reads. Behind it tokens no longer meet, and one alone has a gradient. */
function findTokens({ nodes }: Graph): number | undefined {
  let id = nodes.findLastIndex((node) => node.kind === "op" && node.kernel.name === "softmax" && node.shape.length > 2);
  while (id >= 0) {
    const node = nodes[id];
    if (node.kind === "op" && node.kernel.name === "layernorm") return node.shape.length === 3 ? id : undefined;
    id = node.kind === "op" ? Object.values(node.inputs)[0] : node.kind === "view" ? node.x : -1;
  }
  return undefined;
}

/** Its normalization, its activation: whatever follows a node at the same size. */
function followTo(graph: Graph, id: number): number {
  const next = graph.nodes.findIndex(
    (node) => node.kind === "op" && node.inputs.x === id && sameShape(node.shape, graph.nodes[id].shape),
  );
  return next < 0 ? id : followTo(graph, next);
}

function nameMaps(graph: Graph, id: number, classWeights?: string): HeatMapSource {
  const layer = [...graph.names].filter(([, named]) => named === id).at(-1)?.[0] ?? "the last convolution";
  const { shape } = graph.name(MAPS, graph.value(id));
  return { layer, height: shape[2], width: shape[3], shape, classWeights };
}

/**
 * Adds the gradient by the maps of the logits, summed with the weights of the input CHOSEN, [1, classes]. Throws a UsageError
 * for a net that has an operator without a gradient behind its maps.
 */
export async function addGradient(graph: Graph): Promise<void> {
  const { loadGradients } = await import("../../../kernels/gradients.ts");
  const [logits, maps] = ["logits", MAPS].map((name) => graph.value(graph.find(name)));
  const operators = graph.nodes.slice(maps.id).flatMap((node) => (node.kind === "op" ? [node.kernel.name] : []));
  const table = await loadGradients(operators);
  const [gradient] = differentiate([[logits, graph.input(CHOSEN, logits.shape)]], [maps], table);
  if (!gradient) throw new UsageError("the logits do not depend on the maps");
  graph.name(GRADIENT, gradient);
}

/**
 * The class activation map: the maps summed by a class's weights (B. Zhou et al., "Learning deep features for discriminative
 * localization", 2016). Its mean is the logit without the bias.
 */
export const classActivation = (source: HeatMapSource, maps: Tensor, weights: Float32Array): Heat =>
  weigh(source, maps, weights);

/**
 * Grad-CAM: the maps summed by the means of the gradients of a class's logit, as far as they speak for it (R. Selvaraju et al.,
 * "Grad-CAM: visual explanations from deep networks via gradient-based localization", 2017).
 */
export function gradCam(source: HeatMapSource, maps: Tensor, gradient: Tensor): Heat {
  const { at, channels, places } = layoutOf(source);
  const means = Float32Array.from({ length: channels }, (_, c) => {
    let sum = 0;
    for (let place = 0; place < places; place++) sum += gradient.data[at(c, place)];
    return sum / places;
  });
  const heat = weigh(source, maps, means);
  return { ...heat, values: heat.values.map((value) => Math.max(value, 0)) };
}

function weigh(source: HeatMapSource, { data }: Tensor, weights: Float32Array): Heat {
  const { at, channels, places } = layoutOf(source);
  const values = new Float32Array(places);
  for (let place = 0; place < places; place++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += weights[c] * data[at(c, place)];
    values[place] = sum;
  }
  return { values, height: source.height, width: source.width };
}

/** Where the maps have a channel of a place. */
function layoutOf({ shape, height, width }: HeatMapSource) {
  const places = height * width;
  if (shape.length === 4) return { channels: shape[1], places, at: (c: number, place: number) => c * places + place };
  const [, tokens, channels] = shape;
  // Before the patches stands the token of the class.
  return { channels, places, at: (c: number, place: number) => (tokens - places + place) * channels + c };
}
