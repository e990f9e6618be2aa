import type { AnyNet, Given, LoadOptions } from "../definition.ts";
import type { Device, DeviceOptions } from "../device/device.ts";
import type { CompileOptions } from "../graph/compile.ts";
import { Graph, paramShapes } from "../graph/graph.ts";
import type { OnnxReaders } from "../graph/onnx_call.ts";
import type { Plan } from "../graph/plan.ts";
import type { Value } from "../graph/value.ts";
import { check, checkFields, checkObject, checkOptions, isTexts, UsageError, WeightsError } from "../ground/errors.ts";
import type { Watch } from "../ground/options.ts";
import { checkShape, isTensor, type Shape, sameShape, type Tensor } from "../ground/tensor.ts";
import { Model } from "../model.ts";
import type { Net } from "../net.ts";
import { quote } from "../weights/checkpoint.ts";
import type { OnnxCheckpoint, OnnxGraph } from "../weights/onnx.ts";
import { type OpenSource, openWeights, type Weights } from "../weights/open.ts";
import { addOnnx, onnxNet, type Usual } from "./import.ts";

/** What an ONNX model can be given as: whatever weights can, but arrays. A string is a path (in Node) or a URL. */
export type OnnxSource = Exclude<Weights, Readonly<Record<string, Float32Array | Tensor>>>;

/** The operators that a model has. */
export type ReadersFor = (model: OnnxGraph) => Promise<OnnxReaders>;

/** Loads loadOnnx() of onnx.ts. */
export type LoadOnnx = () => Promise<{
  loadOnnx(gpu: OnnxDevice, source: OnnxSource, options?: LoadOptions): Promise<Net>;
}>;

/** What a Gpu is to models. */
export interface OnnxDevice extends Device {
  readonly options: DeviceOptions & { readonly onnx?: LoadOnnx };
  loadNet(net: AnyNet, options?: Given): Promise<Net>;
}

/** See Gpu.loadOnnx(). */
export async function loadFor(gpu: OnnxDevice, source: OnnxSource, options?: LoadOptions): Promise<Net> {
  const { onnx } = gpu.options;
  if (!onnx)
    throw new UsageError(
      'this GPU was opened without what reads ONNX: give openGpu() { onnx: () => import("shadenet/onnx") }',
    );
  return (await onnx()).loadOnnx(gpu, source, options);
}

/** Throws a UsageError unless it is a GPU. */
const checkGpu = (gpu: OnnxDevice): void => checkFields("the GPU", gpu, { host: "object", loadNet: "function" });

/** Opens a model. Throws what openCheckpoint() throws, and a WeightsError for what is no ONNX model. */
export async function openModel(source: OnnxSource, open: OpenSource, watch: Watch = {}): Promise<OnnxCheckpoint> {
  check(typeof open === "function", "what opens a location", open, "a function");
  const checkpoint = await openWeights({ name: "an ONNX model", weights: {} }, { ...watch, weights: source }, open);
  if ("model" in checkpoint) return checkpoint as OnnxCheckpoint;
  await checkpoint.close();
  throw new WeightsError(`${checkpoint.name} is no ONNX model: give a .onnx file`);
}

