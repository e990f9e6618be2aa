import { type LoadOptions, type NetDefinition, type NetOptions, OUTPUTS } from "../definition.ts";
import { Graph, paramShapes } from "../graph/graph.ts";
import { type Known, OnnxCall, type OnnxReaders, type Operand } from "../graph/onnx_call.ts";
import { Value } from "../graph/value.ts";
import { check, ShadenetError, UsageError } from "../ground/errors.ts";
import { NHWC, sizeOf } from "../ground/tensor.ts";
import { type Checkpoint, clip, quote } from "../weights/checkpoint.ts";
import { isFloat, type OnnxCheckpoint, type OnnxNode, type OnnxNodes, type OnnxValue } from "../weights/onnx.ts";
import { fold, isFoldable } from "./constants.ts";

// An ONNX model as a graph of our own kernels, and as a net. weights/onnx.ts reads the file, kernels/onnx_import.ts has the
// operators, constants.ts what is computed before anything runs.

/** What became of a model in a graph. */
export interface Imported {
  /** By their names in the model. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** What is not done as the model has it. */
  readonly notes: readonly string[];
}

/**
 * Adds a model to a graph, on the values of its inputs. Every value that is computed gets its name, but for `reserved` ones.
 * Throws a UsageError that lists all that cannot be done here, by operators and layers.
 */
export function addOnnx(
  graph: Graph,
  { name: file, tensors, model }: OnnxCheckpoint,
  inputs: ReadonlyMap<string, Value>,
  readers: OnnxReaders,
  reserved: readonly string[] = [],
): Imported {
  const { opset, known } = model;
  const values = new Map<string, Operand>(inputs);
  for (const [name, { shape, dtype }] of tensors) {
    const stored = { name, shape, dtype, isFloat: isFloat(dtype), values: known.get(name), isStored: true };
    values.set(name, { ...stored, sources: new Map([[name, shape]]), evaluate: (given) => given.get(name) ?? [] });
  }
  const notes = new Set<string>();
  const note = (text: string) => notes.add(text);
  /** What cannot be done, and the layers. */
  const problems = new Map<string, string[]>();

  /** Elements that are computed as the model is read, and as its weights are. */
  const work = [0, 0];

  /** The outputs of an operator. */
  const perform: Perform = (op, operands, attributes, name, outputs) => {
    let others = 0;
    const apply: OnnxCall["apply"] = (other, of, given = {}) =>
      perform(other, of, given, `${name}, ${other} ${++others}`, 1)[0];
    const call = new OnnxCall(graph, operands, attributes, { name, opset, outputs, note, apply });
    const folded = fold(op, call);
    if (folded && !folded.isStored) work[folded.values ? 0 : 1] += sizeOf(folded.shape);
    if (work[0] > MOST_WORK || work[1] > MOST_LATER)
      throw new UsageError(`which makes more than ${MOST_WORK} constants, or ${MOST_LATER} of weights`);
    if (folded) return [folded];
    if (!Object.hasOwn(readers, op)) throw new UsageError("of values that are computed");
    return [readers[op](call)].flat();
  };

  const needed = new Set<string>();
  need(model, needed);
  const visit = ({ nodes }: OnnxNodes): void => {
    for (const { op, name, inputs, outputs, attributes, branches } of nodes) {
      const wanted = outputs.findLastIndex((output) => needed.has(output)) + 1;
      if (wanted === 0) continue;
      const fail = (problem: string) => {
        if (problems.get(problem)?.push(name) === undefined) problems.set(problem, [name]);
      };
      const isHere = op === "If" || Object.hasOwn(readers, op) || isFoldable(op);
      if (!isHere) fail(op);
      // What comes of something that failed is no problem of its own.
      if (!isHere || inputs.some((input) => input !== "" && !values.get(input))) continue;
      const operands = inputs.map((input) => values.get(input));
      try {
        let results: readonly Operand[];
        if (op === "If") {
          const [isTrue] = new OnnxCall(graph, operands, {}, {}).known(0) ?? [];
          const taken = isTrue ? "then_branch" : "else_branch";
          const branch = branches[taken];
          if (!branch) throw new UsageError(`it has no ${taken}`);
          visit(branch);
          results = branch.results.map((result) => values.get(result));
        } else results = perform(op, operands, attributes, outputs[0], wanted);
        if (results.length < wanted) throw new UsageError(`only its first output can be had`);
        outputs.forEach((output, i) => {
          const result = results[i];
          if (output === "" || !result) return;
          values.set(output, result);
          if (result instanceof Value && !reserved.includes(output)) graph.name(output, result);
        });
      } catch (error) {
        if (!(error instanceof ShadenetError)) throw error;
        fail(`${op}, ${error.message}`);
      }
    }
  };
  visit(model);
  if (problems.size > 0) throw new UsageError(describe(file, opset, problems));
  const outputs = model.results.map((name) => {
    const output = values.get(name) as Value | Known;
    const value = output instanceof Value ? output : new OnnxCall(graph, [output], {}, {}).value(0);
    if (!graph.names.has(name) && !reserved.includes(name)) graph.name(name, value);
    return [name, value] as const;
  });
  return { outputs: new Map(outputs), notes: [...notes] };
}

