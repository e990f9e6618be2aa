import type { LoadOptions } from "../definition.ts";
import type { AdapterSummary } from "../device/device.ts";
import type { OpenOptions } from "../gpu.ts";
import {
  check,
  checkFields,
  checkObject,
  checkOptions,
  checkText,
  DisposedError,
  FileError,
  GpuError,
  show,
  UsageError,
} from "../ground/errors.ts";
import type { Shape } from "../ground/tensor.ts";
import { isInMemory, isPicture, isTexture, type Picture, sizeOfPicture, unreadable } from "../image/picture.ts";
import type { ClassifyOptions, Net, Prediction } from "../net.ts";
import { isStream } from "../weights/checkpoint.ts";
import {
  type Answer,
  decodeError,
  type GpuFacts,
  type NetFacts,
  type NetProfile,
  type WorkerCall,
} from "./messages.ts";

/** What openGpu() takes, as far as it can be sent to a worker. */
export interface WorkerOptions extends Pick<OpenOptions, "powerPreference" | "limits"> {
  /**
   * Called whenever the device is lost, which the next call opens again, and once if the worker ends (not when it is
   * closed): all calls fail with that error then, until another worker is opened.
   */
  readonly onLost?: (error: GpuError) => void;
  /** Gives up opening. */
  readonly signal?: AbortSignal;
}

export interface CallOptions {
  /** When it aborts, the call rejects with its reason at once, and the worker stops working for it. */
  readonly signal?: AbortSignal;
  // biome-ignore lint/suspicious/noExplicitAny: what it is depends on the method
  readonly onProgress?: (progress: any) => void;
  /** What of the arguments is handed over, not copied: the page has it no longer. */
  readonly transfer?: readonly Transferable[];
}

/** Opens the GPU in a worker that calls serveGpu(). The worker is the result's from here on, also if that fails. */
export async function openInWorker(worker: Worker, options: WorkerOptions): Promise<WorkerGpu> {
  checkFields("worker", worker, { postMessage: "function", terminate: "function" });
  checkOptions("openWorkerGpu()", options, ["powerPreference", "limits", "onLost", "signal"]);
  const { signal, onLost, ...open } = options;
  const channel = new Channel(worker, onLost);
  const base = globalThis.document?.baseURI ?? location.href;
  const lock = `shadenet ${performance.timeOrigin} ${Math.random()}`;
  worker.onerror = (event) => {
    event.preventDefault();
    const reason = event.message ? ` (${event.message})` : "";
    channel.end(
      new FileError(`the worker cannot be started${reason}: is its script where it should be, with all it imports?`),
    );
  };
  try {
    // The worker's only progress: that it holds the lock.
    const onProgress = () => channel.watch(lock);
    const facts = (await channel.call(
      { method: "open", args: [open, base, lock] },
      { signal, onProgress },
    )) as GpuFacts;
    worker.onerror = null;
    return new WorkerGpu(channel, facts);
  } catch (error) {
    channel.end(error as Error);
    throw error;
  }
}

interface Waiting {
  readonly onProgress: CallOptions["onProgress"];
  resolve(value: unknown): void;
  reject(reason: unknown): void;
}

/** The calls that wait for a worker's answer. Every one of them ends, if only because the worker does. */
class Channel {
  readonly #worker: Worker;
  readonly #onLost: WorkerOptions["onLost"];
  readonly #waiting = new Map<number, Waiting>();
  readonly #watching = new AbortController();
  #calls = 0;
  #ended: Error | undefined;

  constructor(worker: Worker, onLost: WorkerOptions["onLost"]) {
    this.#worker = worker;
    this.#onLost = onLost;
    worker.onmessage = ({ data }) => this.#receive(data);
    worker.onmessageerror = () => this.#lose("sent what this page cannot read");
  }