/** See loadOnnx() in onnx.ts. */
export async function loadNet(
  gpu: OnnxDevice,
  source: OnnxSource,
  given: LoadOptions,
  usual: Usual,
  readersFor: ReadersFor,
): Promise<Net> {
  checkGpu(gpu);
  checkObject("loadOnnx(): options", given);
  const { signal, onProgress } = given;
  const checkpoint = await openModel(source, gpu.host.open, { signal, onProgress });
  try {
    const net = onnxNet(checkpoint, usual, await readersFor(checkpoint.model), given);
    const weights = { ...(net.defaultWeights as OnnxCheckpoint), close: checkpoint.close };
    return await gpu.loadNet(net, { ...given, batch: given.batch ?? net.batch, weights });
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

export interface OnnxModelOptions extends CompileOptions, Watch {
  /** Shapes of inputs by their names, where the file leaves sizes open or others are wanted; an open batch is 1. */
  readonly shapes?: Readonly<Record<string, Shape>>;
}

/** A model with its inputs and outputs by their names. Ends with dispose(); its GPU stays open. */
export class OnnxModel {
  /** Shapes by name. */
  readonly inputs: Readonly<Record<string, Shape>>;
  readonly outputs: Readonly<Record<string, Shape>>;
  /** What is not done as the file says, and what is odd about its weights. */
  readonly warnings: readonly string[];
  readonly #model: Model;

  /** See loadOnnxModel() in onnx.ts. */
  static async load(
    gpu: OnnxDevice,
    source: OnnxSource,
    given: OnnxModelOptions,
    readersFor: ReadersFor,
  ): Promise<OnnxModel> {
    checkGpu(gpu);
    const legal = ["shapes", "passes", "variants", "precision", "dtype", "signal", "onProgress"];
    checkOptions("loadOnnxModel()", given, legal);
    const { shapes = {}, ...options } = given;
    checkObject("shapes", shapes);
    const { signal, onProgress } = options;
    const checkpoint = await openModel(source, gpu.host.open, { signal, onProgress });
    try {
      const graph = new Graph();
      const inputs = inputsOf(graph, checkpoint, shapes);
      const { outputs, notes } = addOnnx(graph, checkpoint, inputs, await readersFor(checkpoint.model));
      const wanted = paramShapes(graph);
      const tensors = new Map([...checkpoint.tensors].filter(([name]) => wanted.has(name)));
      const weights = { ...checkpoint, tensors, warnings: notes };
      const model = await Model.load(gpu, graph, weights, { ...options, outputs: [...outputs.keys()] });
      return new OnnxModel(model, inputs, outputs);
    } catch (error) {
      await checkpoint.close();
      throw error;
    }
  }

  private constructor(model: Model, inputs: ReadonlyMap<string, Value>, outputs: ReadonlyMap<string, Value>) {
    this.#model = model;
    this.inputs = shapesOf(inputs);
    this.outputs = shapesOf(outputs);
    this.warnings = model.warnings;
  }

  /** Names of the values that run() can return: all that are computed. */
  get layers(): string[] {
    return [...this.#model.graph.names.keys()];
  }

  /** The plan for these values. */
  async plan(wanted: readonly string[] = Object.keys(this.outputs)): Promise<Plan> {
    return (await this.#model.executable(checkNames(wanted))).plan;
  }

  /**
   * Runs once, on tensors or their elements by the names of the inputs. Returns the outputs, or the values that are asked for, by
   * their names. Throws a UsageError for names that there are not, a ShapeError for an input of another shape.
   */
  async run(
    given: Readonly<Record<string, Float32Array | Tensor>>,
    wanted: readonly string[] = Object.keys(this.outputs),
  ): Promise<Record<string, Tensor>> {
    checkObject("the inputs", given);
    const odd = Object.keys(given).find((name) => !Object.hasOwn(this.inputs, name));
    if (odd !== undefined) {
      throw new UsageError(
        `there is no input ${quote(odd)}; there are ${Object.keys(this.inputs).map(quote).join(", ")}`,
      );
    }
    const elements = Object.entries(this.inputs).map(([name, shape]) => {
      const tensor: unknown = given[name];
      const isRight = isTensor(tensor) ? sameShape(tensor.shape, shape) : tensor instanceof Float32Array;
      check(isRight, `the input ${quote(name)}`, tensor, `a tensor of shape [${shape}], or its elements`);
      return [name, isTensor(tensor) ? tensor.data : tensor];
    });
    return this.#model.run(Object.fromEntries(elements), checkNames(wanted));
  }

  /** Frees what the model holds on the GPU, after the runs already asked for. Safe to call twice. */
  dispose(): void {
    this.#model.dispose();
  }
}

function checkNames(names: readonly string[]): readonly string[] {
  check(isTexts(names) && names.length > 0, "outputs", names, "an array of names");
  return names;
}

const shapesOf = (values: ReadonlyMap<string, Value>): Record<string, Shape> =>
  Object.fromEntries([...values].map(([name, { shape }]) => [name, shape]));

/** The inputs of a model in a graph: of the shapes that are given, else of those of the file. */
function inputsOf(
  graph: Graph,
  { name: file, model }: OnnxCheckpoint,
  shapes: Readonly<Record<string, Shape>>,
): Map<string, Value> {
  const odd = Object.keys(shapes).find((name) => !model.inputs.some((input) => input.name === name));
  if (odd !== undefined) throw new UsageError(`${file} has no input ${quote(odd)}`);
  return new Map(
    model.inputs.map(({ name, shape }) => {
      const known = shapes[name] ?? shape?.map((size, d) => size ?? (d === 0 ? 1 : undefined));
      if (shapes[name]) checkShape(shapes[name], `shapes: ${quote(name)}`);
      if (known?.every((size): size is number => size !== undefined)) return [name, graph.input(name, known)];
      const told = shape ? `[${shape.map((size) => size ?? "?").join(", ")}]` : "of any shape";
      throw new UsageError(`${file} takes ${quote(name)} ${told}: say with shapes: { ${quote(name)}: [...] } which`);
    }),
  );
}
