import type { Checkpoint } from "./checkpoint.ts";
import { DisposedError, GpuError, ShapeError } from "./errors.ts";
import type { Gpu } from "./gpu.ts";
import type { LoadOptions } from "./net.ts";
import { bytesOf, type ParamPlan, type Place, type Plan, type Step } from "./plan.ts";
import { formatBytes, formatShape, type Shape, sizeOf, type Tensor } from "./tensor.ts";

// The values of GPUBufferUsage and GPUMapMode: Node has no such globals.
const MAP_READ = 1;
const COPY_SRC = 4;
const COPY_DST = 8;
const UNIFORM = 64;
const STORAGE = 128;

/** Elements that are read from a checkpoint at a time, so that a weight of 400 MB needs no second copy in memory. */
const UPLOAD_ELEMENTS = 4 * 2 ** 20;

/** The parameters of a net on the device, by name, shared by all plans that were made from one net. */
export class ParamStore {
  readonly warnings: string[] = [];
  readonly #gpu: Gpu;
  readonly #checkpoint: Checkpoint;
  readonly #options: Pick<LoadOptions, "signal" | "onProgress">;
  readonly #pieces = new Map<string, Promise<GPUBuffer[]>>();
  #buffers: GPUBuffer[] = [];

  constructor(gpu: Gpu, checkpoint: Checkpoint, options: Pick<LoadOptions, "signal" | "onProgress"> = {}) {
    this.#gpu = gpu;
    this.#checkpoint = checkpoint;
    this.#options = options;
  }