  /** Sends a call at once; resolves with what the method returns, or a WorkerNet where that is a net. */
  call(call: Omit<WorkerCall, "id">, options: CallOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      checkText("a method", call.method);
      check(
        Array.isArray(call.args) && call.args.length <= 99,
        `${show(call.method)}: args`,
        call.args,
        "an array, of 99 at most",
      );
      checkOptions(show(call.method), options, ["signal", "onProgress", "transfer"]);
      const { signal, onProgress, transfer = [] } = options;
      signal?.throwIfAborted();
      if (this.#ended) throw this.#ended;
      const id = ++this.#calls;
      this.#post({ ...call, id }, transfer);
      const abort = () => {
        this.release(id);
        end(() => reject(signal?.reason));
      };
      const end = (settle: () => void) => {
        this.#waiting.delete(id);
        signal?.removeEventListener("abort", abort);
        settle();
      };
      signal?.addEventListener("abort", abort);
      this.#waiting.set(id, {
        onProgress,
        resolve: (value) => end(() => resolve(value)),
        reject: (reason) => end(() => reject(reason)),
      });
    });
  }

  #post(call: WorkerCall, transfer: readonly Transferable[]): void {
    try {
      this.#worker.postMessage(call, [...transfer]);
    } catch (cause) {
      throw new UsageError(
        `${show(call.method)}: its arguments cannot be sent to a worker: ${show((cause as Error).message)}`,
        {
          cause,
        },
      );
    }
  }

  /** Ends a call in the worker, and disposes of what it has made. */
  release(id: number): void {
    if (!this.#ended) this.#worker.postMessage({ release: id });
  }

  #receive(answer: Answer): void {
    if ("lost" in answer) {
      this.#onLost?.(decodeError(answer.lost) as GpuError);
      return;
    }
    const { id } = answer;
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    if ("error" in answer) waiting.reject(decodeError(answer.error));
    else if ("net" in answer) waiting.resolve(new WorkerNet(this, id, answer.net));
    else if ("value" in answer) waiting.resolve(answer.value);
    else this.#report(id, waiting, answer.progress);
  }

  /** What onProgress throws ends the call, as it does without a worker. */
  #report(id: number, { onProgress, reject }: Waiting, progress: unknown): void {
    try {
      onProgress?.(progress);
    } catch (error) {
      this.release(id);
      reject(error);
    }
  }

  /** Learns by a lock that the worker holds when it ends unasked: there is no event for that. */
  watch(lock: string): void {
    const { signal } = this.#watching;
    navigator.locks.request(lock, { signal }, () => this.#lose("ended")).catch(() => {});
  }

  #lose(what: string): void {
    if (this.#ended) return;
    const error = new GpuError("DEVICE_LOST", `the worker ${what}; open it again with openWorkerGpu()`);
    this.end(error);
    this.#onLost?.(error);
  }

  /** Ends the worker; whatever waits for it fails with this error. */
  end(error: Error): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#watching.abort();
    this.#worker.terminate();
    for (const { reject } of [...this.#waiting.values()]) reject(error);
  }
}

/** A GPU in a worker. What it does is what Gpu does; only a net's definition and kernels cannot be sent there. */
export class WorkerGpu {
  readonly adapter: AdapterSummary;
  readonly warnings: readonly string[];
  readonly #channel: Channel;

  constructor(channel: Channel, { adapter, warnings }: GpuFacts) {
    this.#channel = channel;
    this.adapter = adapter;
    this.warnings = warnings;
  }

  /**
   * Loads a net by its name: Gpu.loadNet() with all its options, progress and errors. Weights may be what can be sent:
   * an address (relative to the page's), a name, a File or Blob, bytes or arrays; responses and streams are read here first.
   */
  async loadNet(
    name: string,
    options: LoadOptions & { readonly transfer?: readonly Transferable[]; readonly [option: string]: unknown } = {},
  ): Promise<WorkerNet> {
    checkObject("loadNet(): options", options);
    const { signal, onProgress, transfer, weights, ...rest } = options;
    const sent = isStream(weights)
      ? await (await import("../weights/streams.ts")).readStream(weights, { signal, onProgress })
      : weights instanceof URL
        ? weights.href
        : weights;
    return this.call("loadNet", [name, { ...rest, weights: sent }], { signal, onProgress, transfer });
  }

  /** Calls one of the methods that the worker's own script gave to serveGpu(). */
  // biome-ignore lint/suspicious/noExplicitAny: what it returns depends on the method
  call<T = any>(method: string, args: readonly unknown[] = [], options?: CallOptions): Promise<T> {
    return this.#channel.call({ method, args }, options) as Promise<T>;
  }

  /** Ends the worker and everything in it; calls that still wait reject with a DisposedError. Safe to call twice. */
  close(): void {
    this.#channel.end(new DisposedError("the GPU"));
  }
}

/** A net in a worker. Ends with dispose(); its GPU stays open. */
export class WorkerNet {
  readonly name: string;
  /** [N, C, H, W] of what run() takes. */
  readonly inputShape: Shape;
  /** Names that run() can return as features. */
  readonly layers: readonly string[];
  /** What is odd about the weights, such as a NaN. */
  readonly warnings: readonly string[];
  readonly #channel: Channel;
  readonly #id: number;
  /** What must be sent before the net may end. */
  readonly #unsent = new Set<Promise<unknown>>();
  #disposed = false;

  constructor(channel: Channel, id: number, { name, inputShape, layers, warnings }: NetFacts) {
    this.#channel = channel;
    this.#id = id;
    this.name = name;
    this.inputShape = inputShape;
    this.layers = layers;
    this.warnings = warnings;
  }

  /**
   * Net.run(). What is given is copied, and stays the caller's, but for what `transfer` names. A canvas, an img or a
   * video is read at once.
   */
  run(
    input: Parameters<Net["run"]>[0],
    options: NonNullable<Parameters<Net["run"]>[1]> & Pick<CallOptions, "transfer"> = {},
  ): ReturnType<Net["run"]> {
    return this.#callWith("run", input, options) as ReturnType<Net["run"]>;
  }

  /** Net.classify(), on pictures as run() takes them. */
  classify(image: Picture, options?: ClassifyOptions & Pick<CallOptions, "transfer">): Promise<Prediction[]>;
  classify(
    images: readonly Picture[],
    options?: ClassifyOptions & Pick<CallOptions, "transfer">,
  ): Promise<Prediction[][]>;
  classify(
    images: Picture | readonly Picture[],
    options: ClassifyOptions & Pick<CallOptions, "transfer"> = {},
  ): Promise<never> {
    return this.#callWith("classify", images, options) as Promise<never>;
  }

  /** Times every step of the net on noise, as timeSteps() of engine/profile.ts does; `onProgress` counts the runs. */
  async profile(given: { readonly runs?: number } & CallOptions = {}): Promise<NetProfile> {
    checkObject("profile(): options", given);
    const { runs, ...options } = given;
    return this.call("profile", [runs], options);
  }

  /** Calls one of the methods that the worker's own script gave to serveGpu(), on this net. */
  // biome-ignore lint/suspicious/noExplicitAny: what it returns depends on the method
  async call<T = any>(method: string, args: readonly unknown[] = [], options?: CallOptions): Promise<T> {
    if (this.#disposed) throw new DisposedError("the net");
    return this.#channel.call({ net: this.#id, method, args }, options) as Promise<T>;
  }

  async #callWith(
    method: string,
    input: Parameters<Net["run"]>[0],
    given: Pick<CallOptions, "signal" | "transfer">,
  ): Promise<unknown> {
    if (this.#disposed) throw new DisposedError("the net");
    checkObject(`${method}(): options`, given);
    const { signal, transfer = [], ...options } = given;
    check(Array.isArray(transfer), `${method}(): transfer`, transfer, "an array");
    const handedOver = [...transfer];
    const send = (sent: unknown) =>
      this.#channel.call({ net: this.#id, method, args: [sent, options] }, { signal, transfer: handedOver });
    const sent = Array.isArray(input) ? input.map((picture) => toSend(picture, handedOver)) : toSend(input, handedOver);
    if (![sent].flat().some((part) => part instanceof Promise)) return send(sent);
    const posted = (Array.isArray(sent) ? Promise.all(sent) : Promise.resolve(sent)).then((copies) => ({
      answer: send(copies),
    }));
    this.#unsent.add(posted);
    try {
      return (await posted).answer;
    } finally {
      this.#unsent.delete(posted);
    }
  }

  /** Frees what the net holds, after the runs already asked for. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    Promise.allSettled(this.#unsent).then(() => this.#channel.release(this.#id));
  }
}

/** Memory that threads share would not be copied: what is written to it next must not become the input. */
function unshared(input: unknown): unknown {
  const data = ArrayBuffer.isView(input) ? input : Object(input).data;
  if (Object.prototype.toString.call(data?.buffer) !== "[object SharedArrayBuffer]") return input;
  const copy = data.slice();
  return data === input ? copy : { ...(input as object), data: copy };
}

/** What an input is sent as; a promise where the browser must copy first what a picture shows now. */
function toSend(input: unknown, transfer: Transferable[]): unknown {
  if (!isPicture(input) || input instanceof Blob || isInMemory(input) || isTexture(input)) return unshared(input);
  sizeOfPicture(input);
  if ("displayWidth" in input) {
    const frame = input.clone();
    transfer.push(frame);
    return frame;
  }
  if ("close" in input) return input;
  return createImageBitmap(input).then(
    (bitmap) => {
      transfer.push(bitmap);
      return bitmap;
    },
    (cause) => {
      throw unreadable(cause);
    },
  );
}
