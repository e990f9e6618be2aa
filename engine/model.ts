import type { Device } from "./device/device.ts";
import { Executable, type Inputs } from "./device/executable.ts";
import { ParamStore } from "./device/params.ts";
import { type CompileOptions, compile } from "./graph/compile.ts";
import type { Graph } from "./graph/graph.ts";
import type { Plan } from "./graph/plan.ts";
import { DisposedError } from "./ground/errors.ts";
import type { Watch } from "./ground/options.ts";
import { keep } from "./ground/promises.ts";
import type { Tensor } from "./ground/tensor.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";
import { arraysCheckpoint, isCheckpoint } from "./weights/sources.ts";

export interface ModelOptions extends CompileOptions, Watch {
  /** What is compiled at once, while the weights load. */
  readonly outputs?: readonly string[];
}

/** A graph with weights on a device: a plan for each list of outputs that it was asked for, all on the same weights. */
export class Model {
  readonly device: Device;
  readonly graph: Graph;
  /** What is odd about the weights: a NaN, a prefix that was taken off their names. */
  readonly warnings: readonly string[];
  readonly checkpoint: Checkpoint;
  #params: ParamStore;
  /** That of the device that the weights are on. */
  #generation: number;
  readonly #options: CompileOptions;
  /** By the names of the outputs, or by a plan that was prepared. */
  readonly #executables = new Map<string | Plan, Promise<Executable>>();
  #disposed = false;

  /**
   * Puts a graph on a device. The checkpoint, or what opens it, is the model's from here on; the kernels of `outputs`
   * compile meanwhile. Throws a WeightsError when the weights cannot be read, a GpuError when the device is out
   * of memory; nothing stays allocated then.
   */
  static async load(
    device: Device,
    graph: Graph,
    checkpoint: Checkpoint | (() => Promise<Checkpoint>),
    { outputs = [], signal, onProgress, ...options }: ModelOptions = {},
  ): Promise<Model> {
    await device.ready(graph);
    const { generation } = device;
    const plan = outputs.length > 0 ? compile(graph, outputs, device, options) : undefined;
    // The executable finds them in the device's cache.
    for (const { kernel, code, bindings } of plan?.steps ?? []) device.pipeline(kernel, code, bindings).catch(() => {});
    const opened = typeof checkpoint === "function" ? await checkpoint() : checkpoint;
    const model = new Model(device, graph, opened, options, { signal, onProgress });
    try {
      const first = () => (plan && device.generation === generation ? plan : compile(graph, outputs, device, options));
      if (plan) await device.survive(() => model.#keep(keyOf(outputs), first));
      signal?.throwIfAborted();
      model.#params.forgetWatch();
      return model;
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  private constructor(device: Device, graph: Graph, checkpoint: Checkpoint, options: CompileOptions, watch: Watch) {
    this.device = device;
    this.graph = graph;
    this.checkpoint = checkpoint;
    this.#options = options;
    this.#generation = device.generation;
    this.#params = new ParamStore(device, checkpoint, watch);
    this.warnings = this.#params.warnings;
  }

  /** The plan for these outputs on the device, compiled as the model was loaded to be. */
  executable(outputs: readonly string[], options: CompileOptions = this.#options): Promise<Executable> {
    return this.#keep(keyOf(outputs, options === this.#options ? undefined : options), () =>
      compile(this.graph, outputs, this.device, options),
    );
  }

  /** Any plan that reads the model's weights, on the device; kept until it is released. */
  prepare(plan: Plan): Promise<Executable> {
    return this.#keep(plan, () => plan);
  }

  /** What there is already, or what is made now. Those who ask first get it first, so that dispose() comes last. */
  #keep(key: string | Plan, planOf: () => Plan): Promise<Executable> {
    if (this.#disposed) return Promise.reject(new DisposedError("the net"));
    this.#follow();
    return keep(this.#executables, key, async () => Executable.create(this.device, planOf(), this.#params));
  }

  /** After a loss begins again on the device that there is now, with the weights as the checkpoint has them. */
  #follow(): void {
    if (this.#generation === this.device.generation) return;
    this.#generation = this.device.generation;
    this.#executables.clear();
    this.#params = new ParamStore(this.device, this.checkpoint);
  }

  /** Runs once, again on another device where one was lost; see Executable.run(). */
  run(inputs: Inputs | Promise<Inputs>, outputs: readonly string[]): Promise<Record<string, Tensor>> {
    return this.device.survive(async () => (await this.executable(outputs)).run(inputs));
  }

  /** Frees what the plan for these outputs, or one that was prepared, holds besides the weights, after its runs. */
  async release(released: readonly string[] | Plan): Promise<void> {
    const key = "steps" in released ? released : keyOf(released);
    const executable = this.#executables.get(key);
    this.#executables.delete(key);
    await (await executable)?.dispose();
  }

  /** Frees all that the model holds, after the runs already asked for; resolves then. Safe to call twice. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    const ended = Promise.allSettled([...this.#executables.values()].map(async (each) => (await each).dispose()));
    this.#params.dispose(ended);
    await ended;
    await this.checkpoint.close().catch(() => {});
  }
}

const keyOf = (outputs: readonly string[], options: CompileOptions = {}): string => JSON.stringify([outputs, options]);

/** Calls `use` with a model, and disposes of it. Tensors stand for a checkpoint. Throws what Model.load() and `use` do. */
export async function withModel<T>(
  device: Device,
  graph: Graph,
  weights: Checkpoint | Readonly<Record<string, Tensor>>,
  use: (model: Model) => Promise<T>,
  options: ModelOptions = {},
): Promise<T> {
  const checkpoint = isCheckpoint(weights) ? weights : arraysCheckpoint(weights);
  const model = await Model.load(device, graph, checkpoint, options);
  try {
    return await use(model);
  } finally {
    await model.dispose();
  }
}

/** Runs a graph once, on tensors by the names of its inputs and parameters, compiled or by a plan of its own. */
export const runOnce = (
  device: Device,
  graph: Graph,
  tensors: Readonly<Record<string, Tensor>>,
  outputs: readonly string[],
  { plan, ...options }: CompileOptions & { readonly plan?: Plan } = {},
): Promise<Record<string, Tensor>> =>
  withModel(
    device,
    graph,
    tensors,
    async (model) =>
      device.survive(async () => {
        const executable = await (plan ? model.prepare(plan) : model.executable(outputs));
        return executable.run(
          Object.fromEntries(executable.plan.inputs.map(({ name }) => [name, tensors[name]?.data])),
        );
      }),
    options,
  );
