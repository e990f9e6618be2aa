import { type AnyNet, OUTPUTS, trace } from "../../../engine/definition.ts";
import type { Executable } from "../../../engine/device/executable.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { labelsOf, mostProbable, type Prediction } from "../../../engine/ground/predictions.ts";
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
  readonly heat?: ImageBitmap;
}

/** A net that was loaded. */
interface Loaded {
  readonly definition: AnyNet;
  readonly model: Model;
  readonly weights: WeightsChoice;
  readonly source: HeatMapSource;
  /** What a look at a picture computes. */
  readonly outputs: readonly string[];
}

/** One net that looks at one picture after the other, and again on another device where one was lost. */
export class Looking {
  readonly #gpu: Gpu;
  readonly #heatMap: HeatMap;
  #net: Loaded | undefined;
  /** The plan for the layer whose activations are shown. */
  #layer: string | undefined;
  /** What was looked at last, for layers and heat maps that are asked for later. */
  #picture: ImageBitmap | undefined;
  /** The plan whose outputs on the GPU are those of the picture. */
  #seen: Executable | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#heatMap = new HeatMap(gpu);
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

  /** Loads a net in place of the one before. Returns what is odd about its weights. */
  async load(
    name: string,
    weights: WeightsChoice,
    options: Building,
    loading: LoadingOptions,
  ): Promise<readonly string[]> {
    await this.#unload();
    const definition = await this.#gpu.definition(name);
    const graph = trace(definition, options);
    const source = addHeatMap(graph);
    const outputs = [...OUTPUTS, MAPS, ...(source.perClass ? [CLASS_WEIGHTS] : [])];
    const model = await loadModel(this.#gpu, definition, weights, loading, { options, graph, outputs });
    if (loading.signal.aborted) {
      await model.dispose();
      loading.signal.throwIfAborted();
    }
    await this.#unload();
    this.#net = { definition, model, weights, source, outputs };
    return model.warnings;
  }

  async #unload(): Promise<void> {
    const net = this.#net;
    this.#net = this.#layer = this.#seen = undefined;
    await net?.model.dispose();
  }

  #loaded(): Loaded {
    if (this.#net) return this.#net;
    throw new UsageError("no net is loaded: choose its weights first");
  }

  async look(picture: ImageBitmap, { heat }: LookOptions): Promise<Answer> {
    this.#picture?.close();
    this.#picture = picture;
    const net = this.#loaded();
    const start = performance.now();
    const { probabilities } = await this.#gpu.survive(() => this.#see(net, OUTPUTS));
    const milliseconds = performance.now() - start;
    const labels = await labelsOf(net.definition, probabilities.data.length, net.model.checkpoint);
    const top = mostProbable(net.definition.name, probabilities.data, labels, 5);
    return { top, milliseconds, heat: heat ? await this.heat(top[0].index) : undefined };
  }

  /** Runs the picture for an answer and the heat maps of its classes. */
  async #see(net: Loaded, read: readonly string[]): Promise<Record<string, Tensor>> {
    const executable = await net.model.executable(net.outputs);
    const results = await this.#run(net, executable, read);
    this.#seen = executable;
    return results;
  }

  async #run({ definition, weights }: Loaded, executable: Executable, read: readonly string[]) {
    if (!this.#picture) throw new UsageError("there is no picture to look at yet");
    const [{ shape }] = executable.plan.inputs;
    const published = publishedWeights(definition, "published" in weights ? weights.published : undefined);
    const batch = await takePictures([this.#picture], {
      device: this.#gpu,
      definition,
      shape,
      dtype: "f32",
      transforms: published?.transforms,
    });
    try {
      return await executable.run({ x: batch.slice(0, 1) }, read);
    } finally {
      batch.dispose();
    }
  }

  /** A layer's output for the picture that was looked at last; its plan is kept until another layer is asked for. */
  async activations(name: string): Promise<Tensor> {
    const net = this.#loaded();
    if (this.#layer !== name) {
      const before = this.#layer;
      this.#layer = undefined;
      if (before) await net.model.release([before]);
      this.#layer = name;
    }
    const run = async () => this.#run(net, await net.model.executable([name]), [name]);
    return (await this.#gpu.survive(run))[name];
  }

  /** Where the last picture speaks for a class. */
  heat(classIndex: number): Promise<ImageBitmap> {
    const net = this.#loaded();
    return this.#gpu.survive(async () => {
      const executable = await net.model.executable(net.outputs);
      if (executable !== this.#seen) await this.#see(net, []);
      return this.#heatMap.draw(executable, net.source, classIndex);
    });
  }
}
