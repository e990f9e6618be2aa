import type { Gpu } from "../../../engine/gpu.ts";
import { type Dispatch, encode } from "../../../engine/runtime.ts";
import { COPY_DST, COPY_SRC, MAP_READ, QUERY_RESOLVE } from "../../../engine/usage.ts";

/**
 * Times dispatches on the GPU. Browsers round its timestamps to 0.1 ms, much longer than most kernels take: what is short
 * is therefore run several times in a row, which is right for kernels that write what they wrote before.
 */
export class Clock {
  /** "gpu" for timestamps of the device, "wall" where it has none: then the time until the page hears of the end. */
  readonly kind: "gpu" | "wall";
  readonly #gpu: Gpu;
  readonly #querySet: GPUQuerySet | undefined;
  readonly #buffers: readonly GPUBuffer[];

  static async create(gpu: Gpu): Promise<Clock> {
    if (!gpu.device.features.has("timestamp-query")) return new Clock(gpu, undefined, []);
    const querySet = gpu.device.createQuerySet({ type: "timestamp", count: 2 });
    const resolved = await gpu.createBuffer("timestamps", 16, QUERY_RESOLVE | COPY_SRC);
    const staging = await gpu.createBuffer("timestamps to read", 16, MAP_READ | COPY_DST);
    return new Clock(gpu, querySet, [resolved, staging]);
  }

  private constructor(gpu: Gpu, querySet: GPUQuerySet | undefined, buffers: readonly GPUBuffer[]) {
    this.#gpu = gpu;
    this.#querySet = querySet;
    this.#buffers = buffers;
    this.kind = querySet ? "gpu" : "wall";
  }

  /** Milliseconds of the dispatches, one after the other, on average over so many repetitions. */
  async time(dispatches: readonly Dispatch[], repeats = 1): Promise<number> {
    const { device } = this.#gpu;
    this.#gpu.check();
    const [resolved, staging] = this.#buffers;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass(
      this.#querySet && {
        timestampWrites: { querySet: this.#querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
      },
    );
    for (let i = 0; i < repeats; i++) for (const dispatch of dispatches) encode(pass, dispatch);
    pass.end();
    if (this.#querySet) {
      encoder.resolveQuerySet(this.#querySet, 0, 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
    }
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    if (!this.#querySet) {
      await this.#gpu.settle(device.queue.onSubmittedWorkDone());
      this.#gpu.check();
      return (performance.now() - start) / repeats;
    }
    await this.#gpu.settle(staging.mapAsync(MAP_READ));
    const [begin, end] = new BigUint64Array(staging.getMappedRange());
    const milliseconds = Number(end - begin) / 1e6;
    staging.unmap();
    this.#gpu.check();
    return Math.max(0, milliseconds) / repeats;
  }

  /** How often to run what takes about so many milliseconds, for the clock to see it. */
  repeatsFor(milliseconds: number): number {
    return Math.min(MOST_REPEATS, Math.max(1, Math.ceil(LEAST_MS / Math.max(milliseconds, LEAST_MS / MOST_REPEATS))));
  }

  dispose(): void {
    this.#querySet?.destroy();
    for (const buffer of this.#buffers) this.#gpu.destroyBuffer(buffer);
  }
}

/** What is shorter is repeated until it takes this long: 1 or 2 percent of it are then lost in rounding. */
const LEAST_MS = 5;
const MOST_REPEATS = 500;
