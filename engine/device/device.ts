import type { Graph } from "../graph/graph.ts";
import type { Limits } from "../graph/plan.ts";
import type { Rates, Traits, Variants } from "../graph/variant.ts";
import type { BindingType } from "../graph/wgsl.ts";
import { checkChoice, DisposedError, GpuError } from "../ground/errors.ts";
import { all, keep, untilAborted } from "../ground/promises.ts";
import { formatBytes, roundUp } from "../ground/tensor.ts";
import type { Usable } from "./features.ts";
import type { Host } from "./host.ts";

export interface DeviceOptions {
  readonly powerPreference?: "low-power" | "high-performance";
  /** "default" keeps to WebGPU's default limits, for testing; by default the adapter's own are asked for. */
  readonly limits?: "adapter" | "default";
  /**
   * A device of one's own, which is used as it is in place of one that is opened. It stays open after close(), and nothing
   * is opened in its place when it is lost.
   */
  readonly device?: GPUDevice;
  /** Called whenever the device is lost (not when it is closed), before another one is opened in its place. */
  readonly onLost?: (error: GpuError) => void;
  /** Ends the opening; what it does later is nothing. */
  readonly signal?: AbortSignal;
  /**
   * The faster kernels to choose from, or what loads those that an adapter, and a graph if one is given, can use; without
   * them nets run on the plain ones.
   */
  readonly variants?: Variants | ((adapter: AdapterKind, graph?: Graph) => Promise<Variants>);
  /** How fast kinds of devices are, for the choice between variants: by vendor, "software" and "gpu". */
  readonly rates?: Readonly<Record<string, Rates>>;
  /** Changes whenever a kernel does: what was measured with others counts no more. Nothing is kept without it. */
  readonly kernelHash?: string;
}

/** What decides which kernels an adapter can use. */
export type AdapterKind = Pick<Traits, "software" | "subgroupSize" | "matrices">;

export interface AdapterSummary {
  /** One line for people, such as "NVIDIA H100 80GB HBM3 (vulkan)". */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  /** Driver and version as the adapter tells them. */
  readonly description: string;
  /** True for a software adapter, which runs on the CPU. */
  readonly software: boolean;
  /** Why the first choice of adapter was not taken; undefined if it was. */
  readonly fallback?: string;
}

/** A device that was opened, and what is known of it. */
export interface Opened {
  readonly device: GPUDevice;
  readonly host: Host;
  readonly summary: AdapterSummary;
  readonly usable: Usable;
  readonly variants: Variants;
}

/**
 * Opens the best adapter there is. Throws a GpuError (NO_ADAPTER) that says what to install when there is none, a UsageError
 * for options that make no sense, what `signal` says when it is aborted.
 */
export async function openDevice(options: DeviceOptions, host: Host): Promise<Opened> {
  const {
    powerPreference = "high-performance",
    limits = "adapter",
    device: own,
    signal,
    variants: given = {},
  } = options;
  checkChoice("powerPreference", powerPreference, ["low-power", "high-performance"]);
  checkChoice("limits", limits, ["adapter", "default"]);
  for (const provider of own ? (await import("./given.ts")).providersOf(options) : host.providers()) {
    const adapter = await untilAborted(provider.requestAdapter({ powerPreference }), signal);
    if (!adapter) continue;
    const summary = describe(adapter, provider.fallback);
    const opening = requestDevice(adapter, options, summary.name);
    const probing = all([opening, import("./features.ts")]).then(([device, { usableFeatures }]) =>
      usableFeatures(device, adapter.info, summary.software),
    );
    // What has to be loaded comes while the device opens.
    const load = async () => {
      if (typeof given !== "function") return given;
      const { matrices } = adapter.features.has(MATRICES) ? (await probing).traits : {};
      return given({ ...summary, subgroupSize: adapter.info.subgroupMinSize, matrices });
    };
    const [device, usable, variants] = await all([opening, probing, load()]);
    if (signal?.aborted && !own) device.destroy();
    signal?.throwIfAborted();
    return { device, host, summary, usable, variants };
  }
  throw new GpuError("NO_ADAPTER", `there is no WebGPU adapter: ${host.advice}`);
}

