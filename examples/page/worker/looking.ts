import type { Executable } from "../../../engine/device/executable.ts";
import { findNet, type Gpu } from "../../../engine/gpu.ts";
import { summarize } from "../../../engine/graph/summary.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import type { Shape, Tensor } from "../../../engine/ground/tensor.ts";
import { takePictures } from "../../../engine/image/batch.ts";
import { inputShape, traceNet } from "../../../engine/net.ts";
import { publishedWeights } from "../../../engine/weights/open.ts";
import { addHeatMap, CLASS_WEIGHTS, HeatMap, type HeatMapSource, MAPS } from "./heat_map.ts";
import { LoadedNet, type LoadingOptions, type WeightsChoice } from "./loaded_net.ts";

/** What the page tells of a net before it is loaded. */
export interface NetDescription {
  readonly name: string;
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
  readonly top: readonly { readonly label: string; readonly index: number; readonly probability: number }[];
  /** From the picture to the probabilities. */
  readonly milliseconds: number;
}

const RESULTS = ["logits", "probabilities"];

/** One net that looks at one picture after the other. */
export class Looking {
  readonly #gpu: Gpu;
  #net: LoadedNet | undefined;
  #weights: WeightsChoice | undefined;
  #executable: Executable | undefined;
  #source: HeatMapSource | undefined;
  #heatMap: HeatMap | undefined;
  /** The plan for the layer whose activations are shown. */
  #layer: { readonly name: string; readonly executable: Executable } | undefined;
  /** What was looked at last, for layers that are asked for later. */
  #picture: ImageBitmap | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  describe(name: string): NetDescription {
    const definition = findNet(this.#gpu.nets, name);
    const graph = traceNet(definition, inputShape(definition, definition.options, {}), definition.options);
    const { layers, parameters, multiplyAdds } = summarize(graph, this.#gpu.limits);
    return {
      name,
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
  async load(name: string, weights: WeightsChoice, loading: LoadingOptions): Promise<readonly string[]> {
    await this.#unload();
    let source: HeatMapSource | undefined;
    const net = await LoadedNet.open(this.#gpu, findNet(this.#gpu.nets, name), weights, loading, (graph) => {
      source = addHeatMap(graph);
    });
    try {
      const outputs = [...RESULTS, MAPS, ...(source?.perClass ? [CLASS_WEIGHTS] : [])];
      const executable = await net.prepare(outputs);
      loading.signal.throwIfAborted();
      await this.#unload();
      [this.#net, this.#executable, this.#source, this.#weights] = [net, executable, source, weights];
      return net.params.warnings;
    } catch (error) {
      await net.dispose();
      throw error;
    }
  }

  async #unload(): Promise<void> {
    const net = this.#net;
    this.#net = this.#executable = this.#layer = undefined;
    await net?.dispose();
  }

  #loaded(): { net: LoadedNet; executable: Executable } {
    if (this.#net && this.#executable) return { net: this.#net, executable: this.#executable };
    throw new UsageError("no net is loaded: choose its weights first");
  }

  async look(picture: ImageBitmap, { heat }: LookOptions): Promise<Answer> {
    this.#picture?.close();
    this.#picture = picture;
    const { net, executable } = this.#loaded();
    const start = performance.now();
    const { probabilities } = await this.#run(net, executable, RESULTS);
    const milliseconds = performance.now() - start;
    const labels = await net.definition.labels();
    const top = Array.from(probabilities.data, (probability, index) => ({ label: labels[index], index, probability }))
      .sort((a, b) => b.probability - a.probability)
      .slice(0, 5);
    if (heat) await this.heat(top[0].index);
    return { top, milliseconds };
  }

  async #run(net: LoadedNet, executable: Executable, read: readonly string[]): Promise<Record<string, Tensor>> {
    if (!this.#picture) throw new UsageError("there is no picture to look at yet");
    const { definition, inputShape: shape } = net;
    const weights = this.#weights && "published" in this.#weights ? this.#weights.published : undefined;
    const transforms = publishedWeights(definition, weights)?.transforms;
    const batch = await takePictures([this.#picture], { gpu: this.#gpu, definition, shape, dtype: "f32", transforms });
    try {
      return await executable.run({ x: batch.slice(0, 1) }, read);
    } finally {
      batch.dispose();
    }
  }

  /** A layer's output for the picture that was looked at last; its plan is kept until another layer is asked for. */
  async activations(name: string): Promise<Tensor> {
    const { net } = this.#loaded();
    if (this.#layer?.name !== name) {
      const before = this.#layer;
      this.#layer = undefined;
      if (before) await net.release(before.executable);
      this.#layer = { name, executable: await net.prepare([name]) };
    }
    return (await this.#run(net, this.#layer.executable, [name]))[name];
  }

  /** Draws where the last picture speaks for a class. */
  async heat(classIndex: number): Promise<void> {
    const { executable } = this.#loaded();
    if (this.#heatMap && this.#source) await this.#heatMap.draw(executable, this.#source, classIndex);
  }
}
