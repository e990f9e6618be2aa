import type { Device } from "./device.ts";
import { type Dispatch, encode } from "./executable.ts";
import { COPY_DST, COPY_SRC, MAP_READ, QUERY_RESOLVE } from "./usage.ts";

/** How long something took, in milliseconds: by the computer's clock, and by the device's where it has one. */
export interface Sample {
  readonly wall: number;
  readonly gpu?: number;
}

export interface Stopwatch {
  /** Runs dispatches as one submission, and waits for it. */
  time(dispatches: readonly Dispatch[]): Promise<Sample>;
  close(): void;
}

/** Times by the computer's clock, and by timestamps where the device has them. */
export async function openStopwatch(gpu: Device): Promise<Stopwatch> {
  const { device, generation } = gpu;
  const buffers: GPUBuffer[] = [];
  const createBuffer = async (label: string, usage: number) => {
    const buffer = await gpu.createBuffer(label, 16, usage);
    buffers.push(buffer);
    return buffer;
  };
  const querySet = device.features.has("timestamp-query")
    ? device.createQuerySet({ type: "timestamp", count: 2 })
    : undefined;
  const resolved = await createBuffer("timestamps", QUERY_RESOLVE | COPY_SRC);
  const staging = await createBuffer("timestamps to read", MAP_READ | COPY_DST);

  async function readTimestamps(): Promise<number> {
    await gpu.settle(staging.mapAsync(MAP_READ));
    const [begin, end] = new BigUint64Array(staging.getMappedRange(0, 16));
    staging.unmap();
    return Number(end - begin) / 1e6;
  }

  return {
    async time(dispatches) {
      const encoder = device.createCommandEncoder();
      const ends = querySet && { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
      encode(encoder, dispatches, ends);
      if (querySet) {
        encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
        encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
      }
      const start = performance.now();
      device.queue.submit([encoder.finish()]);
      await gpu.settle(device.queue.onSubmittedWorkDone());
      const wall = performance.now() - start;
      const sample = querySet ? { wall, gpu: await readTimestamps() } : { wall };
      gpu.check(generation);
      return sample;
    },
    close() {
      querySet?.destroy();
      for (const buffer of buffers) gpu.destroyBuffer(buffer);
    },
  };
}
