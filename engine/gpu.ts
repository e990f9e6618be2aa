import { Executable, ParamStore } from "./device/executable.ts";
import { STORAGE, UNIFORM } from "./device/usage.ts";
import type { Value } from "./graph/graph.ts";
import { Graph } from "./graph/graph.ts";
import type { Rates, Traits, Variants } from "./graph/kernel.ts";
import { type Limits, makePlan } from "./graph/plan.ts";
import { checkOptions, DisposedError, GpuError, UsageError } from "./ground/errors.ts";
import { formatBytes, type Tensor } from "./ground/tensor.ts";
import { type AnyNet, type LoadOptions, Net, type OpenSource } from "./net.ts";
import { arraysCheckpoint } from "./weights/sources.ts";

/** What differs between Node and a browser; engine/node/ has Node's. */
export interface Host {
  /** Adapters in order of preference, each tried until one answers. `fallback` says why it is not the first choice. */
  providers(): readonly {
    readonly fallback?: string;
    requestAdapter(options: GPURequestAdapterOptions): Promise<GPUAdapter | null | undefined>;
  }[];
  /** What to install when there is no adapter at all. */
  readonly advice: string;
  /** Bytes of memory that are free, for software adapters. */
  freeMemory?(): number;
  /** Opens weights by path (in Node) or URL. */
  readonly open: OpenSource;
  /** Keeps small texts by name: what was measured, for the next time. */
  readonly storage?: {
    read(name: string): Promise<string | undefined>;
    write(name: string, text: string): Promise<void>;
  };
  /** Waits for the device; a software adapter in Node is slowed by plain polling. */
  settle?<T>(promise: Promise<T>): Promise<T>;
}

export const browserHost: Host = {
  providers: () => [{ requestAdapter: async (options) => globalThis.navigator?.gpu?.requestAdapter(options) }],
  advice:
    "use a browser with WebGPU (Chrome or Edge 113, Safari 26, Firefox 141 or later) on a page of https or localhost; " +
    "Chromium on Linux may need chrome://flags/#enable-unsafe-webgpu",
  // Loaded only where it is needed: weights may come from a file or a bundle.
  open: async (location, options) => (await import("./web/files.ts")).openUrl(location, options),
  storage: {
    read: async (name) => (await import("./web/storage.ts")).read(name),
    write: async (name, text) => (await import("./web/storage.ts")).write(name, text),
  },
};

export interface OpenOptions {
  readonly powerPreference?: GPUPowerPreference;
  /** "default" keeps to WebGPU's default limits, for testing; by default the adapter's own are asked for. */
  readonly limits?: "adapter" | "default";
  /** Called once if the device is lost (not when it is closed). */
  readonly onLost?: (error: GpuError) => void;
  /** The nets that loadNet() knows by name. */
  readonly nets?: Readonly<Record<string, AnyNet>>;
  /** The faster kernels to choose from; without them nets run on the plain ones. */
  readonly variants?: Variants;
  /** How fast kinds of devices are, for the choice between variants: by vendor, "software" and "gpu". */
  readonly rates?: Readonly<Record<string, Rates>>;
  /** Changes whenever a kernel does: what was measured with others counts no more. Nothing is kept without it. */
  readonly kernelHash?: string;
}

const OPEN_OPTIONS = ["powerPreference", "limits", "onLost", "nets", "variants", "rates", "kernelHash"];

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

/**
 * Opens the best adapter there is. Throws a GpuError (NO_ADAPTER) that says what to install when there is none.
 * Call close() on the result, or Node will not exit.
 */
export async function openGpu(options: OpenOptions = {}, host: Host = browserHost): Promise<Gpu> {
  checkOptions("openGpu()", options, OPEN_OPTIONS);
  for (const provider of host.providers()) {
    const adapter = await provider.requestAdapter({ powerPreference: options.powerPreference ?? "high-performance" });
    if (!adapter) continue;
    const gpu = new Gpu(await requestDevice(adapter, options), adapter, host, options, provider.fallback);
    if (host.storage && gpu.kernelHash) await (await import("./tuning/kept.ts")).readTuning(gpu);
    return gpu;
  }
  throw new GpuError("NO_ADAPTER", `there is no WebGPU adapter: ${host.advice}`);
}