type Perform = (
  op: string,
  operands: readonly Operand[],
  attributes: OnnxNode["attributes"],
  name: string,
  outputs: number,
) => readonly Operand[];

/** Adds the names of the values that the results need. */
function need({ nodes, results }: OnnxNodes, needed: Set<string>): void {
  for (const result of results) needed.add(result);
  for (const { inputs, outputs, branches } of nodes.toReversed()) {
    if (!outputs.some((output) => needed.has(output))) continue;
    for (const input of inputs) needed.add(input);
    for (const branch of Object.values(branches)) need(branch, needed);
  }
}

/** The most elements that are computed as a model is read, and as its weights are. */
const MOST_WORK = 1 << 26;
const MOST_LATER = 1 << 30;

/** So many of all problems, and of the layers of each. */
const MOST_PROBLEMS = 20;
const MOST_LAYERS = 3;

function describe(file: string, opset: number, problems: ReadonlyMap<string, readonly string[]>): string {
  const lines = [...problems].slice(0, MOST_PROBLEMS).map(([problem, layers]) => {
    const more = layers.length > MOST_LAYERS ? ` and ${layers.length - MOST_LAYERS} more` : "";
    return `${clip(problem)} (${layers.slice(0, MOST_LAYERS).map(quote).join(", ")}${more})`;
  });
  const more = problems.size > MOST_PROBLEMS ? `; and ${problems.size - MOST_PROBLEMS} more` : "";
  return `${file}, of opset ${opset}, needs what is not here: ${lines.join("; ")}${more}`;
}

/** What a net of images has whatever its layers: its pictures, classes and probabilities. */
export interface Usual
  extends Pick<NetDefinition, "probabilities" | "transforms" | "preprocess" | "preprocessTexture" | "labels"> {
  /** Of how many classes the labels are. */
  readonly labelled: number;
}

/** A net that was read: what loadNet(), tune(), train(), summarize() and exportOnnx() take. */
export interface OnnxNet extends NetDefinition {
  readonly opset: number;
  /** Images per run that the file is made for, 1 where it leaves that open. */
  readonly batch: number;
  /** The names of its outputs in the file; the first one is the logits, or their softmax. */
  readonly outputs: readonly string[];
  /** What was taken for what the file does not say, and what is not done as it says. */
  readonly notes: readonly string[];
  /** Closes the file: a net that was loaded from it goes on, but begins no more on another device. */
  close(): Promise<void>;
}

/** Images' height and width where a file leaves them open. */
const SIDE = 224;

/** Numbers of channels by which images are told from those with their channels last. */
const CHANNELS = [1, 3, 4];

/**
 * A model of one input, images, and at least one output, as a net: x is NCHW also where the model's input is NHWC. Sizes are the
 * file's, where none are given. Throws a UsageError for a model of another kind, and for one with operators that are not here.
 */