/** GPUShaderStage.COMPUTE, which Node has not as a global. */
const COMPUTE = 4;

const SCOPES: readonly GPUErrorFilter[] = ["validation", "out-of-memory", "internal"];

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const RAISED_LIMITS = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxTextureDimension2D",
  "maxComputeWorkgroupStorageSize",
] as const;

export interface BindingLayout {
  readonly index: number;
  readonly type: BindingType;
}
const MATRICES = "chromium-experimental-subgroup-matrix";
const WANTED_FEATURES: readonly string[] = [
  "timestamp-query",
  "subgroups",
  "subgroup-size-control",
  "shader-f16",
  MATRICES,
];

async function requestDevice(adapter: GPUAdapter, { limits }: DeviceOptions, name: string): Promise<GPUDevice> {
  const requiredLimits =
    limits === "default" ? {} : Object.fromEntries(RAISED_LIMITS.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = WANTED_FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[];
  try {
    return await adapter.requestDevice({ requiredLimits, requiredFeatures });
  } catch (cause) {
    throw new GpuError("GPU", `the adapter ${name} gave no device: ${(cause as Error).message}`, { cause });
  }
}

function describe(adapter: GPUAdapter, fallback?: string): AdapterSummary {
  const { vendor, architecture, device, description } = adapter.info;
  const software =
    adapter.info.isFallbackAdapter || /llvmpipe|swiftshader|software/i.test(`${architecture} ${description}`);
  // Dawn's description is the driver's: enough for a software adapter, but not for a GPU.
  const inFull = `${device || `${vendor} ${architecture}`} ${description && `(${description})`}`.trim();
  const name = (software && description) || inFull || "unknown adapter";
  return { name, vendor, architecture, device, description, software, fallback };
}

/** So many times within a minute a lost device is opened again. */
const MOST_LOSSES = 3;
const MINUTE = 60_000;

/** Errors that no call had asked for are kept in the warnings up to so many. */
const MOST_WARNINGS = 20;

/**
 * An open device: compiles kernels and holds buffers. Everything made with it ends with close(). A device that is lost is
 * opened again by what still needs it: see survive().
 */
export class Device {
  declare device: GPUDevice;
  declare limits: Limits;
  declare adapter: AdapterSummary;
  readonly host: Host;
  /** What the choice between variants of a kernel depends on. */
  declare traits: Traits;
  /** Traits that were measured, which stay when the device is opened again. */
  readonly measured: { fastLoads?: boolean; rates?: Rates } = {};
  /** The faster kernels to choose from. */
  declare variants: Variants;
  /** How often a device was opened: what was made on an earlier one is gone. */
  generation = 0;
  /** The variants that were measured to be fastest on this device, by callKey(): see tune.ts. */
  tuned: ReadonlyMap<string, string> = new Map();
  /** What is odd about this device or what is kept for it. */
  readonly warnings: string[] = [];
  /** Live GPU buffers and their bytes, for tests and reports. */
  readonly alive = { buffers: 0, bytes: 0 };
  /** What it was opened with. */
  readonly options: DeviceOptions;
  readonly #buffers = new Set<GPUBuffer>();
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  /** When devices were lost within the last minute. */
  #losses: number[] = [];
  /** Why the device at hand is gone, and for good: it was closed, or lost too often. */
  #lost: GpuError | undefined;
  #gone: Error | undefined;
  #reopening: Promise<void> | undefined;
  declare [Symbol.dispose]: () => void;

  static {
    if (Symbol.dispose) Object.defineProperty(Device.prototype, Symbol.dispose, { value: Device.prototype.close });
  }

  constructor(opened: Opened, options: DeviceOptions) {
    this.host = opened.host;
    this.options = options;
    this.#take(opened);
  }

  /** Goes on with a device that was opened. */
  #take({ device, summary, usable: { traits, warnings }, variants }: Opened): void {
    const { rates, onLost, device: own } = this.options;
    this.device = device;
    this.limits = device.limits;
    this.adapter = summary;
    this.variants = variants;
    this.traits = {
      ...traits,
      software: summary.software,
      maxBinding: Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize),
      rates: rates?.[summary.software ? "software" : summary.vendor] ?? rates?.gpu,
      ...this.measured,
    };
    this.warnings.push(...warnings.filter((text) => !this.warnings.includes(text)));
    this.generation++;
    this.#lost = undefined;
    // The owner of a device hears of its errors.
    const listen = (listener: GPUDevice["onuncapturederror"]) => {
      if (!own) device.onuncapturederror = listener;
    };
    listen(({ error }) => {
      if (this.warnings.length < MOST_WARNINGS) this.warnings.push(`the GPU reported: ${error.message}`);
    });
    device.lost.then(({ reason, message }) => {
      listen(null);
      if (reason === "destroyed" && this.#gone) return;
      this.#lost = new GpuError("DEVICE_LOST", `the GPU device was lost (${message || reason})`);
      this.#forget();
      const now = performance.now();
      this.#losses = [...this.#losses.filter((at) => now - at < MINUTE), now];
      onLost?.(this.#lost);
    });
  }

  /** Whatever was on the device is gone with it. */
  #forget(): void {
    this.#pipelines.clear();
    this.#buffers.clear();
    Object.assign(this.alive, { buffers: 0, bytes: 0 });
  }

  /** Throws if the device was closed or lost, or is another one than that of `generation`. */
  check(generation = this.generation): void {
    if (this.#gone) throw this.#gone;
    if (this.#lost) throw this.#lost;
    if (generation === this.generation) return;
    throw new GpuError("DEVICE_LOST", "the GPU device was lost and opened again: what was made on it is gone");
  }

  /**
   * Does something on the device, and again on another one whenever the device was lost meanwhile. Throws what `work` does,
   * and a GpuError (DEVICE_LOST) with the reason after more than three losses within a minute, or where no device can be
   * opened again.
   */
  async survive<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      const { generation } = this;
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof GpuError) || error.code !== "DEVICE_LOST") throw error;
        if (this.#gone) throw this.#gone;
        // Another one is there already where somebody else was faster.
        if (this.generation !== generation) continue;
        if (!this.#lost) throw error;
        this.#reopening ??= this.#reopen(this.#lost).finally(() => {
          this.#reopening = undefined;
        });
        await this.#reopening;
      }
    }
  }

  /** Opens the device again if it was lost, and loads the variants for a graph. Throws what survive() throws. */
  async ready(graph?: Graph): Promise<void> {
    await this.survive(async () => this.check());
    const { variants } = this.options;
    if (graph && typeof variants === "function") this.variants = await variants(this.traits, graph);
  }

  async #reopen(lost: GpuError): Promise<void> {
    if (this.#losses.length > MOST_LOSSES) {
      const times = `${this.#losses.length} times within a minute`;
      this.#gone = new GpuError("DEVICE_LOST", `${lost.message}, ${times}; open it again with openGpu()`);
      throw this.#gone;
    }
    let opened: Opened;
    try {
      opened = await openDevice({ ...this.options, signal: undefined }, this.host);
    } catch (cause) {
      const why = `and cannot be opened again: ${(cause as Error).message}`;
      throw new GpuError("DEVICE_LOST", `${lost.message}, ${why}`, { cause });
    }
    if (this.#gone) opened.device.destroy();
    else this.#take(opened);
    this.check();
  }

  /** Waits for work of the device, without starving a software adapter, and reports a device lost meanwhile. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    const settle = this.adapter.software && this.host.settle;
    try {
      return await (settle ? settle(promise) : promise);
    } catch (error) {
      // A device's end may be told after what it brings down: wait for the cause, and not in vain for long.
      if ((error as Error).name !== "GPUPipelineError") await Promise.race([this.device.lost, pause(100)]);
      this.check();
      throw error;
    }
  }

  /**
   * Does work of the device at once, and gives its errors to whoever asked for it: resolves to what the device has against
   * it. Throws what `work` throws.
   */
  guarded(work: () => void): Promise<GpuError | undefined> {
    const { device } = this;
    for (const filter of SCOPES) device.pushErrorScope(filter);
    let errors: Promise<(GPUError | null)[]>;
    try {
      work();
    } finally {
      errors = Promise.all(SCOPES.map(() => device.popErrorScope()));
      // Those of a lost device reject, and nobody waits for them where `work` has thrown.
      errors.catch(() => {});
    }
    return errors.then((all) => {
      const error = all.find((each) => each);
      return error ? new GpuError("GPU", error.message) : undefined;
    });
  }

  /** Writes to a buffer. What is in shared memory is copied first, which no device takes. */
  write(buffer: GPUBuffer, offset: number, data: ArrayBufferView): void {
    const shared = typeof SharedArrayBuffer !== "undefined" && data.buffer instanceof SharedArrayBuffer;
    const { byteOffset, byteLength } = data;
    const bytes = new Uint8Array(data.buffer, byteOffset, byteLength);
    this.device.queue.writeBuffer(buffer, offset, (shared ? bytes.slice() : bytes) as Uint8Array<ArrayBuffer>);
  }

  /** Throws a GpuError (OUT_OF_MEMORY) where the device cannot give the memory. `size` is in bytes. */
  async createBuffer(label: string, size: number, usage: number): Promise<GPUBuffer> {
    this.check();
    const { device } = this;
    device.pushErrorScope("out-of-memory");
    const buffer = device.createBuffer({ label: `${label}`, size: roundUp(size || 1, 16), usage });
    const scope = device.popErrorScope();
    this.#buffers.add(buffer);
    this.alive.buffers++;
    this.alive.bytes += buffer.size;
    const error = await this.settle(scope);
    if (!error) return buffer;
    this.destroyBuffer(buffer);
    const held = formatBytes(this.alive.bytes);
    throw new GpuError(
      "OUT_OF_MEMORY",
      `the device has no ${formatBytes(size)} for ${label}; ${held} are held already`,
    );
  }

  destroyBuffer(buffer: GPUBuffer): void {
    // Those of a device that was lost went with it.
    if (!this.#buffers.delete(buffer)) return;
    this.alive.buffers--;
    this.alive.bytes -= buffer.size;
    buffer.destroy();
  }

  /** Compiles a kernel; the same source is compiled once. Throws a GpuError (SHADER) with the compiler's message. */
  pipeline(label: string, code: string, bindings: readonly BindingLayout[]): Promise<GPUComputePipeline> {
    this.check();
    return keep(this.#pipelines, code, () => this.#compile(label, code, bindings));
  }

  async #compile(label: string, code: string, bindings: readonly BindingLayout[]) {
    const { device } = this;
    const entries = bindings.map(({ index, type }) => ({
      binding: index,
      visibility: COMPUTE,
      ...(type === "texture" ? { texture: {} } : { buffer: { type } }),
    }));
    device.pushErrorScope("validation");
    const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
    const module = device.createShaderModule({ label: `${label}`, code });
    const scope = device.popErrorScope();
    const compiled = device.createComputePipelineAsync({ label: `${label}`, layout, compute: { module } });
    const [error, pipeline] = await Promise.all([
      this.settle(scope),
      this.settle(compiled).catch((cause: Error) => cause),
    ]);
    if (!error && !(pipeline instanceof Error)) {
      if (this.adapter.software)
        import("./warm_up.ts").then(({ warmUp }) => warmUp(device, pipeline, bindings)).catch(() => {});
      return pipeline;
    }
    this.check();
    const message = error?.message ?? (pipeline as Error).message;
    throw new GpuError("SHADER", `the kernel ${label} does not compile: ${message.slice(0, 1500)}`);
  }

  /** Ends everything made with the device, and the device unless it was given. Safe to call twice. */
  close(): void {
    this.#gone ??= new DisposedError("the GPU");
    if (this.options.device) for (const buffer of this.#buffers) buffer.destroy();
    else {
      this.device.onuncapturederror = null;
      this.device.destroy();
    }
    this.#forget();
  }
}
