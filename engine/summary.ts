import { OUTPUTS } from "./definition.ts";
import { checkLimits } from "./graph/checked.ts";
import { checkGraph, type Graph, type Node, readsOf } from "./graph/graph.ts";
import { passes } from "./graph/passes.ts";
import { bytesOf, DEFAULT_LIMITS, type Limits, makePlan, type Plan } from "./graph/plan.ts";
import { GpuError } from "./ground/errors.ts";
import { type Shape, sizeOf, sum } from "./ground/tensor.ts";

export interface LayerSummary {
  /** Its place in the graph's list of nodes. */
  readonly node: number;
  /** The layer's first name; the others name a block that ends with it. Empty for a step without one. */
  readonly name: string;
  readonly operator: string;
  readonly shape: Shape;
  /** Trained values, without batchnorm's running statistics. A parameter counts where it is used first. */
  readonly parameters: number;
  readonly multiplyAdds: number;
}

/** What running a net takes on the GPU, in bytes. */
export interface EngineNeeds {
  readonly weights: number;
  /** Activation buffers as planned after fusion. */
  readonly activations: number;
  /** What all activations that are alive at once take at the least. */
  readonly activationLowerBound: number;
  /** Dispatches per run. */
  readonly steps: number;
  /** Why the limits are too small for it, where they are. */
  readonly problem?: string;
}

export interface Summary {
  readonly layers: readonly LayerSummary[];
  readonly parameters: number;
  readonly multiplyAdds: number;
  /** In bytes of float32. */
  readonly inputSize: number;
  /** Twice the outputs of the layers with parameters: forward and backward, as torchinfo has it. */
  readonly passSize: number;
  readonly parameterSize: number;
  readonly totalSize: number;
  readonly engine: EngineNeeds;
}

const NO_LIMITS: Limits = { maxStorageBufferBindingSize: Infinity, maxBufferSize: Infinity };

/**
 * Layers, parameters, multiply-adds and memory of a net, by torchinfo's formulas (https://github.com/TylerYep/torchinfo):
 * a convolution has (weights + bias) N H' W' multiply-adds, any other layer with parameters N times these; but a linear layer,
 * of which torchinfo counts one token, has them for every row. Products of two activations, as in attention, are not counted.
 * The softmax that trace() puts behind the logits is no layer. Needs no GPU; `limits` are those of the device to plan for.
 */
export function summarize(graph: Graph, limits: Limits = DEFAULT_LIMITS): Summary {
  checkGraph(graph);
  checkLimits(limits);
  const names = new Map<number, string>();
  for (const [name, id] of graph.names) if (!names.has(id)) names.set(id, name);
  const counted = new Set<number>();
  let passSize = 0;

  const layers = graph.nodes.flatMap((node, id): LayerSummary[] => {
    const name = names.get(id) ?? "";
    const isLayer = node.kind === "op" || (node.kind === "view" && name !== "");
    if (!isLayer || id === graph.names.get(OUTPUTS[1])) return [];
    const trained = trainedParams(graph, node);
    // A derived one has as many as it has here: of a tensor that is taken apart each layer reads a part.
    const total = sum(readParams(graph, node).map(({ shape }) => sizeOf(shape)));
    const fresh = trained.filter((param) => !counted.has(param));
    for (const param of fresh) counted.add(param);
    if (total > 0) passSize += 2 * 4 * sizeOf(node.shape);
    const operator = node.kind === "op" ? node.kernel.name : "view";
    const parameters = sum(fresh.map((param) => sizeOf(graph.nodes[param].shape)));
    return [{ node: id, name, operator, shape: node.shape, parameters, multiplyAdds: total * placesOf(graph, node) }];
  });

  const parameters = sum(layers.map((layer) => layer.parameters));
  const inputSize = 4 * sum(graph.nodes.map((node) => (node.kind === "input" ? sizeOf(node.shape) : 0)));
  return {
    layers,
    parameters,
    multiplyAdds: sum(layers.map((layer) => layer.multiplyAdds)),
    inputSize,
    passSize,
    parameterSize: 4 * parameters,
    totalSize: inputSize + passSize + 4 * parameters,
    engine: engineNeeds(graph, limits),
  };
}

/** Every pixel of a convolution's output, and every row of a linear layer's, takes all weights; an image those of other layers. */
function placesOf(graph: Graph, { shape, ...node }: Node): number {
  const weight = "kernel" in node && node.kernel.split;
  return weight ? sizeOf(shape) / graph.nodes[node.inputs[weight]].shape[0] : shape[0];
}

type ParamNode = Extract<Node, { kind: "param" }>;

const isTrained = (node: Node): node is ParamNode => node.kind === "param" && node.role === "trained";

/** The trained parameters that a node reads, each once: directly, under another shape, or derived. */
const readParams = (graph: Graph, node: Node): ParamNode[] =>
  node.kind === "op" ? [...new Set(readsOf(node).map((id) => graph.nodes[graph.root(id)]))].filter(isTrained) : [];

/** The ids of those of a checkpoint's parameters that they are, or are derived from. */
function trainedParams(graph: Graph, node: Node): number[] {
  const names = new Set(readParams(graph, node).flatMap(({ name, from }) => from?.sources ?? [name]));
  return [...graph.nodes.keys()].filter((id) => {
    const param = graph.nodes[id];
    return isTrained(param) && names.has(param.name);
  });
}

function engineNeeds(graph: Graph, limits: Limits): EngineNeeds {
  const results = OUTPUTS.filter((name) => graph.names.has(name));
  const outputs = results.length > 0 ? results : [...graph.names.keys()].slice(-1);
  const fused = Object.values(passes).reduce((rewritten, pass) => pass(rewritten, outputs), graph);
  const needs = (plan: Plan) => {
    const { weights, activations } = bytesOf(plan);
    return { weights, activations, activationLowerBound: plan.activationLowerBound, steps: plan.steps.length };
  };
  try {
    return needs(makePlan(fused, outputs, limits));
  } catch (error) {
    if (!(error instanceof GpuError && error.code === "LIMIT")) throw error;
    return { ...needs(makePlan(fused, outputs, NO_LIMITS)), problem: error.message };
  }
}
