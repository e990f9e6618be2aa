import { type Derivation, derive } from "../graph/graph.ts";
import type { ParamPlan } from "../graph/plan.ts";
import { show, WeightsError } from "../ground/errors.ts";
import { bytesPerElement, type Dtype, type Watch } from "../ground/options.ts";
import { all, keep } from "../ground/promises.ts";
import { sizeOf, sum } from "../ground/tensor.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import type { Device } from "./device.ts";
import { storageOf } from "./storage.ts";
import { COPY_DST, COPY_SRC, STORAGE } from "./usage.ts";

/** Elements that are read from a checkpoint at a time, so that a weight of 400 MB needs no second copy in memory. */
const UPLOAD_ELEMENTS = 4 * 2 ** 20;

/** So many of them may be on their way: a software adapter compiles for a second or more before it takes the first. */
const MOST_WRITING = 8;

/** The parameters of a net on the device, by name, shared by all plans that were made from one net. */
export class ParamStore {
  readonly warnings: string[];
  readonly #device: Device;
  readonly #checkpoint: Checkpoint;
  readonly #generation: number;
  #watch: Watch;
  readonly #pieces = new Map<string, Promise<GPUBuffer[]>>();
  #buffers: GPUBuffer[] = [];
  /** Full chunks that may not have reached their buffers yet. */
  #writing = 0;

  constructor(device: Device, checkpoint: Checkpoint, options: Watch = {}) {
    this.#device = device;
    this.#checkpoint = checkpoint;
    this.warnings = [...(checkpoint.warnings ?? [])];
    this.#generation = device.generation;
    this.#watch = options;
  }

  /** What is loaded from now on is told to nobody, and ended by nothing. */
  forgetWatch(): void {
    this.#watch = {};
  }

  /** The buffers of parameters, uploaded on first use, one after the other. */
  async load(params: readonly ParamPlan[], dtype: Dtype): Promise<GPUBuffer[][]> {
    const { signal, onProgress } = this.#watch;
    const total = sum(params.map(({ shape }) => sizeOf(shape)));
    let loaded = 0;
    const buffers: GPUBuffer[][] = [];
    for (const param of params) {
      signal?.throwIfAborted();
      buffers.push(await keep(this.#pieces, `${param.name} as ${dtype}`, () => this.#upload(param, dtype)));
      loaded += sizeOf(param.shape);
      onProgress?.({ phase: "load", file: this.#checkpoint.name, loaded, total });
    }
    return buffers;
  }

  async #upload(param: ParamPlan, dtype: Dtype): Promise<GPUBuffer[]> {
    const made: GPUBuffer[] = [];
    try {
      const buffers = await this.#fill(param, dtype, made);
      this.#buffers.push(...buffers);
      return buffers;
    } catch (error) {
      for (const buffer of made) this.#device.destroyBuffer(buffer);
      throw error;
    }
  }

  async #fill({ name, from, pieces }: ParamPlan, dtype: Dtype, made: GPUBuffer[]): Promise<GPUBuffer[]> {
    const elementBytes = bytesPerElement(dtype);
    const create = async (elements: number) => {
      const buffer = await this.#device.createBuffer(name, elements * elementBytes, STORAGE | COPY_SRC | COPY_DST);
      made.push(buffer);
      return buffer;
    };
    // At once, since the device takes its time to tell that there was memory.
    const creating = all(pieces.map(create));
    const size = sum(pieces);
    const [buffers, derived, storage] = await all([creating, from && this.#derive(name, from, size), storageOf(dtype)]);
    let isSound = true;
    let start = 0;
    for (const [i, elements] of pieces.entries()) {
      const buffer = buffers[i];
      for (let done = 0; done < elements; done += UPLOAD_ELEMENTS) {
        const count = Math.min(UPLOAD_ELEMENTS, elements - done);
        const first = start + done;
        const read = derived?.subarray(first, first + count) ?? (await this.#checkpoint.read(name, first, count));
        const chunk = this.#checked(name, read, count);
        isSound &&= allFinite(chunk);
        this.#device.check(this.#generation);
        const packed = storage.pack(chunk);
        storage.checkPacked?.(name, chunk, packed);
        this.#device.write(buffer, done * elementBytes, packed);
        // Dawn keeps a copy of what is written until the queue has run.
        if (count === UPLOAD_ELEMENTS && ++this.#writing === MOST_WRITING) {
          this.#writing = 0;
          this.#device.device.queue.submit([]);
          await this.#device.settle(this.#device.device.queue.onSubmittedWorkDone());
        }
      }
      start += elements;
    }
    if (!isSound) {
      this.warnings.push(`${name} of ${this.#checkpoint.name} has NaN or infinities in it: results will have, too`);
    }
    return buffers;
  }

  async #derive(name: string, from: Derivation, count: number): Promise<Float32Array> {
    return this.#checked(name, await derive(from, (source) => this.#checkpoint.read(source)), count);
  }

  /** A checkpoint and a derivation may be anybody's: of a wrong length, the device would hold something else in silence. */
  #checked(name: string, values: Float32Array, count: number): Float32Array {
    const { length } = values instanceof Float32Array ? values : [];
    if (length === count) return values;
    throw new WeightsError(`${show(name)} of ${this.#checkpoint.name} came with ${length} floats; wanted ${count}`);
  }

  /** Frees the buffers once nothing uses them any more: after `ended`, or at once. */
  dispose(ended?: Promise<unknown>): void {
    const free = () => {
      for (const buffer of this.#buffers) this.#device.destroyBuffer(buffer);
      this.#buffers = [];
    };
    if (ended) ended.then(free);
    else free();
  }
}

function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}
