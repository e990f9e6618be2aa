import { Executable, ParamStore } from "../../../engine/device/executable.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import type { Graph } from "../../../engine/graph/graph.ts";
import type { Plan } from "../../../engine/graph/plan.ts";
import type { Shape } from "../../../engine/ground/tensor.ts";
import { type AnyNet, compile, inputShape, type Progress, paramShapes, traceNet } from "../../../engine/net.ts";
import type { Checkpoint } from "../../../engine/weights/checkpoint.ts";
import { openWeights } from "../../../engine/weights/open.ts";
import { matchCheckpoint } from "../../../engine/weights/sources.ts";
import { randomWeights } from "../../../nets/random_weights.ts";

/** What weights a page can ask for: noise, a file, an address, or a name of the net's own list. */
export type WeightsChoice =
  | { readonly random: true }
  | { readonly file: Blob }
  | { readonly url: string }
  | { readonly published: string };

export interface LoadingOptions {
  readonly signal: AbortSignal;
  onProgress(progress: Progress): void;
}

/**
 * A net whose plans the page chooses itself, one at a time, all on the same weights: the library's Net keeps every plan
 * that it was ever asked for, which a visitor who looks at one layer after the other would fill a GPU with.
 */
export class LoadedNet {
  readonly gpu: Gpu;
  readonly definition: AnyNet;
  readonly graph: Graph;
  readonly inputShape: Shape;
  readonly params: ParamStore;
  readonly #checkpoint: Checkpoint;
  readonly #executables = new Set<Executable>();

  /** Opens and checks the weights; `extend` names more values of the graph. Throws what Gpu.loadNet() throws. */
  static async open(
    gpu: Gpu,
    definition: AnyNet,
    weights: WeightsChoice,
    loading: LoadingOptions,
    extend: (graph: Graph) => void = () => {},
  ): Promise<LoadedNet> {
    const { options } = definition;
    const input = inputShape(definition, options, {});
    const graph = traceNet(definition, input, options);
    extend(graph);
    const given = "random" in weights ? randomWeights(definition) : Object.values(weights)[0];
    const checkpoint = await openWeights(definition, { weights: given, ...loading }, gpu.host.open);
    try {
      loading.signal.throwIfAborted();
      matchCheckpoint(checkpoint, paramShapes(graph));
    } catch (error) {
      await checkpoint.close();
      throw error;
    }
    return new LoadedNet(gpu, definition, graph, input, checkpoint, loading);
  }

  private constructor(
    gpu: Gpu,
    definition: AnyNet,
    graph: Graph,
    input: Shape,
    checkpoint: Checkpoint,
    loading: LoadingOptions,
  ) {
    this.gpu = gpu;
    this.definition = definition;
    this.graph = graph;
    this.inputShape = input;
    this.#checkpoint = checkpoint;
    this.params = new ParamStore(gpu, checkpoint, loading);
  }

  /** Puts a plan on the device: by default the fastest for these outputs. */
  async prepare(outputs: readonly string[], plan: Plan = compile(this.graph, outputs, this.gpu)): Promise<Executable> {
    const executable = await Executable.create(this.gpu, plan, this.params);
    this.#executables.add(executable);
    return executable;
  }

  /** Frees what one plan holds, but for the weights. */
  async release(executable: Executable): Promise<void> {
    this.#executables.delete(executable);
    await executable.dispose();
  }

  /** Frees everything, after the runs already asked for. */
  async dispose(): Promise<void> {
    await Promise.all([...this.#executables].map((executable) => executable.dispose()));
    this.params.dispose();
    await this.#checkpoint.close();
  }
}
