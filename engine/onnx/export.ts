import { type AnyNet, checkDefinition, type LoadOptions, OUTPUTS, trace } from "../definition.ts";
import { callOf, type Derivation, type Graph, type Node, paramShapes } from "../graph/graph.ts";
import { integers, type OnnxConstant, type OnnxOperation, type OnnxOperators, operation } from "../graph/onnx.ts";
import { prune } from "../graph/passes.ts";
import { check, checkOptions, isTexts, UsageError } from "../ground/errors.ts";
import { mapValues } from "../ground/records.ts";
import type { Shape } from "../ground/tensor.ts";

// A net as the graph of an ONNX model (https://onnx.ai/onnx/repo-docs/IR.html): plain data, which node/onnx_file.ts
// encodes. kernels/onnx.ts has the operators.

/** The version of ONNX's operators that is used: of 2022, and read by every runtime that is still maintained. */
export const OPSET = 17;

/** A size; "N" for that of the batch where it is open, undefined for one that depends on it otherwise. */
export type OnnxDim = number | "N" | undefined;

/** "[N, 3, 224, 224]" */
export const formatDims = (dims: readonly OnnxDim[]): string => `[${dims.map((size) => size ?? "?").join(", ")}]`;

export interface OnnxNode {
  /** The layer's name, or the layer's and the operator's. Its output is called the same. */
  readonly name: string;
  readonly op: string;
  /** Names of values; empty for an optional one that is left out. */
  readonly inputs: readonly string[];
  readonly attributes: OnnxOperation["attributes"];
}

/** A tensor of the checkpoint, under its name there, or one derived from several. */
export interface OnnxParam {
  readonly name: string;
  readonly shape: Shape;
  readonly from?: Derivation;
}

export interface OnnxGraph {
  readonly name: string;
  /** Shapes by name. */
  readonly inputs: Readonly<Record<string, readonly OnnxDim[]>>;
  readonly outputs: Readonly<Record<string, readonly OnnxDim[]>>;
  /** Each after those whose outputs it reads. */
  readonly nodes: readonly OnnxNode[];
  readonly constants: Readonly<Record<string, OnnxConstant>>;
  readonly params: readonly OnnxParam[];
  /** Shapes of all tensors that a checkpoint of the net has, also of those that these outputs do not need. */
  readonly checkpoint: ReadonlyMap<string, Shape>;
}

export interface ExportOptions
  extends Pick<LoadOptions, "weights" | "weightsKey" | "imageSize" | "signal" | "onProgress"> {
  /** Images per run; any number, decided when the model is run, if left out. */
  readonly batch?: number;
  /** What the model returns: "logits" (if left out), "probabilities", and any layer by torchvision's name. */
  readonly outputs?: readonly string[];
}

const EXPORT_OPTIONS = ["weights", "weightsKey", "batch", "imageSize", "outputs", "signal", "onProgress"];

/**
 * A net, without its weights, as ONNX has it. Besides ExportOptions it takes the net's own options, such as numClasses.
 * Throws a UsageError for a layer that does not exist and for a kernel that ONNX has no operator for.
 */
export function traceOnnx(definition: AnyNet, given: ExportOptions & object, operators: OnnxOperators): OnnxGraph {
  checkDefinition(definition);
  checkOptions(`exporting ${definition.name}`, given, [...Object.keys(definition.options), ...EXPORT_OPTIONS]);
  const { outputs = OUTPUTS.slice(0, 1), batch, imageSize, ...others } = given;
  // What differs between two traces depends on the batch.
  const batches = batch === undefined ? [2, 3] : [batch, batch];
  const [graph, other] = batches.map((images) => trace(definition, { ...others, imageSize, batch: images }));
  return onnxGraph(definition.name, [graph, other], outputs, operators);
}

