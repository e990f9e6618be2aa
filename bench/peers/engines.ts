import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Shape, Tensor } from "../../engine/ground/tensor.ts";
import { ownVersion, packageFile } from "../../tools/package.ts";

// What is compared: plain data, so that nothing of an engine is loaded before it is asked for.

export type EngineName = "shadenet" | "onnxruntime" | "tfjs" | "jax-js";

/** Where an engine computes. */
export type Provider = "webgpu" | "cpu";

/** One engine on one of its providers: what gets a process of its own and a row in the results. */
export interface Contender {
  readonly engine: EngineName;
  readonly provider: Provider;
}

/** A net and the files that hold it. */
export interface NetFiles {
  readonly net: string;
  /** Of the input: [N, C, H, W]. */
  readonly shape: Shape;
  /** The .safetensors file that every engine reads, or that its ONNX model was made from. */
  readonly weights: string;
  /** The .onnx file. */
  readonly model: string;
}

/** What a contender's process is told. */
export interface Job extends Contender, NetFiles {
  /** Bytes that the adapter can bind at once. */
  readonly maxBinding: number;
  /** Whether the adapter is a software one, which needs a core of its own while Node waits for it. */
  readonly software: boolean;
}

/** Uploads the input, runs the net, and reads its logits back. */
export type Run = () => Promise<ArrayLike<number>>;

/** Loads an engine and a job's net in it, to be run on an input in NCHW. */
export type Open = (job: Job, input: Tensor) => Promise<Run>;

interface Engine {
  readonly providers: readonly Provider[];
  /** The npm packages it needs, installed in bench/peers/; the first one's version is the engine's. */
  readonly packages: readonly string[];
}

export const ENGINES: Readonly<Record<EngineName, Engine>> = {
  shadenet: { providers: ["webgpu"], packages: [] },
  onnxruntime: { providers: ["webgpu", "cpu"], packages: ["onnxruntime-node"] },
  tfjs: { providers: ["webgpu"], packages: ["@tensorflow/tfjs-core", "@tensorflow/tfjs-backend-webgpu"] },
  "jax-js": { providers: ["webgpu"], packages: ["@jax-js/jax"] },
};

export const ENGINE_NAMES = Object.keys(ENGINES) as EngineName[];

/** A contender as the table and `agreesWith` have it. */
export const nameOf = ({ engine, provider }: Contender): string =>
  ENGINES[engine].providers.length > 1 ? `${engine} ${provider}` : engine;

/** The contenders of some engines, in the order in which the engines are listed here. */
export const contendersOf = (engines: readonly EngineName[]): Contender[] =>
  ENGINE_NAMES.filter((engine) => engines.includes(engine)).flatMap((engine) =>
    ENGINES[engine].providers.map((provider) => ({ engine, provider })),
  );

/** The folder that `npm ci --prefix bench/peers` fills. */
const peersFolder = packageFile("bench/peers");

/** The packages of some engines that are not installed. */
export const missingPackages = (engines: readonly EngineName[], folder = peersFolder): string[] =>
  engines.flatMap((engine) => ENGINES[engine].packages.filter((name) => !existsSync(manifest(name, folder))));

const manifest = (name: string, folder: string): string => join(folder, "node_modules", name, "package.json");

/** The installed version of an engine. */
export function versionOf(engine: EngineName): string {
  const [name] = ENGINES[engine].packages;
  return name ? JSON.parse(readFileSync(manifest(name, peersFolder), "utf8")).version : ownVersion();
}

/** Loads a package from bench/peers/node_modules, which is not where Node looks from here. */
export const requirePeer = createRequire(join(peersFolder, "package.json"));
