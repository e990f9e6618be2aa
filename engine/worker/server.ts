import type { LoadOptions } from "../definition.ts";
import type { Host } from "../device/host.ts";
import { timeSteps } from "../device/profile.ts";
import type { Gpu, OpenOptions } from "../gpu.ts";
import { check, checkObject, DisposedError, show, UsageError } from "../ground/errors.ts";
import { sizeOf } from "../ground/tensor.ts";
import { isPicture, type Picture } from "../image/picture.ts";
import { Net, type RunInput, type RunOptions, type RunResult } from "../net.ts";
import { browserHost } from "../web/host.ts";
import {
  type Answer,
  encodeError,
  type GpuFacts,
  type NetFacts,
  type NetProfile,
  type Release,
  type WorkerCall,
} from "./messages.ts";

/** What a method has besides its arguments. */
export interface Context {
  readonly gpu: Gpu;
  /** The net that it was called on, if it was called on one. */
  readonly net?: Net;
  /** Aborts when the page no longer waits. */
  readonly signal: AbortSignal;
  /** Hands something to the page's onProgress. */
  onProgress(progress: unknown): void;
}

/** What a page can call: arguments and result are cloned or transferred. A Net that it returns stays in the worker. */
// biome-ignore lint/suspicious/noExplicitAny: arguments differ from method to method
export type Method = (context: Context, ...args: any[]) => unknown;

/** What a worker has as its global object. */
interface Port {
  onmessage: ((event: { readonly data: WorkerCall | Release }) => void) | null;
  postMessage(message: Answer, transfer?: Transferable[]): void;
}

/**
 * Makes a worker serve the openWorkerGpu() of its page. Call it once, at the top of the worker's module. `open` opens the
 * GPU, such as openGpu(). `methods` come on top of those that WorkerGpu and WorkerNet have; the page calls them by
 * gpu.call() and net.call(), and may transfer canvases to them, on which they can draw with nothing read back.
 */
export function serveGpu(
  open: (options: OpenOptions, host: Host) => Promise<Gpu>,
  methods: Readonly<Record<string, Method>> = {},
): void {
  check(typeof open === "function", "what opens the GPU", open, "a function");
  checkObject("the methods", methods);
  for (const [name, method] of Object.entries(methods))
    check(typeof method === "function", `the method ${show(name)}`, method, "a function");
  const port = globalThis as unknown as Port;
  const all = new Map(Object.entries({ ...METHODS, ...methods }));
  const running = new Map<number, AbortController>();
  const nets = new Map<number, Net>();
  let gpu: Gpu | undefined;

  async function start(id: number, options: OpenOptions, base: string, lock: string): Promise<GpuFacts> {
    if (await hold(lock)) port.postMessage({ id, progress: "locked" });
    const onLost = (error: Error) => port.postMessage({ lost: encodeError(error) });
    gpu = await open({ ...options, onLost }, hostAt(base));
    return { adapter: gpu.adapter, warnings: gpu.warnings };
  }

  async function perform({ id, method, net: on, args }: WorkerCall, signal: AbortSignal): Promise<unknown> {
    if (method === "open" && !gpu) return start(id, ...(args as [OpenOptions, string, string]));
    const net = on === undefined ? undefined : nets.get(on);
    if (!gpu) throw new DisposedError("the GPU");
    if (on !== undefined && !net) throw new DisposedError("the net");
    const known = all.get(method);
    if (!known) throw new UsageError(`the worker has no method ${show(method)}; it has ${[...all.keys()].join(", ")}`);
    const onProgress = (progress: unknown) => port.postMessage({ id, progress });
    return known({ gpu, net, signal, onProgress }, ...args);
  }

  function keep(id: number, net: Net, signal: AbortSignal): void {
    if (signal.aborted) net.dispose();
    else {
      nets.set(id, net);
      port.postMessage({ id, net: factsOf(net) });
    }
  }

  async function answer(call: WorkerCall): Promise<void> {
    const { id } = call;
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const value = await perform(call, controller.signal);
      if (value instanceof Net) keep(id, value, controller.signal);
      else port.postMessage({ id, value }, call.method === "run" ? buffersOf(value as RunResult) : []);
    } catch (error) {
      port.postMessage({ id, error: encodeError(error) });
    } finally {
      running.delete(id);
    }
  }

  function release({ release: id }: Release): void {
    running.get(id)?.abort();
    nets.get(id)?.dispose();
    nets.delete(id);
  }

  port.onmessage = ({ data }) => {
    if ("release" in data) release(data);
    else answer(data);
  };
}

const METHODS: Readonly<Record<string, Method>> = {
  loadNet: ({ gpu, signal, onProgress }, name: string, options: LoadOptions) =>
    gpu.loadNet(name, { ...optionsOf(options), signal, onProgress }),
  run: (context, input: RunInput, options: RunOptions & { readonly location?: "memory" }) => {
    const given: typeof options = { ...optionsOf(options), signal: context.signal };
    if ((given.location as string | undefined) === "gpu")
      throw new UsageError("a worker's outputs cannot stay on its device: read them");
    return closing(input, netOf(context).run(input, given));
  },
  classify: (context, pictures: Picture, options: object) =>
    closing(pictures, netOf(context).classify(pictures, { ...optionsOf(options), signal: context.signal })),
  profile: (context, runs?: number): Promise<NetProfile> =>
    context.gpu.survive(async () => {
      const executable = await netOf(context).executable();
      const [{ shape }] = executable.plan.inputs;
      const x = Float32Array.from({ length: sizeOf(shape) }, () => 2 * Math.random() - 1);
      const timings = await timeSteps(executable, { x }, runs, (ended) => {
        context.signal.throwIfAborted();
        context.onProgress(ended);
      });
      const steps = executable.plan.steps.map(({ label, kernel, choice, grid, flops, bytes }) => {
        return { label, kernel, choice, grid, flops, bytes };
      });
      return { ...timings, steps };
    }),
};

/** What a page has sent for options, through call() as well. */
function optionsOf<T extends object>(given: T): T {
  checkObject("options", given);
  return given;
}

function netOf({ net }: Context): Net {
  if (net) return net;
  throw new UsageError("this method is one of a net: use net.call()");
}

/** Closes the pictures that were sent here, which are nobody else's, once they were used. */
async function closing<T>(pictures: RunInput, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } finally {
    for (const picture of [pictures].flat()) if (isPicture(picture) && "close" in picture) picture.close();
  }
}

const buffersOf = ({ logits, probabilities, features }: RunResult): Transferable[] =>
  [logits, probabilities, ...Object.values(features)].map(({ data }) => data.buffer as ArrayBuffer);

const factsOf = ({ definition, inputShape, layers, warnings }: Net): NetFacts => ({
  name: definition.name,
  inputShape,
  layers,
  warnings,
});

/** The browser's host for a page, to whose address others are relative: the worker may lie elsewhere. */
const hostAt = (base: string): Host => ({
  ...browserHost,
  open: (location, options) => browserHost.open(resolve(location, base), options),
});

/** What is no address stays what it is, for whoever opens it to refuse. */
function resolve(location: string | URL, base: string): string | URL {
  try {
    return new URL(location, base);
  } catch {
    return location;
  }
}

/** Takes a lock for as long as the worker lives; false where there are no locks. */
function hold(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const forGood = () => {
      resolve(true);
      return new Promise(() => {});
    };
    if (!navigator.locks) return resolve(false);
    navigator.locks.request(name, forGood).catch(() => resolve(false));
  });
}
