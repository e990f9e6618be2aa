import type { Limits } from "../graph/plan.ts";
import type { Rates, Traits, Variants } from "../graph/variant.ts";
import { DisposedError, GpuError } from "../ground/errors.ts";
import { all } from "../ground/promises.ts";
import { formatBytes } from "../ground/tensor.ts";
import type { Host } from "./host.ts";
import { STORAGE, UNIFORM } from "./usage.ts";

export interface DeviceOptions {
  readonly powerPreference?: GPUPowerPreference;
  /** "default" keeps to WebGPU's default limits, for testing; by default the adapter's own are asked for. */
  readonly limits?: "adapter" | "default";
  /** Called once if the device is lost (not when it is closed). */
  readonly onLost?: (error: GpuError) => void;
  /**
   * The faster kernels to choose from, or what loads those that an adapter can use; without them nets run on the plain
   * ones.
   */
  readonly variants?: Variants | ((adapter: AdapterKind) => Promise<Variants>);
  /** How fast kinds of devices are, for the choice between variants: by vendor, "software" and "gpu". */
  readonly rates?: Readonly<Record<string, Rates>>;
  /** Changes whenever a kernel does: what was measured with others counts no more. Nothing is kept without it. */
  readonly kernelHash?: string;
}

/** What decides which kernels an adapter can use. */
export type AdapterKind = Pick<Traits, "software"> & { readonly matrices: boolean };

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
  readonly adapter: GPUAdapter;
  readonly host: Host;
  readonly summary: AdapterSummary;
  readonly variants: Variants;
}

/** Opens the best adapter there is. Throws a GpuError (NO_ADAPTER) that says what to install when there is none. */
export async function openDevice(options: DeviceOptions, host: Host): Promise<Opened> {
  for (const provider of host.providers()) {
    const adapter = await provider.requestAdapter({ powerPreference: options.powerPreference ?? "high-performance" });
    if (!adapter) continue;
    const summary = describe(adapter, provider.fallback);
    const { variants: given = {} } = options;
    // What has to be loaded comes while the device opens.
    const loading =
      typeof given === "function" ? given({ software: summary.software, matrices: offersMatrices(adapter) }) : given;
    const [device, variants] = await all([requestDevice(adapter, options), loading]);
    return { device, adapter, host, summary, variants };
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

async function requestDevice(adapter: GPUAdapter, options: DeviceOptions): Promise<GPUDevice> {
  const requiredLimits =
    options.limits === "default" ? {} : Object.fromEntries(RAISED_LIMITS.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = WANTED_FEATURES.filter((name) => adapter.features.has(name));
  try {
    return await adapter.requestDevice({ requiredLimits, requiredFeatures });
  } catch (cause) {
    throw new GpuError("GPU", `the adapter ${describe(adapter).name} gave no device: ${(cause as Error).message}`, {
      cause,
    });
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

/** Lanes of a subgroup where there are subgroups of one size, else 0. */
function subgroupSizeOf({ features, info }: GPUAdapter): number {
  return features.has("subgroups") && info.subgroupMinSize === info.subgroupMaxSize ? info.subgroupMinSize : 0;
}

/** What Chromium tells of the matrices that subgroups can multiply; Dawn in Node does not. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

type Info = GPUAdapterInfo & { readonly subgroupMatrixConfigs?: Iterable<MatrixConfig> };

/** True for 16x16 in f16 with f32 sums, by subgroups that fit four to a workgroup. All tensor cores of NVIDIA have it. */
function offersMatrices(adapter: GPUAdapter): boolean {
  const info: Info = adapter.info;
  if (!adapter.features.has(MATRICES) || subgroupSizeOf(adapter) === 0 || info.subgroupMaxSize > 64) return false;
  if (!info.subgroupMatrixConfigs) return info.vendor === "nvidia";
  return [...info.subgroupMatrixConfigs].some(
    ({ componentType, resultComponentType, M, N, K }) =>
      componentType === "f16" && resultComponentType === "f32" && M === 16 && N === 16 && K === 16,
  );
}

/** An open device: compiles kernels and holds buffers. Everything made with it ends with close(). */
export class Device {
  readonly device: GPUDevice;
  readonly limits: Limits;
  readonly adapter: AdapterSummary;
  readonly host: Host;
  /** What the choice between variants of a kernel depends on. */
  readonly traits: Traits;
  /** The faster kernels to choose from. */
  readonly variants: Variants;
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
    if (Symbol.dispose) Object.defineProperty(Device.prototype, Symbol.dispose, { value: Device.prototype.close });
  }

  constructor({ device, adapter, host, summary, variants }: Opened, options: DeviceOptions) {
    this.device = device;
    this.limits = device.limits;
    this.adapter = summary;
    this.host = host;
    this.traits = {
      subgroupSize: subgroupSizeOf(adapter),
      software: this.adapter.software,
      maxBinding: Math.min(this.limits.maxStorageBufferBindingSize, this.limits.maxBufferSize),
      f16: device.features.has("shader-f16"),
      matrices: offersMatrices(adapter),
      rates: options.rates?.[this.adapter.software ? "software" : this.adapter.vendor] ?? options.rates?.gpu,
    };
    this.variants = variants;
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

  /** Ends the device and everything made with it. Safe to call twice. */
  close(): void {
    this.#gone ??= new DisposedError("the GPU");
    this.#pipelines.clear();
    this.device.destroy();
  }
}
