import { bytesOf, type Place, type Plan, type Step } from "../graph/plan.ts";
import { check, checkChoice, checkOptions, DisposedError, GpuError, isTexts, ShapeError } from "../ground/errors.ts";
import { bytesPerElement } from "../ground/options.ts";
import { all, untilAborted } from "../ground/promises.ts";
import { formatBytes, formatShape, roundUp, type Shape, sizeOf, type Tensor } from "../ground/tensor.ts";
import type { Device } from "./device.ts";
import type { ParamStore } from "./params.ts";
import { type Storage, storageOf } from "./storage.ts";
import { COPY_DST, COPY_SRC, MAP_READ, STORAGE, UNIFORM } from "./usage.ts";

/** What holds a tensor on the device: a buffer, or a part of one. */
export interface Binding extends GPUBufferBinding {
  readonly offset: number;
}

/** An input of a plan: its elements, or what encodes the work that writes them as the plan's dtype. */
export type Input = Float32Array | ((encoder: GPUCommandEncoder, target: Binding) => void);

export type Inputs = Readonly<Record<string, Input>>;

/** A step of a plan, ready to be run. */
export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly grid: Step["grid"];
}

/** Adds a pass of dispatches. */
export function encode(
  encoder: GPUCommandEncoder,
  dispatches: readonly Dispatch[],
  timestampWrites?: GPUComputePassTimestampWrites,
): void {
  const pass = encoder.beginComputePass({ timestampWrites });
  let last: GPUComputePipeline | undefined;
  for (const { pipeline, group, grid } of dispatches) {
    if (pipeline !== last) pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...grid);
    last = pipeline;
  }
  pass.end();
}

/** A plan on a device: pipelines and bind groups are made once, then each run() is one command buffer and one submit. */
export class Executable {
  readonly plan: Plan;
  readonly device: Device;
  /** That of the device when this was made: on another one it is gone. */
  readonly #generation: number;
  /** What the plan's steps are on the device, in the same order. */
  dispatches: readonly Dispatch[] = [];
  readonly #storage: Storage;
  #owned: GPUBuffer[] = [];
  #inputs: readonly { name: string; shape: Shape; target: Binding }[] = [];
  #outputs: readonly { name: string; shape: Shape; source: Binding; staging: GPUBuffer }[] = [];
  #queue: Promise<unknown> = Promise.resolve();
  #pending = 0;
  #disposed = false;

  /**
   * Compiles while the parameters load. Throws a GpuError: OUT_OF_MEMORY says how much the plan needs, SHADER which
   * kernel does not compile. Nothing stays allocated after an error.
   */
  static async create(device: Device, plan: Plan, params: ParamStore): Promise<Executable> {
    const executable = new Executable(device, plan, await storageOf(plan.dtype));
    try {
      if (device.adapter.software) device.host.checkMemory?.(bytesOf(plan).total);
      await executable.#prepare(params);
      device.check(executable.#generation);
      return executable;
    } catch (error) {
      executable.dispose();
      if (!(error instanceof GpuError) || error.code !== "OUT_OF_MEMORY") throw error;
      throw new GpuError("OUT_OF_MEMORY", `${error.message}; ${memoryNeed(plan)}`, { cause: error });
    }
  }

  private constructor(device: Device, plan: Plan, storage: Storage) {
    this.device = device;
    this.#generation = device.generation;
    this.plan = plan;
    this.#storage = storage;
  }

  async #own(label: string, size: number, usage: number): Promise<GPUBuffer> {
    const buffer = await this.device.createBuffer(label, size, usage);
    this.#owned.push(buffer);
    return buffer;
  }

