// What runs in the page's workers: the library with methods of the page's own. See ../session.ts.
import { type Context, openGpu, serveGpu } from "../../../browser.ts";
import type { Image } from "../../../engine/image/image.ts";
import type { Weights } from "../../../engine/weights/open.ts";
import { readParameters, type WeightsChoice } from "./load_model.ts";
import { type Building, type HeatKind, Looking } from "./looking.ts";
import { perDevice } from "./per_device.ts";
import { Playground } from "./playground.ts";
import type { Teaching } from "./teaching.ts";
import { previewNet, timeNet } from "./timing.ts";
import type { DigitFiles, Settings, Training } from "./training.ts";

let looking: Looking | undefined;
let training: Promise<Training> | undefined;
let teaching: Promise<Teaching> | undefined;
let playground: (() => Playground) | undefined;

const lookingOf = ({ gpu }: Context): Looking => {
  looking ??= new Looking(gpu);
  return looking;
};

/** Loaded by the worker that trains. */
const trainingOf = ({ gpu }: Context): Promise<Training> => {
  training ??= import("./training.ts").then(({ Training }) => new Training(gpu));
  return training;
};

/** Loaded by the worker that teaches, whose methods are its own. */
const teach =
  <Name extends "open" | "look" | "forget" | "teach" | "save" | "digits">(name: Name) =>
  async (context: Context, ...args: unknown[]) => {
    teaching ??= import("./teaching.ts").then(({ Teaching }) => new Teaching(context.gpu));
    const made = await teaching;
    return (made[name] as (...given: unknown[]) => unknown).call(made, ...args, context);
  };

const playgroundOf = async ({ gpu }: Context): Promise<Playground> => {
  await gpu.ready();
  playground ??= perDevice(gpu, () => new Playground(gpu));
  return playground();
};

serveGpu(openGpu, {
  /** Resolves with the adapter once there is a device, opened again if it was lost. */
  ready: async ({ gpu }) => {
    await gpu.ready();
    return gpu.adapter;
  },

  // Digits
  parameters: async ({ gpu }, net: string, weights: Weights) => readParameters(gpu, await gpu.definition(net), weights),

  // Train: one net
  digits: async (context, files: DigitFiles) => (await trainingOf(context)).read(files, context),
  train: async (context, settings: Settings, steps: number) =>
    (await trainingOf(context)).train(settings, steps, context),
  saveTraining: async (context) => (await trainingOf(context)).save(),
  forget: async (context) => (await trainingOf(context)).forget(),

  // Teach: one net
  openBody: teach("open"),
  lookAt: teach("look"),
  forgetSamples: teach("forget"),
  teach: teach("teach"),
  saveTaught: teach("save"),
  someDigits: teach("digits"),

  // Images: one net at a time.
  describe: (context, net: string, options: Building) => lookingOf(context).describe(net, options),
  load: (context, net: string, weights: WeightsChoice, options: Building) =>
    lookingOf(context).load(net, weights, options, context),
  look: (context, picture: ImageBitmap) => lookingOf(context).look(picture),
  activations: (context, node: number) => lookingOf(context).activations(node),
  parameter: (context, name: string, most: number) => lookingOf(context).parameter(name, most),
  heat: (context, kind: HeatKind, classIndex: number) => lookingOf(context).heat(kind, classIndex),
  occlude: (context) => lookingOf(context).occlude(context),

  // Time
  preview: ({ gpu }, net: string) => previewNet(gpu, net),
  time: (context, net: string) => timeNet(context.gpu, net, context),

  // Kernel playground
  kernels: async (context) => (await playgroundOf(context)).list(),
  check: async (context, name: string, wgsl: string) => (await playgroundOf(context)).check(name, wgsl),
  compare: async (context, name: string, wgsl: string) =>
    (await playgroundOf(context)).compare(name, wgsl, context.signal),
  race: async (context, name: string, wgsl: string) => (await playgroundOf(context)).race(name, wgsl, context.signal),
  runNet: async (context, name: string, wgsl: string) => (await playgroundOf(context)).runNet(name, wgsl, context),
  ladder: async (context, name: string) => (await playgroundOf(context)).ladder(name, context),

  // How a convolution becomes one command buffer
  compileAndRun: async ({ gpu, onProgress }, image: Image) =>
    (await import("./compiling.ts")).compileAndRun(gpu, image, onProgress),
});