/** GPUShaderStage.COMPUTE, which Node has not as a global. */
const COMPUTE = 4;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const RAISED_LIMITS = ["maxStorageBufferBindingSize", "maxBufferSize", "maxTextureDimension2D"] as const;

/** What a kernel reads or writes. Textures are read, texel by texel. */
interface Binding {
  readonly index: number;
  readonly type: GPUBufferBindingType | "texture";
}
const MATRICES = "chromium-experimental-subgroup-matrix" as GPUFeatureName;
const WANTED_FEATURES: readonly GPUFeatureName[] = ["timestamp-query", "subgroups", "shader-f16", MATRICES];

async function requestDevice(adapter: GPUAdapter, options: OpenOptions): Promise<GPUDevice> {
  const requiredLimits =
    options.limits === "default" ? {} : Object.fromEntries(RAISED_LIMITS.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = WANTED_FEATURES.filter((name) => adapter.features.has(name));
  try {
    return await adapter.requestDevice({ requiredLimits, requiredFeatures });
  } catch (cause) {
    throw new GpuError("GPU", `the adapter ${summarize(adapter).name} gave no device: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function summarize(adapter: GPUAdapter, fallback?: string): AdapterSummary {
  const { vendor, architecture, device, description } = adapter.info;
  const software =
    adapter.info.isFallbackAdapter || /llvmpipe|swiftshader|software/i.test(`${architecture} ${description}`);
  // Dawn's description is the driver's: enough for a software adapter, but not for a GPU.
  const inFull = `${device || `${vendor} ${architecture}`} ${description && `(${description})`}`.trim();
  const name = (software && description) || inFull || "unknown adapter";
  return { name, vendor, architecture, device, description, software, fallback };
}

/** An open device: compiles kernels, holds buffers, runs nets. Everything made with it ends with close(). */
export class Gpu {
  readonly device: GPUDevice;
  readonly limits: Limits;
  readonly adapter: AdapterSummary;
  readonly host: Host;
  /** What the choice between variants of a kernel depends on. */
  readonly traits: Traits;
  readonly variants: Variants;
  /** The nets that are known by name. */
  readonly nets: Readonly<Record<string, AnyNet>>;
  readonly kernelHash: string | undefined;
  /** The variants that were measured to be fastest on this device, by callKey(): see tune.ts. */
  tuned: ReadonlyMap<string, string> = new Map();
  /** What is odd about this device or what is kept for it. */
  readonly warnings: string[] = [];
  /** Live GPU buffers and their bytes, for tests and reports. */
  readonly alive = { buffers: 0, bytes: 0 };
  #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  #gone: Error | undefined;
  #uncaptured: GpuError | undefined;
  declare [Symbol.dispose]: () => void;

  static {
    if (Symbol.dispose) Object.defineProperty(Gpu.prototype, Symbol.dispose, { value: Gpu.prototype.close });
  }

  constructor(device: GPUDevice, adapter: GPUAdapter, host: Host, options: OpenOptions, fallback?: string) {
    this.device = device;
    this.limits = device.limits;
    this.adapter = summarize(adapter, fallback);
    this.host = host;
    const { subgroupMinSize, subgroupMaxSize } = adapter.info;
    const oneSize = device.features.has("subgroups") && subgroupMinSize === subgroupMaxSize;
    this.traits = {
      subgroupSize: oneSize ? subgroupMinSize : 0,
      software: this.adapter.software,
      maxBinding: Math.min(this.limits.maxStorageBufferBindingSize, this.limits.maxBufferSize),
      f16: device.features.has("shader-f16"),
      matrices: device.features.has(MATRICES) && oneSize && offersMatrices(adapter.info),
      rates: options.rates?.[this.adapter.software ? "software" : this.adapter.vendor] ?? options.rates?.gpu,
    };
    this.nets = options.nets ?? {};
    this.variants = options.variants ?? {};
    this.kernelHash = options.kernelHash;
    device.onuncapturederror = ({ error }) => {
      this.#uncaptured ??= new GpuError("GPU", error.message);
    };
    device.lost.then(({ reason, message }) => {
      if (reason === "destroyed" && this.#gone) return;
      const lost = new GpuError(
        "DEVICE_LOST",
        `the GPU device was lost (${message || reason}); open it again with openGpu()`,
      );
      this.#gone ??= lost;
      options.onLost?.(lost);
    });
  }

  /** Throws if the device was closed or lost, or reported an error that no call had asked for. */
  check(): void {
    if (this.#gone) throw this.#gone;
    const error = this.#uncaptured;
    this.#uncaptured = undefined;
    if (error) throw error;
  }

  /** Waits for work of the device, without starving a software adapter, and reports a device lost meanwhile. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    const settle = this.adapter.software && this.host.settle;
    try {
      return await (settle ? settle(promise) : promise);
    } catch (error) {
      // A device's end may be told after what it brings down: wait for the cause, and not in vain for long.
      if ((error as Error).name !== "GPUPipelineError") await Promise.race([this.device.lost, pause(100)]);
      if (this.#gone) throw this.#gone;
      throw error;
    }
  }

  /** Throws a GpuError (OUT_OF_MEMORY) where the device cannot give the memory. `size` is in bytes. */
  async createBuffer(label: string, size: number, usage: GPUBufferUsageFlags): Promise<GPUBuffer> {
    this.check();
    const { device } = this;
    device.pushErrorScope("out-of-memory");
    const buffer = device.createBuffer({ label, size: Math.max(16, Math.ceil(size / 4) * 4), usage });
    const scope = device.popErrorScope();
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
    this.alive.buffers--;
    this.alive.bytes -= buffer.size;
    buffer.destroy();
  }

  /** Compiles a kernel; the same source is compiled once. Throws a GpuError (SHADER) with the compiler's message. */
  pipeline(label: string, code: string, bindings: readonly Binding[]): Promise<GPUComputePipeline> {
    this.check();
    let pipeline = this.#pipelines.get(code);
    if (!pipeline) {
      pipeline = this.#compile(label, code, bindings);
      pipeline.catch(() => this.#pipelines.delete(code));
      this.#pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  async #compile(label: string, code: string, bindings: readonly Binding[]) {
    const { device } = this;
    const entries = bindings.map(({ index, type }) => ({
      binding: index,
      visibility: COMPUTE,
      ...(type === "texture" ? { texture: {} } : { buffer: { type } }),
    }));
    device.pushErrorScope("validation");
    const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
    const module = device.createShaderModule({ label, code });
    const scope = device.popErrorScope();
    const compiled = device.createComputePipelineAsync({ label, layout, compute: { module } });
    const [error, pipeline] = await Promise.all([
      this.settle(scope),
      this.settle(compiled).catch((cause: Error) => cause),
    ]);
    if (!error && !(pipeline instanceof Error)) {
      if (this.adapter.software) this.#warmUp(pipeline, bindings);
      return pipeline;
    }
    this.check();
    const message = error?.message ?? (pipeline as Error).message;
    throw new GpuError("SHADER", `the kernel ${label} does not compile: ${message}`);
  }

  /**
   * Makes a software adapter translate a kernel to machine code now, while weights are loading, and not when it is first
   * run: a dispatch whose Params are all zero, so that it does nothing.
   */
  #warmUp(pipeline: GPUComputePipeline, bindings: readonly Binding[]): void {
    const { device } = this;
    if (bindings.some(({ type }) => type === "texture")) return;
    const buffers: GPUBuffer[] = [];
    const entries = bindings.map(({ index, type }) => {
      const usage = type === "uniform" ? UNIFORM : STORAGE;
      const buffer = device.createBuffer({ label: "nothing", size: 256, usage });
      buffers.push(buffer);
      return { binding: index, resource: { buffer } };
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    device.queue.submit([encoder.finish()]);
    for (const buffer of buffers) buffer.destroy();
  }

  /**
   * Runs one operator, or any function of values, by itself on tensors: `gpu.eager(maxPool2d, x, { kernel: 3 })`.
   * Leave an optional tensor out with undefined. A single kernel is the plain one, without variants.
   */
  async eager<A extends unknown[]>(
    op: (...args: A) => Value,
    ...args: { [I in keyof A]: TensorFor<A[I]> }
  ): Promise<Tensor> {
    this.check();
    const graph = new Graph();
    const tensors: Record<string, Tensor> = {};
    const values = args.map((arg, i) => {
      if (!isTensor(arg)) return arg;
      // Parameters rather than inputs, since these are split where they are over the device's binding limit.
      const name = `input ${i}`;
      tensors[name] = arg;
      return i === 0 ? graph.input(name, arg.shape) : graph.param(name, arg.shape);
    });
    graph.name("output", op(...(values as A)));
    const store = new ParamStore(this, arraysCheckpoint(tensors));
    let executable: Executable | undefined;
    try {
      executable = await Executable.create(this, makePlan(graph, ["output"], this.limits), store);
      return (await executable.run({ "input 0": tensors["input 0"]?.data })).output;
    } finally {
      executable?.dispose();
      store.dispose();
    }
  }

  /**
   * Loads a net by its name or definition: compiles its kernels while its weights load. Besides LoadOptions it takes the
   * net's own options, such as numClasses. Throws a UsageError for an unknown name or option, a WeightsError when the
   * weights are damaged or another net's, a ShapeError for an image size the net cannot take, a GpuError when the
   * device is out of memory.
   */
  async loadNet(
    net: string | AnyNet,
    options: LoadOptions & { readonly [option: string]: unknown } = {},
  ): Promise<Net> {
    this.check();
    return Net.load(this, typeof net === "string" ? findNet(this.nets, net) : net, options);
  }

  /** Ends the device and everything made with it. Safe to call twice. */
  close(): void {
    this.#gone ??= new DisposedError("the GPU");
    this.#pipelines.clear();
    this.device.destroy();
  }
}

/** What Chromium tells of the matrices that subgroups can multiply; Dawn in Node does not. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** True for 16x16 in f16 with f32 sums, by subgroups that fit four to a workgroup. All tensor cores of NVIDIA have it. */
function offersMatrices(info: GPUAdapterInfo & { readonly subgroupMatrixConfigs?: Iterable<MatrixConfig> }): boolean {
  if (info.subgroupMaxSize > 64) return false;
  if (!info.subgroupMatrixConfigs) return info.vendor === "nvidia";
  return [...info.subgroupMatrixConfigs].some(
    ({ componentType, resultComponentType, M, N, K }) =>
      componentType === "f16" && resultComponentType === "f32" && M === 16 && N === 16 && K === 16,
  );
}

/** A net by its name; throws a UsageError that lists the names there are. */
export function findNet(nets: Readonly<Record<string, AnyNet>>, name: string): AnyNet {
  if (Object.hasOwn(nets, name)) return nets[name];
  throw new UsageError(
    `there is no net "${name}"; there are ${Object.keys(nets).join(", ") || "none: give openGpu() some"}`,
  );
}

/** What eager() takes where the operator takes a value. */
type TensorFor<T> = T extends Value ? Tensor : T;

const isTensor = (arg: unknown): arg is Tensor =>
  typeof arg === "object" && arg !== null && "data" in arg && "shape" in arg && arg.data instanceof Float32Array;