/** A graph as ONNX has it, from two traces of a net; sizes in which these differ are left open. */
export function onnxGraph(
  name: string,
  traces: readonly [Graph, Graph],
  outputs: readonly string[],
  operators: OnnxOperators,
): OnnxGraph {
  check(isTexts(outputs) && outputs.length > 0, "outputs", outputs, "an array of names, such as logits");
  const [graph, other] = traces.map((each) => prune(each, outputs));
  checkAlike(graph, other);
  const checkpoint = paramShapes(traces[0]);
  const dims = openDims(graph, other);
  const { names, unique } = nameValues(graph, outputs);
  const inputs: Record<string, readonly OnnxDim[]> = {};
  const constants: Record<string, OnnxConstant> = {};
  const params: OnnxParam[] = [];
  const nodes: OnnxNode[] = [];

  /** The names of operations that others read, each of which is computed once. */
  const computed = new Map<OnnxOperation, string>();

  const add = (output: string, { op, operands, attributes }: OnnxOperation): void => {
    const inputs = operands.map((operand) => {
      if (operand === undefined) return "";
      if (typeof operand === "string") return operand;
      if ("op" in operand) {
        const inner = computed.get(operand) ?? unique(`${output}/${operand.op}`);
        if (!computed.has(operand)) add(inner, operand);
        computed.set(operand, inner);
        return inner;
      }
      const constant = unique(`${output}/constant`);
      constants[constant] = operand;
      return constant;
    });
    nodes.push({
      name: output,
      op,
      inputs: inputs.slice(0, inputs.findLastIndex((input) => input !== "") + 1),
      attributes,
    });
  };

  graph.nodes.forEach((node, id) => {
    if (node.kind === "input") inputs[node.name] = dims(id);
    else if (node.kind === "param") params.push({ name: node.name, shape: node.shape, from: node.from });
    else if (node.kind === "view") add(names[id], view(names[node.x], dims(node.x), dims(id)));
    else {
      if (!Object.hasOwn(operators, node.kernel.name)) {
        const known = Object.keys(operators).join(", ");
        throw new UsageError(
          `${names[id]} cannot be exported: ONNX has no operator for ${node.kernel.name}, only for ${known}`,
        );
      }
      const read = mapValues(node.inputs, (from) => names[from]);
      add(names[id], operators[node.kernel.name](read, callOf(graph, node)));
    }
  });
  const entries = [...new Set(outputs)].map((output) => {
    const id = graph.find(output);
    // One value under two names, or an input or a parameter as it stands.
    if (names[id] !== output) add(output, operation("Identity", [names[id]]));
    return [output, dims(id)] as const;
  });
  return { name, inputs, outputs: Object.fromEntries(entries), nodes, constants, params, checkpoint };
}

/** Throws unless two traces are the same but for their sizes. */
function checkAlike(graph: Graph, other: Graph): void {
  const described = (node: Node) => {
    const { kind } = node;
    if (kind === "param") return [kind, node.name, node.shape];
    if (kind === "op") return [kind, node.kernel.name, node.inputs, node.options];
    return [kind];
  };
  if (JSON.stringify(graph.nodes.map(described)) === JSON.stringify(other.nodes.map(described))) return;
  throw new UsageError(
    "the net is another one for another batch, so that it cannot be left open: give the option batch",
  );
}

/** Gives the sizes of a graph's values by their ids. */
function openDims(graph: Graph, other: Graph): (id: number) => readonly OnnxDim[] {
  const input = graph.nodes.findIndex(({ kind }) => kind === "input");
  const [batch, otherBatch] = [graph, other].map(({ nodes }) => nodes[input]?.shape[0]);
  return (id) =>
    graph.nodes[id].shape.map((size, d) => {
      const differs = other.nodes[id].shape[d];
      if (size === differs) return size;
      return size === batch && differs === otherBatch ? "N" : undefined;
    });
}

/** The same elements under another shape; an open size follows from their number. */
function view(x: string, from: readonly OnnxDim[], to: readonly OnnxDim[]): OnnxOperation {
  if (from.length > 1 && to.length === 2 && from[0] === to[0] && to[0] !== undefined) {
    return operation("Flatten", [x], { axis: 1 });
  }
  if (to.filter((size) => typeof size !== "number").length > 1) {
    throw new UsageError(`${x} is reshaped in a way that depends on the batch twice: give the option batch`);
  }
  return operation("Reshape", [x, integers(to.map((size) => (typeof size === "number" ? size : -1)))]);
}

/** Every value's name: an input's or parameter's own, an output's, a layer's, else its kernel's. */
function nameValues(graph: Graph, outputs: readonly string[]) {
  const names: string[] = [];
  const taken = new Set<string>();
  const unique = (wanted: string): string => {
    let name = wanted;
    for (let i = 2; taken.has(name); i++) name = `${wanted}_${i}`;
    taken.add(name);
    return name;
  };
  graph.nodes.forEach((node, id) => {
    if (node.kind !== "input" && node.kind !== "param") return;
    if (taken.has(node.name)) throw new UsageError(`an input and a parameter of the net are both called ${node.name}`);
    names[id] = unique(node.name);
  });
  for (const output of new Set(outputs)) {
    const id = graph.find(output);
    if (taken.has(output) && names[id] !== output) {
      throw new UsageError(`the output ${output} is called like an input or a parameter of the net`);
    }
    names[id] ??= output;
    taken.add(output);
  }
  // A layer's first name is its own; the others are of blocks that end with it.
  for (const [layer, id] of graph.names) names[id] ??= unique(layer);
  graph.nodes.forEach((node, id) => {
    names[id] ??= unique(node.kind === "op" ? node.kernel.name : node.kind);
  });
  return { names, unique };
}