  /** The buffers of parameters, uploaded on first use, one after the other. */
  async load(params: readonly ParamPlan[]): Promise<GPUBuffer[][]> {
    const { signal, onProgress } = this.#options;
    const total = params.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    let loaded = 0;
    const buffers: GPUBuffer[][] = [];
    for (const param of params) {
      signal?.throwIfAborted();
      let pieces = this.#pieces.get(param.name);
      if (!pieces) {
        pieces = this.#upload(param);
        this.#pieces.set(param.name, pieces);
      }
      buffers.push(await pieces);
      loaded += sizeOf(param.shape);
      onProgress?.({ phase: "load", file: this.#checkpoint.name, loaded, total });
    }
    return buffers;
  }

  async #upload({ name, from, pieces }: ParamPlan): Promise<GPUBuffer[]> {
    const derived = from && (await derive(from, this.#checkpoint));
    const buffers: GPUBuffer[] = [];
    let hasNaN = false;
    let start = 0;
    for (const elements of pieces) {
      const buffer = await this.#gpu.createBuffer(name, elements * 4, STORAGE | COPY_SRC | COPY_DST);
      this.#buffers.push(buffer);
      buffers.push(buffer);
      for (let done = 0; done < elements; done += UPLOAD_ELEMENTS) {
        const count = Math.min(UPLOAD_ELEMENTS, elements - done);
        const first = start + done;
        const chunk = derived?.subarray(first, first + count) ?? (await this.#checkpoint.read(name, first, count));
        hasNaN ||= containsNaN(chunk);
        this.#gpu.check();
        this.#gpu.device.queue.writeBuffer(buffer, done * 4, chunk as Float32Array<ArrayBuffer>);
        // Dawn keeps a copy of what is written until the queue has run: let it run before the next large chunk.
        if (count === UPLOAD_ELEMENTS) {
          this.#gpu.device.queue.submit([]);
          await this.#gpu.settle(this.#gpu.device.queue.onSubmittedWorkDone());
        }
      }
      start += elements;
    }
    if (hasNaN) this.warnings.push(`${name} of ${this.#checkpoint.name} has NaN in it: results will have, too`);
    return buffers;
  }

  /** Frees the buffers once nothing uses them any more: after `ended`, or at once. */
  dispose(ended?: Promise<unknown>): void {
    const free = () => {
      for (const buffer of this.#buffers) this.#gpu.destroyBuffer(buffer);
      this.#buffers = [];
    };
    if (ended) ended.then(free);
    else free();
  }
}

function containsNaN(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) return true;
  return false;
}

async function derive(from: NonNullable<ParamPlan["from"]>, checkpoint: Checkpoint): Promise<Float32Array> {
  const tensors: Float32Array[] = [];
  for (const source of from.sources) tensors.push(await checkpoint.read(source));
  return from.compute(...tensors);
}

/** A plan on a device: pipelines and bind groups are made once, then each run() is one command buffer and one submit. */
export class Executable {
  readonly plan: Plan;
  #gpu: Gpu;
  #steps: readonly { pipeline: GPUComputePipeline; group: GPUBindGroup; grid: Step["grid"] }[] = [];
  #owned: GPUBuffer[] = [];
  #activations: GPUBuffer[] = [];
  #outputs: readonly { source: GPUBuffer; staging: GPUBuffer; bytes: number }[] = [];
  #queue: Promise<unknown> = Promise.resolve();
  #pending = 0;
  #disposed = false;

  /**
   * Compiles while the parameters load. Throws a GpuError: OUT_OF_MEMORY says how much the plan needs, SHADER which
   * kernel does not compile. Nothing stays allocated after an error.
   */
  static async create(gpu: Gpu, plan: Plan, params: ParamStore): Promise<Executable> {
    checkMemory(gpu, plan);
    const executable = new Executable(gpu, plan);
    try {
      await executable.#prepare(params);
      gpu.check();
      return executable;
    } catch (error) {
      executable.dispose();
      if (!(error instanceof GpuError) || error.code !== "OUT_OF_MEMORY") throw error;
      throw new GpuError("OUT_OF_MEMORY", `${error.message}; ${memoryNeed(plan)}`, { cause: error });
    }
  }

  private constructor(gpu: Gpu, plan: Plan) {
    this.#gpu = gpu;
    this.plan = plan;
  }

  async #own(label: string, size: number, usage: number): Promise<GPUBuffer> {
    const buffer = await this.#gpu.createBuffer(label, size, usage);
    this.#owned.push(buffer);
    return buffer;
  }

  async #prepare(params: ParamStore): Promise<void> {
    const { device } = this.#gpu;
    const { steps, buffers, outputs } = this.plan;
    const usage = STORAGE | COPY_SRC | COPY_DST;
    this.#activations = await all(buffers.map((bytes, i) => this.#own(`activation ${i}`, bytes, usage)));
    const align = device.limits.minUniformBufferOffsetAlignment;
    const offsets: number[] = [];
    let end = 0;
    for (const { params: bytes } of steps) {
      offsets.push(end);
      end = Math.ceil((end + bytes.length) / align) * align;
    }
    const uniforms = await this.#own("params", end, UNIFORM | COPY_DST);
    const packed = new Uint8Array(Math.ceil(end / 4) * 4);
    steps.forEach((step, i) => {
      packed.set(step.params, offsets[i]);
    });
    device.queue.writeBuffer(uniforms, 0, packed);
    // Bound where an optional input is absent; never read.
    const absent = await this.#own("absent", 16, STORAGE);
    const stagings = await all(
      outputs.map(({ name, shape }) => this.#own(`output ${name}`, 4 * sizeOf(shape), MAP_READ | COPY_DST)),
    );
    const compiled = steps.map(({ kernel, code, bindings }) => this.#gpu.pipeline(kernel, code, bindings));
    const [pipelines, pieces] = await all([all(compiled), params.load(this.plan.params)]);
    const bufferOf = (place: Place) =>
      "buffer" in place ? this.#activations[place.buffer] : pieces[place.param][place.piece];
    this.#steps = steps.map((step, i) => ({
      pipeline: pipelines[i],
      grid: step.grid,
      group: device.createBindGroup({
        label: step.label,
        layout: pipelines[i].getBindGroupLayout(0),
        entries: step.bindings.map(({ index, type, place }) => ({
          binding: index,
          resource:
            type === "uniform"
              ? { buffer: uniforms, offset: offsets[i], size: step.params.length }
              : { buffer: place ? bufferOf(place) : absent },
        })),
      }),
    }));
    this.#outputs = outputs.map(({ shape, place }, i) => ({
      source: bufferOf(place),
      staging: stagings[i],
      bytes: 4 * sizeOf(shape),
    }));
  }

  /** Runs once. Concurrent calls are queued. Inputs by name, each with exactly its elements; outputs are copies. */
  run(inputs: Readonly<Record<string, Float32Array>>): Promise<Record<string, Tensor>> {
    if (this.#disposed) return Promise.reject(new DisposedError("the net"));
    this.#pending++;
    const result = this.#queue.then(() => this.#run(inputs));
    this.#queue = result
      .catch(() => {})
      .then(() => {
        this.#pending--;
        if (this.#disposed && this.#pending === 0) this.#free();
      });
    return result;
  }

  async #run(inputs: Readonly<Record<string, Float32Array>>): Promise<Record<string, Tensor>> {
    const { device } = this.#gpu;
    this.#gpu.check();
    for (const { name, shape, buffer } of this.plan.inputs) {
      const data = inputs[name];
      checkInput(name, shape, data);
      device.queue.writeBuffer(this.#activations[buffer], 0, data as Float32Array<ArrayBuffer>);
    }
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { pipeline, group, grid } of this.#steps) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...grid);
    }
    pass.end();
    for (const { source, staging, bytes } of this.#outputs) encoder.copyBufferToBuffer(source, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await this.#gpu.settle(Promise.all(this.#outputs.map(({ staging }) => staging.mapAsync(MAP_READ))));
    const results: Record<string, Tensor> = {};
    this.plan.outputs.forEach(({ name, shape }, i) => {
      const { staging, bytes } = this.#outputs[i];
      results[name] = { shape, data: new Float32Array(staging.getMappedRange(0, bytes).slice(0)) };
      staging.unmap();
    });
    this.#gpu.check();
    return results;
  }

  /** Frees the buffers, after the runs that were already asked for; resolves then. Safe to call twice. */
  dispose(): Promise<unknown> {
    if (!this.#disposed && this.#pending === 0) this.#free();
    this.#disposed = true;
    return this.#queue;
  }

  #free(): void {
    for (const buffer of this.#owned) this.#gpu.destroyBuffer(buffer);
    this.#owned = [];
  }
}

/** Promise.all that lets every promise end before it throws, so that nothing goes on in the background after an error. */
async function all<T extends readonly unknown[]>(promises: T): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const results = await Promise.allSettled(promises);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as never;
}

function checkInput(name: string, shape: Shape, data: Float32Array | undefined): void {
  if (!(data instanceof Float32Array)) throw new ShapeError(`the input "${name}" must be a Float32Array`);
  if (data.length !== sizeOf(shape)) {
    throw new ShapeError(
      `the input "${name}" has ${data.length} elements; its shape ${formatShape(shape)} has ${sizeOf(shape)}`,
    );
  }
}

/** A software adapter's memory is the machine's, which a driver would rather swap or be killed for than refuse. */
function checkMemory({ adapter, host }: Gpu, plan: Plan): void {
  const free = adapter.software ? (host.freeMemory?.() ?? Infinity) : Infinity;
  if (bytesOf(plan).total <= free) return;
  throw new GpuError("OUT_OF_MEMORY", `the machine has ${formatBytes(free)} of free memory; ${memoryNeed(plan)}`);
}

function memoryNeed(plan: Plan): string {
  const { activations, weights, total } = bytesOf(plan);
  return `the net needs ${formatBytes(total)} (weights ${formatBytes(weights)}, activations ${formatBytes(activations)})`;
}