  async #prepare(params: ParamStore): Promise<void> {
    const { device } = this.device;
    const { steps, buffers, inputs, outputs, dtype } = this.plan;
    const usage = STORAGE | COPY_SRC | COPY_DST;
    const activations = await all(buffers.map((bytes, i) => this.#own(`activation ${i}`, bytes, usage)));
    const align = device.limits.minUniformBufferOffsetAlignment;
    const offsets: number[] = [];
    let end = 0;
    for (const { params: bytes } of steps) {
      offsets.push(end);
      end = roundUp(end + bytes.length, align);
    }
    const uniforms = await this.#own("params", end, UNIFORM | COPY_DST);
    const packed = new Uint8Array(end);
    steps.forEach((step, i) => {
      packed.set(step.params, offsets[i]);
    });
    this.device.write(uniforms, 0, packed);
    // Bound where an optional input is absent; never read.
    const absent = await this.#own("absent", 16, STORAGE);
    const stagings = await all(
      outputs.map(({ name, shape }) =>
        this.#own(`output ${name}`, bytesPerElement(dtype) * sizeOf(shape), MAP_READ | COPY_DST),
      ),
    );
    const compiled = steps.map(({ kernel, code, bindings }) => this.device.pipeline(kernel, code, bindings));
    const [pipelines, pieces] = await all([all(compiled), params.load(this.plan.params, dtype)]);
    const bindingOf = (place: Place | undefined): Binding =>
      place && "buffer" in place
        ? { ...place, buffer: activations[place.buffer] }
        : { offset: 0, ...place, buffer: place ? pieces[place.param][place.piece] : absent };
    this.device.check(this.#generation);
    const bind = () => {
      this.dispatches = steps.map((step, i) => ({
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
                : bindingOf(place),
          })),
        }),
      }));
    };
    const problem = await this.device.settle(this.device.guarded(bind));
    if (problem) throw problem;
    this.#inputs = inputs.map((input) => ({ ...input, target: bindingOf(input.place) }));
    this.#outputs = outputs.map((output, i) => ({
      ...output,
      source: bindingOf(output.place),
      staging: stagings[i],
    }));
  }

  /**
   * Runs once. Concurrent calls are queued. Inputs by name, each with exactly its elements; while they are still promised,
   * the call keeps its place in the queue. Outputs are copies: of all, or of those that `read` names. `signal` ends the
   * waiting, and the run if its turn has not come.
   */
  run(
    inputs: Inputs | Promise<Inputs>,
    read?: readonly string[],
    signal?: AbortSignal,
  ): Promise<Record<string, Tensor>> {
    checkOptions("run()", { signal }, ["signal"]);
    check(read === undefined || isTexts(read), "read", read, "an array of names");
    const promised = Promise.resolve(inputs);
    // Whoever asked hears of it when the turn comes.
    promised.catch(() => {});
    const turn = async () => {
      signal?.throwIfAborted();
      return this.#run(await promised, read);
    };
    return untilAborted(this.exclusive(turn), signal);
  }

  /** Where the last run left an output, as the plan's dtype: to draw it without reading it. Only inside exclusive(). */
  output(name: string): Binding {
    this.device.check(this.#generation);
    const names = this.#outputs.map((output) => output.name);
    checkChoice("the output", name, names);
    return this.#outputs[names.indexOf(name)].source;
  }

  /** Runs `work` after what was asked for before, and keeps what is asked for meanwhile waiting until it is done. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    if (this.#disposed) return Promise.reject(new DisposedError("the net"));
    this.#pending++;
    const result = this.#queue.then(work);
    this.#queue = result
      .catch(() => {})
      .then(() => {
        this.#pending--;
        if (this.#disposed && this.#pending === 0) this.#free();
      });
    return result;
  }

  /** Puts the inputs where the next dispatches read them; what encodes its own needs an encoder. Only inside exclusive(). */
  write(inputs: Readonly<Record<string, Float32Array>>): void;
  write(inputs: Inputs, encoder: GPUCommandEncoder): void;
  write(inputs: Inputs, encoder?: GPUCommandEncoder): void {
    this.device.check(this.#generation);
    for (const { name, shape, target } of this.#inputs) {
      const input: Input | undefined = Object(inputs)[name];
      if (typeof input === "function") input(encoder as GPUCommandEncoder, target);
      else {
        checkInput(name, shape, input);
        this.device.write(target.buffer, target.offset, this.#storage.pack(input));
      }
    }
  }

  /** Submits one run, and what `more` encodes behind it; resolves to what the device has against it. Only inside exclusive(). */
  submit(inputs: Inputs, more: (encoder: GPUCommandEncoder) => void): Promise<GpuError | undefined> {
    const { device } = this.device;
    return this.device.guarded(() => {
      const encoder = device.createCommandEncoder();
      this.write(inputs, encoder);
      encode(encoder, this.dispatches);
      more(encoder);
      device.queue.submit([encoder.finish()]);
    });
  }

  async #run(inputs: Inputs, read?: readonly string[]): Promise<Record<string, Tensor>> {
    const outputs = this.#outputs.filter(({ name }) => read?.includes(name) ?? true);
    const submitted = this.submit(inputs, (encoder) => {
      for (const { source, staging } of outputs)
        encoder.copyBufferToBuffer(source.buffer, source.offset, staging, 0, staging.size);
    });
    try {
      const mapped = Promise.all(outputs.map(({ staging }) => staging.mapAsync(MAP_READ)));
      const [{ value: problem }, reading] = await this.device.settle(settled(submitted, mapped));
      if (problem) throw problem;
      // Tells that the device was lost, where it was.
      if ("reason" in reading) await this.device.settle(Promise.reject(reading.reason));
      this.device.check(this.#generation);
      const results: Record<string, Tensor> = {};
      for (const { name, shape, staging } of outputs) {
        results[name] = { shape, data: this.#storage.unpack(staging.getMappedRange(), sizeOf(shape)) };
      }
      this.#storage.checkOutputs?.(Object.values(inputs), results);
      return results;
    } finally {
      // The next run copies to them, whatever became of this one.
      for (const { staging } of outputs) staging.unmap();
    }
  }

  /** Frees the buffers, after the runs that were already asked for; resolves then. Safe to call twice. */
  dispose(): Promise<unknown> {
    if (!this.#disposed && this.#pending === 0) this.#free();
    this.#disposed = true;
    return this.#queue;
  }

  #free(): void {
    for (const buffer of this.#owned) this.device.destroyBuffer(buffer);
    this.#owned = [];
  }
}

/** Both in their order, whether they were fulfilled or not. */
const settled = async <A, B>(a: Promise<A>, b: Promise<B>) =>
  (await Promise.allSettled([a, b])) as [{ value?: A }, PromiseSettledResult<B>];

/** Throws a ShapeError unless an input has exactly its elements. */
export function checkInput(name: string, shape: Shape, data: unknown): asserts data is Float32Array {
  if (!(data instanceof Float32Array)) throw new ShapeError(`the input "${name}" must be a Float32Array`);
  if (data.length !== sizeOf(shape)) {
    throw new ShapeError(
      `the input "${name}" has ${data.length} elements; its shape ${formatShape(shape)} has ${sizeOf(shape)}`,
    );
  }
}

function memoryNeed(plan: Plan): string {
  const { activations, weights, total } = bytesOf(plan);
  return `the net needs ${formatBytes(total)} (weights ${formatBytes(weights)}, activations ${formatBytes(activations)})`;
}
