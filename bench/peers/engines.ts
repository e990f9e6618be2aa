import type { Shape, Tensor } from "../../engine/ground/tensor.ts";
import type { Host } from "./host.ts";

// What is compared: plain data, so that nothing of an engine is loaded before it is asked for.

export type EngineName = "shadenet" | "onnxruntime" | "tfjs" | "jax-js" | "litert" | "pytorch";

/** Where an engine computes: on an adapter, on the CPU by machine code, or there by WebAssembly. */
export type Provider = "webgpu" | "cpu" | "wasm";

/** One engine on one of its providers: what gets a process of its own and a row in the results. */
export interface Contender {
  readonly engine: EngineName;
  readonly provider: Provider;
}

/** How a net is trained where it is not only run. */
export interface Training {
  /** Steps whose losses are compared. */
  readonly steps: number;
  /** The net's, and the size of its images. */
  readonly options: { readonly numClasses: number; readonly imageSize: number };
  /** SGD, as gpu.train() takes it. */
  readonly optimizer: {
    readonly name: "sgd";
    readonly lr: number;
    readonly momentum: number;
    readonly weightDecay: number;
  };
}

/** A net and the files that hold it, by their paths, or in a page by their addresses. */
export interface NetFiles {
  readonly net: string;
  /** Of the input: [N, C, H, W]. */
  readonly shape: Shape;
  /** Undefined where the net is run. */
  readonly training?: Training;
  /** A model that is the net, by its path and the name of its input. */
  readonly onnx?: { readonly path: string; readonly input: string };
  /** The .safetensors file that every engine reads, or that its model was made from. */
  readonly weights: string;
  /** The .onnx file. */
  readonly model: string;
  /** The .tflite file. */
  readonly tflite: string;
  /** A .safetensors file with the input and its labels. */
  readonly batch: string;
}

/** What a contender's process is told. */
export interface Job extends Contender, NetFiles {
  /** Bytes that the adapter can bind at once. */
  readonly maxBinding: number;
  /** Whether the adapter is a software one, which needs a core of its own while Node waits for it. */
  readonly software: boolean;
}

/** How a job's net is trained, for engines that only train. */
export function trainingOf({ training, net }: Job): Training {
  if (!training) throw new Error(`${net} is not to be trained`);
  return training;
}

/** Uploads the input, runs the net, and reads its logits back; or makes a step of training, and reads its loss. */
export type Run = () => Promise<ArrayLike<number>>;

/** Loads an engine and a job's net in it, to be run or trained on an input in NCHW. */
export type Open = (job: Job, input: Tensor, host: Host) => Promise<Run>;

export interface Engine {
  readonly providers: readonly Provider[];
  /** The npm packages it needs, installed in bench/peers/; the first one's version is the engine's. */
  readonly packages: readonly string[];
  /** Of one that is no npm package. */
  readonly version?: string;
}

/** The engines that run in one place, by their names. */
export type Engines = Readonly<Partial<Record<EngineName, Engine>>>;

const EVERYWHERE = {
  shadenet: { providers: ["webgpu"], packages: [] },
  tfjs: { providers: ["webgpu"], packages: ["@tensorflow/tfjs-core", "@tensorflow/tfjs-backend-webgpu"] },
  "jax-js": { providers: ["webgpu"], packages: ["@jax-js/jax"] },
} as const satisfies Engines;

export const IN_NODE: Engines = {
  shadenet: EVERYWHERE.shadenet,
  onnxruntime: { providers: ["webgpu", "cpu"], packages: ["onnxruntime-node"] },
  tfjs: EVERYWHERE.tfjs,
  "jax-js": EVERYWHERE["jax-js"],
};

/** Those that read a model as it is. */
export const OF_ONNX: Engines = { shadenet: IN_NODE.shadenet, onnxruntime: IN_NODE.onnxruntime };

export const IN_BROWSER: Engines = {
  shadenet: EVERYWHERE.shadenet,
  onnxruntime: { providers: ["webgpu", "wasm"], packages: ["onnxruntime-web"] },
  tfjs: EVERYWHERE.tfjs,
  "jax-js": EVERYWHERE["jax-js"],
  // Its models are written by the last of these.
  litert: { providers: ["webgpu", "wasm"], packages: ["@litertjs/core", "@litertjs/wasm-utils", "flatbuffers"] },
};

export const TRAINED = {
  shadenet: EVERYWHERE.shadenet,
  // The last of these has the gradients.
  tfjs: { ...EVERYWHERE.tfjs, packages: [...EVERYWHERE.tfjs.packages, "@tensorflow/tfjs-layers"] },
  "jax-js": EVERYWHERE["jax-js"],
  // Where python3 has it, for scale.
  pytorch: { providers: ["cpu"], packages: [] },
} as const satisfies Engines;

export const namesOf = (engines: Engines): EngineName[] => Object.keys(engines) as EngineName[];

/** A contender as the table and `agreesWith` have it. */
export const nameOf = ({ engine, provider }: Contender): string =>
  Object.hasOwn(EVERYWHERE, engine) ? engine : `${engine} ${provider}`;

/** The contenders of some engines, in the order in which the engines are listed. */
export const contendersOf = (engines: Engines, names: readonly string[]): Contender[] =>
  namesOf(engines)
    .filter((engine) => names.includes(engine))
    .flatMap((engine) => engines[engine]?.providers.map((provider) => ({ engine, provider })) ?? []);