export function onnxNet(
  checkpoint: OnnxCheckpoint,
  usual: Usual,
  readers: OnnxReaders,
  given: Pick<LoadOptions, "batch" | "imageSize"> = {},
): OnnxNet {
  const { model, name: file } = checkpoint;
  const [input, other] = model.inputs;
  const rank = input?.shape?.length ?? 4;
  if (!input || other || rank !== 4) {
    const got = model.inputs.map(({ name, shape = [] }) => `${quote(name)} [${shape.map((size) => size ?? "?")}]`);
    throw new UsageError(`${file} takes ${got.join(", ") || "no input"}, and a net takes images: use loadOnnxModel()`);
  }
  const { isLast, channels, ...sizes } = imagesOf(input);
  const { batch = sizes.batch, imageSize = sizes.image } = given;
  const [height, width] = Array.isArray(imageSize) ? imageSize : [imageSize, imageSize];
  const name = /([^/\\?#]*?)(?:\.onnx)?(?:[?#].*)?$/i.exec(file)?.[1].slice(0, 60) || "the model";
  /** The softmax at the end of a graph, where the model has one. */
  const softmaxes = new WeakMap<Graph, Value>();

  const build = (x: Value) => {
    const { graph, shape } = x;
    const read = (op: string, of: Value, attributes: Readonly<Record<string, readonly number[]>>) =>
      [readers[op](new OnnxCall(graph, [of], attributes, {}))].flat()[0] as Value;
    const images = isLast ? read("Transpose", x, { perm: NHWC }) : x;
    const { outputs, notes } = addOnnx(graph, checkpoint, new Map([[input.name, images]]), readers, OUTPUTS);
    const [[output, result]] = outputs;
    const last = graph.nodes[graph.root(result.id)];
    const isSoftmax =
      last.kind === "op" && last.kernel.name === "softmax" && sizeOf(last.shape) === sizeOf(result.shape);
    const flat = (value: Value) => flattened(value, shape[0]);
    if (isSoftmax && (last.options as { readonly log: boolean }).log === false) softmaxes.set(graph, flat(result));
    const logits = flat(softmaxes.has(graph) && last.kind === "op" ? graph.value(last.inputs.x) : result);
    if (logits.shape[0] !== shape[0])
      throw new UsageError(
        `${file}: ${quote(output)} is [${result.shape}] for ${shape[0]} images; give the option batch`,
      );
    return { logits, notes: [...notes], outputs: [...outputs.keys()] };
  };

  const trial = new Graph();
  const { logits, notes, outputs } = build(trial.input("x", [batch, channels, height, width]));
  const numClasses = logits.shape[1] ?? 1;
  if (sizes.isOpen && given.imageSize === undefined)
    notes.push(`the file leaves the size of images open: ${height} x ${width} is taken, unless imageSize says another`);
  const wanted = paramShapes(trial);
  const tensors = new Map([...checkpoint.tensors].filter(([tensor]) => wanted.has(tensor)));
  const weights: Checkpoint = { ...checkpoint, tensors, warnings: notes, close: async () => {} };
  return {
    ...usual,
    name,
    options: { inChannels: channels, numClasses } as NetOptions,
    imageSize: [height, width],
    build(x, options) {
      check(
        options.numClasses === numClasses,
        `${name}: numClasses`,
        options.numClasses,
        `${numClasses}, as in its file`,
      );
      return build(x).logits;
    },
    probabilities: (logits) => softmaxes.get(logits.graph) ?? usual.probabilities(logits),
    weights: {},
    defaultWeights: weights,
    labels: async () => (numClasses === usual.labelled ? usual.labels() : []),
    opset: model.opset,
    batch,
    outputs,
    notes: [...notes, TRANSFORMS],
    close: checkpoint.close,
  };
}

const TRANSFORMS =
  "pictures are prepared as torchvision's for ImageNet, which no file says: give transforms where they are others";

/** The sizes of images, and whether their channels are the last dimension. */
function imagesOf({ shape = [] }: OnnxValue) {
  const [batch = 1, ...image] = shape;
  const isLast = CHANNELS.includes(image[2] ?? 0) && !CHANNELS.includes(image[0] ?? 0);
  const [channels = 3, height, width] = isLast ? [image[2], image[0], image[1]] : image;
  const isOpen = height === undefined || width === undefined;
  return { isLast, batch, channels, image: [height ?? SIDE, width ?? SIDE] as const, isOpen };
}

/** [N, C] of what has one pixel. */
const flattened = (x: Value, images: number): Value =>
  x.shape.length > 2 && sizeOf(x.shape) === images * x.shape[1] ? x.graph.reshape(x, [images, x.shape[1]]) : x;
