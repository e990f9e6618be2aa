import { type AnyNet, labelsOf, OUTPUTS, trace } from "../../../engine/definition.ts";
import type { Executable } from "../../../engine/device/executable.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import type { Graph } from "../../../engine/graph/graph.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { mostProbable, type Prediction } from "../../../engine/ground/predictions.ts";
import type { Shape, Tensor } from "../../../engine/ground/tensor.ts";
import { takePictures } from "../../../engine/image/pictures.ts";
import type { Model } from "../../../engine/model.ts";
import { summarize } from "../../../engine/summary.ts";
import { publishedWeights } from "../../../engine/weights/open.ts";
import { addHeatMap, CLASS_WEIGHTS, HeatMap, type HeatMapSource, MAPS } from "./heat_map.ts";
import { type LoadingOptions, loadModel, type WeightsChoice } from "./load_model.ts";

/** What the page lets a visitor choose of a net's options. */
export type Building = { readonly numClasses?: number };

/** What the page tells of a net before it is loaded. */
export interface NetDescription {
  readonly name: string;
  /** Of its own last layer. */
  readonly numClasses: number;
  readonly parameters: number;
  readonly multiplyAdds: number;
  readonly layers: readonly { readonly name: string; readonly operator: string; readonly shape: Shape }[];
  /** Names of published checkpoints, and where each is. */
  readonly published: readonly { readonly name: string; readonly url: string }[];
  readonly heatMap: HeatMapSource;
}

export interface LookOptions {
  /** Draws the heat map of the class that is most probable. */
  readonly heat: boolean;
}

export interface Answer {
  readonly top: readonly Prediction[];
  /** From the picture to the probabilities. */
  readonly milliseconds: number;
}

/** One net that looks at one picture after the other. */
export class Looking {
  readonly #gpu: Gpu;
  #definition: AnyNet | undefined;
  #model: Model | undefined;
  #weights: WeightsChoice | undefined;
  #executable: Executable | undefined;
  #source: HeatMapSource | undefined;
  #heatMap: HeatMap | undefined;
  /** The plan for the layer whose activations are shown. */
  #layer: string | undefined;
  /** What was looked at last, for layers that are asked for later. */
  #picture: ImageBitmap | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  async describe(name: string, options: Building): Promise<NetDescription> {
    const definition = await this.#gpu.definition(name);
    const graph = trace(definition, options);
    const { layers, parameters, multiplyAdds } = summarize(graph, this.#gpu.limits);
    return {
      name,
      numClasses: definition.options.numClasses,
      parameters,
      multiplyAdds,
      layers: layers.filter((layer) => layer.name !== "" && layer.name !== "logits"),
      published: Object.entries(definition.weights).map(([weights, { url }]) => ({ name: weights, url: String(url) })),
      heatMap: addHeatMap(graph),
    };
  }

  /** Draws on this canvas from now on. */
  async useCanvas(canvas: OffscreenCanvas): Promise<void> {
    this.#heatMap = await HeatMap.create(this.#gpu, canvas);
  }

  /** Loads a net in place of the one before. Returns what is odd about its weights. */
  async load(
    name: string,
    weights: WeightsChoice,
    options: Building,
    loading: LoadingOptions,
  ): Promise<readonly string[]> {
    await this.#unload();
    let source: HeatMapSource | undefined;
    const definition = await this.#gpu.definition(name);
    const extend = (graph: Graph) => {
      source = addHeatMap(graph);
    };
    const model = await loadModel(this.#gpu, definition, weights, loading, extend, options);
    try {
      const outputs = [...OUTPUTS, MAPS, ...(source?.perClass ? [CLASS_WEIGHTS] : [])];
      const executable = await model.executable(outputs);
      loading.signal.throwIfAborted();
      await this.#unload();
      [this.#definition, this.#model, this.#executable] = [definition, model, executable];
      [this.#source, this.#weights] = [source, weights];
      return model.warnings;
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  async #unload(): Promise<void> {
    const model = this.#model;
    this.#model = this.#executable = this.#layer = undefined;
    await model?.dispose();
  }

  #loaded(): { definition: AnyNet; model: Model; executable: Executable } {
    const [definition, model, executable] = [this.#definition, this.#model, this.#executable];
    if (definition && model && executable) return { definition, model, executable };
    throw new UsageError("no net is loaded: choose its weights first");
  }

  async look(picture: ImageBitmap, { heat }: LookOptions): Promise<Answer> {
    this.#picture?.close();
    this.#picture = picture;
    const { definition, executable } = this.#loaded();
    const start = performance.now();
    const { probabilities } = await this.#run(definition, executable, OUTPUTS);
    const milliseconds = performance.now() - start;
    const labels = await labelsOf(definition, probabilities.data.length);
    const top = mostProbable(definition.name, probabilities.data, labels, 5);
    if (heat) await this.heat(top[0].index);
    return { top, milliseconds };
  }

  async #run(definition: AnyNet, executable: Executable, read: readonly string[]): Promise<Record<string, Tensor>> {
    if (!this.#picture) throw new UsageError("there is no picture to look at yet");
    const [{ shape }] = executable.plan.inputs;
    const weights = this.#weights && "published" in this.#weights ? this.#weights.published : undefined;
    const transforms = publishedWeights(definition, weights)?.transforms;
    const batch = await takePictures([this.#picture], {
      device: this.#gpu,
      definition,
      shape,
      dtype: "f32",
      transforms,
    });
    try {
      return await executable.run({ x: batch.slice(0, 1) }, read);
    } finally {
      batch.dispose();
    }
  }

  /** A layer's output for the picture that was looked at last; its plan is kept until another layer is asked for. */
  async activations(name: string): Promise<Tensor> {
    const { definition, model } = this.#loaded();
    if (this.#layer !== name) {
      const before = this.#layer;
      this.#layer = undefined;
      if (before) await model.release([before]);
      this.#layer = name;
    }
    return (await this.#run(definition, await model.executable([name]), [name]))[name];
  }

  /** Draws where the last picture speaks for a class. */
  async heat(classIndex: number): Promise<void> {
    const { executable } = this.#loaded();
    if (this.#heatMap && this.#source) await this.#heatMap.draw(executable, this.#source, classIndex);
  }
}
