import { type AnyNet, OUTPUTS, trace } from "../../../engine/definition.ts";
import type { Executable, Input } from "../../../engine/device/executable.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { compile } from "../../../engine/graph/compile.ts";
import { type Graph, paramShapes } from "../../../engine/graph/graph.ts";
import type { Plan } from "../../../engine/graph/plan.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { labelsOf, mostProbable } from "../../../engine/ground/predictions.ts";
import { type Shape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import { takePictures } from "../../../engine/image/pictures.ts";
import type { Model } from "../../../engine/model.ts";
import type { OnnxNet } from "../../../engine/onnx/import.ts";
import { summarize } from "../../../engine/summary.ts";
import { publishedWeights } from "../../../engine/weights/open.ts";
import {
  addGradient,
  addHeatMap,
  CHOSEN,
  classActivation,
  GRADIENT,
  gradCam,
  type Heat,
  type HeatMapSource,
  MAPS,
} from "./heat_map.ts";
import { type LayerNode, layersOf } from "./layer_graph.ts";
import { type LoadingOptions, loadModel, type WeightsChoice } from "./load_model.ts";
import type * as occlusion from "./occlusion.ts";
import { perDevice } from "./per_device.ts";

/** What the page lets a visitor choose of a net's options. */
export type Building = { readonly numClasses?: number };

/** A checkpoint that is published. */
export interface PublishedFile {
  readonly name: string;
  readonly url: string;
  /** Where a page may read the same tensors; without it, a visitor has to fetch the file. */
  readonly readable?: string;
}

/** What the page tells of a net before it is loaded. */
export interface NetDescription {
  readonly name: string;
  /** Of its own last layer. */
  readonly numClasses: number;
  readonly parameters: number;
  readonly multiplyAdds: number;
  /** Of a checkpoint as float32. */
  readonly bytes: number;
  readonly layers: readonly LayerNode[];
  readonly published: readonly PublishedFile[];
  readonly heatMap: HeatMapSource;
  /** The part of a picture's shorter side that it looks at. */
  readonly crop: number;
  /** The first layer's filters: its node, and the parameter that they are. */
  readonly filters?: { readonly node: number; readonly param: string };
}

/** What a net has answered, or refused to. */
export interface Answer {
  /** Of every class. */
  readonly probabilities: Float32Array;
  /** From the picture to the probabilities. */
  readonly milliseconds: number;
}

/** What the page needs of a net that was loaded. */
export interface LoadedNet {
  /** With the options that its weights want. */
  readonly description: NetDescription;
  readonly warnings: readonly string[];
  /** Names of its classes, as far as there are any. */
  readonly labels: readonly string[];
}

export type HeatKind = "activation" | "gradient" | "occlusion";

/** A net that was loaded. */
interface Loaded {
  readonly definition: AnyNet & Partial<OnnxNet>;
  readonly model: Model;
  readonly weights: WeightsChoice;
  readonly source: HeatMapSource;
  /** The plan for Grad-CAM on the device that there is; made when it is first asked for. */
  readonly gradientPlan: () => Promise<Plan>;
  readonly coveredPlan: () => Promise<Covered>;
}

/** A net of images of which a part is covered. */
interface Covered {
  readonly plan: Plan;
  readonly batch: number;
  /** Height and width. */
  readonly image: Shape;
  readonly tools: typeof occlusion;
}

/** A picture, and what was found out about it. */
interface Seen {
  readonly picture: ImageBitmap;
  probabilities?: Float32Array;
  maps?: Tensor;
  /** The probabilities with each part covered, one after the other. */
  covered?: Float32Array;
}

const LOOK = [...OUTPUTS, MAPS];

/** One net that looks at one picture after the other, and again on another device where one was lost. */
export class Looking {
  readonly #gpu: Gpu;
  #net: Loaded | undefined;
  /** The plan for the layer whose activations are shown. */
  #layer: string | undefined;
  /** What was looked at last, for layers and heat maps that are asked for later. */
  #seen: Seen | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  async describe(name: string, options: Building): Promise<NetDescription> {
    const definition = await this.#gpu.definition(name);
    return this.#describe(definition, trace(definition, options));
  }

  #describe(definition: AnyNet, graph: Graph): NetDescription {
    const { layers, parameters, multiplyAdds } = summarize(graph, this.#gpu.limits);
    const published = Object.entries(definition.weights).map(([weights, { url, mirror }]) => {
      const isReadable = !/^https:\/\/download\.pytorch\.org\//.test(String(url));
      return { name: weights, url: String(url), readable: mirror ?? (isReadable ? String(url) : undefined) };
    });
    const whole = published.length > 0 ? trace(definition, { weights: "DEFAULT" }) : graph;
    return {
      name: definition.name,
      numClasses: definition.options.numClasses,
      parameters,
      multiplyAdds,
      bytes: 4 * [...paramShapes(whole).values()].reduce((sum, shape) => sum + sizeOf(shape), 0),
      layers: layersOf(graph, layers),
      published,
      heatMap: addHeatMap(graph),
      crop: cropOf(definition),
      filters: firstFilters(graph),
    };
  }

  /** Loads a net in place of the one before. */
  async load(name: string, weights: WeightsChoice, options: Building, loading: LoadingOptions): Promise<LoadedNet> {
    await this.#unload();
    const definition: Loaded["definition"] =
      "model" in weights ? await readModel(weights.model) : await this.#gpu.definition(name);
    try {
      return await this.#loadAs(definition, weights, options, loading);
    } catch (error) {
      await definition.close?.();
      throw error;
    }
  }

  async #loadAs(
    definition: Loaded["definition"],
    weights: WeightsChoice,
    options: Building,
    loading: LoadingOptions,
  ): Promise<LoadedNet> {
    const given = { ...options, weights: nameOf(weights) };
    const graph = trace(definition, given);
    const description = this.#describe(definition, graph);
    const { heatMap: source } = description;
    const model = await loadModel(this.#gpu, definition, weights, loading, { options: given, graph, outputs: LOOK });
    if (loading.signal.aborted) {
      await model.dispose();
      loading.signal.throwIfAborted();
    }
    await this.#unload();
    const gradientPlan = perDevice(this.#gpu, async () => {
      const graph = trace(definition, given);
      addHeatMap(graph);
      await addGradient(graph);
      return compile(graph, [...LOOK, GRADIENT], this.#gpu);
    });
    const coveredPlan = perDevice(this.#gpu, async () => {
      const tools = await import("./occlusion.ts");
      const { graph, ...covered } = tools.traceCovered(this.#gpu, definition, given);
      return { ...covered, plan: compile(graph, OUTPUTS, this.#gpu), tools };
    });
    this.#net = { definition, model, weights, source, gradientPlan, coveredPlan };
    const [, classes] = graph.nodes[graph.find(OUTPUTS[0])].shape;
    const warnings = [...(definition.notes ?? []), ...model.warnings];
    return {
      description,
      warnings: [...new Set(warnings)],
      labels: await labelsOf(definition, classes, model.checkpoint),
    };
  }

  async #unload(): Promise<void> {
    const net = this.#net;
    this.#net = this.#layer = undefined;
    if (this.#seen) this.#seen = { picture: this.#seen.picture };
    await net?.model.dispose();
    await net?.definition.close?.();
  }

  #loaded(): Loaded {
    if (this.#net) return this.#net;
    throw new UsageError("no net is loaded: choose its weights first");
  }

  #looked(): Seen {
    if (this.#seen) return this.#seen;
    throw new UsageError("there is no picture to look at yet");
  }

  async look(picture: ImageBitmap): Promise<Answer> {
    this.#seen?.picture.close();
    const seen: Seen = { picture };
    this.#seen = seen;
    const net = this.#loaded();
    const start = performance.now();
    const { probabilities, [MAPS]: maps } = await this.#gpu.survive(async () =>
      this.#run(net, seen, await net.model.executable(LOOK), {}, ["probabilities", MAPS]),
    );
    const milliseconds = performance.now() - start;
    // Throws where there is no answer.
    mostProbable(net.definition.name, probabilities.data, [], 1);
    seen.probabilities = probabilities.data;
    seen.maps = maps;
    return { probabilities: probabilities.data, milliseconds };
  }

  /** Runs a plan on a picture, and on what else it wants. */
  async #run(
    { definition, weights }: Loaded,
    { picture }: Seen,
    executable: Executable,
    more: Readonly<Record<string, Input>>,
    read: readonly string[],
  ) {
    const { shape } = executable.plan.inputs.find(({ name }) => name === "x") as { shape: Shape };
    const published = publishedWeights(definition, nameOf(weights));
    const batch = await takePictures([picture], {
      device: this.#gpu,
      definition,
      shape,
      dtype: "f32",
      transforms: published?.transforms,
    });
    try {
      return await executable.run({ ...more, x: batch.slice(0, 1) }, read);
    } finally {
      batch.dispose();
    }
  }

  /** The output of a node for the picture that was looked at last; its plan is kept until another one is asked for. */
  async activations(node: number): Promise<Tensor> {
    const net = this.#loaded();
    const seen = this.#looked();
    const name = `node: ${node}`;
    const { graph } = net.model;
    if (!graph.names.has(name)) graph.name(name, graph.value(node));
    if (this.#layer !== name) {
      const before = this.#layer;
      this.#layer = name;
      if (before) await net.model.release([before]);
    }
    const run = async () => this.#run(net, seen, await net.model.executable([name]), {}, [name]);
    return (await this.#gpu.survive(run))[name];
  }

  /** A parameter of the net, of which no more than `most` along its first dimension are read. */
  async parameter(name: string, most: number): Promise<Tensor> {
    const { model } = this.#loaded();
    const shape = paramShapes(model.graph).get(name);
    if (!shape) throw new UsageError("the net has no such parameter");
    const [all, ...rest] = shape;
    return { shape, data: await model.checkpoint.read(name, 0, Math.min(all, most) * sizeOf(rest)) };
  }

  /** Where the last picture speaks for a class; undefined for an occlusion that was not computed yet. */
  async heat(kind: HeatKind, classIndex: number): Promise<Heat | undefined> {
    const net = this.#loaded();
    const seen = this.#looked();
    const { source } = net;
    if (kind === "occlusion") {
      const { probabilities, covered } = seen;
      if (!probabilities || !covered) return undefined;
      return (await import("./occlusion.ts")).lostBy(probabilities, covered, classIndex);
    }
    if (kind === "activation") {
      if (!seen.maps || !source.classWeights) throw new UsageError("there is no class activation map of this net");
      const channels = source.shape[1];
      const row = await net.model.checkpoint.read(source.classWeights, classIndex * channels, channels);
      return classActivation(source, seen.maps, row);
    }
    const { [MAPS]: maps, [GRADIENT]: gradient } = await this.#gpu.survive(async () => {
      const plan = await net.gradientPlan();
      const chosen = new Float32Array(seen.probabilities?.length ?? 0);
      chosen[classIndex] = 1;
      return this.#run(net, seen, await net.model.prepare(plan), { [CHOSEN]: chosen }, [MAPS, GRADIENT]);
    });
    return gradCam(source, maps, gradient);
  }

  /** Covers one part of the last picture after the other. */
  async occlude({ signal, onProgress }: LoadingOptions): Promise<void> {
    const net = this.#loaded();
    const seen = this.#looked();
    const classes = seen.probabilities?.length ?? 0;
    const { plan, batch, image, tools } = await this.#gpu.survive(net.coveredPlan);
    const { GRID, masksFrom, VISIBLE } = tools;
    const total = GRID * GRID;
    const covered = new Float32Array(total * classes);
    try {
      for (let first = 0; first < total; first += batch) {
        signal.throwIfAborted();
        onProgress({ phase: "tune", file: net.definition.name, loaded: first, total });
        const masks = { [VISIBLE]: masksFrom(first, batch, image) };
        const { probabilities } = await this.#gpu.survive(async () =>
          this.#run(net, seen, await net.model.prepare(plan), masks, ["probabilities"]),
        );
        covered.set(probabilities.data.subarray(0, Math.min(batch, total - first) * classes), first * classes);
      }
      seen.covered = covered;
    } finally {
      await net.model.release(plan);
    }
  }
}

/** An ONNX model as a net. Throws what readOnnx() throws. */
const readModel = async (file: Blob): Promise<OnnxNet> => (await import("../../../onnx.ts")).readOnnx(file);

/** The name of published weights. */
const nameOf = (weights: WeightsChoice): string | undefined => ("published" in weights ? weights.published : undefined);

function cropOf(definition: AnyNet): number {
  const { crop, resize } = publishedWeights(definition, "DEFAULT")?.transforms ?? definition.transforms ?? {};
  return crop && resize ? Math.min(1, crop / resize) : 1;
}

/** The filters that the net looks at its images with, if it begins with any. */
function firstFilters({ nodes }: Graph): NetDescription["filters"] {
  const node = nodes.findIndex((node) => node.kind === "op" && node.kernel.name === "conv2d");
  const first = nodes[node];
  if (first?.kind !== "op") return undefined;
  const weights = nodes[first.inputs.w];
  return weights.kind === "param" && !weights.from ? { node, param: weights.name } : undefined;
}
