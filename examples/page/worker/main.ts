// What runs in the page's workers: the library with methods of the page's own. See ../session.ts.
import { type Context, openGpu, serveGpu } from "../../../browser.ts";
import type { WeightsChoice } from "./load_model.ts";
import { type Building, Looking, type LookOptions } from "./looking.ts";
import { Playground } from "./playground.ts";
import { timeNet } from "./timing.ts";

let looking: Looking | undefined;
let playground: Playground | undefined;

const lookingOf = ({ gpu }: Context): Looking => {
  looking ??= new Looking(gpu);
  return looking;
};

const playgroundOf = ({ gpu }: Context): Playground => {
  playground ??= new Playground(gpu);
  return playground;
};

serveGpu(openGpu, {
  // Images: one net at a time.
  describe: (context, net: string, options: Building) => lookingOf(context).describe(net, options),
  canvas: (context, canvas: OffscreenCanvas) => lookingOf(context).useCanvas(canvas),
  load: (context, net: string, weights: WeightsChoice, options: Building) =>
    lookingOf(context).load(net, weights, options, context),
  look: (context, picture: ImageBitmap, options: LookOptions) => lookingOf(context).look(picture, options),
  activations: (context, layer: string) => lookingOf(context).activations(layer),
  heat: (context, classIndex: number) => lookingOf(context).heat(classIndex),

  // Time
  time: (context, net: string) => timeNet(context.gpu, net, context),

  // Kernel playground
  kernels: (context) => playgroundOf(context).list(),
  check: (context, name: string, wgsl: string) => playgroundOf(context).check(name, wgsl),
  compare: (context, name: string, wgsl: string) => playgroundOf(context).compare(name, wgsl, context.signal),
  race: (context, name: string, wgsl: string) => playgroundOf(context).race(name, wgsl, context.signal),
  runNet: (context, name: string, wgsl: string) => playgroundOf(context).runNet(name, wgsl, context),
});
