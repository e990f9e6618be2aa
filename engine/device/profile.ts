import { check, isCount } from "../ground/errors.ts";
import { type Executable, encode } from "./executable.ts";
import { COPY_DST, COPY_SRC, MAP_READ, QUERY_RESOLVE } from "./usage.ts";

/** When something ran, in milliseconds. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** How long a plan's steps took, and by which clock. */
export interface Timings {
  /** "gpu" for timestamps of the device; "wall" where it has none: then each step is submitted and waited for alone. */
  readonly clock: "gpu" | "wall";
  /** For every run, for every step of the plan: when it began and ended, counted from the beginning of the run. */
  readonly runs: readonly (readonly Span[])[];
}

/** Throws a UsageError unless it is a number of runs, and not so many that nobody sees their end. */
export const checkRuns = (runs: unknown): void =>
  check(isCount(runs) && runs <= 1e6, "runs", runs, "a positive integer up to a million");

/**
 * Times every step of a net's plan. Each has a compute pass of its own, so that a run takes a little longer than
 * Net.run(). Inputs by name, as Executable.run() takes them; `runs` measured runs follow one that warms up. `onRun` is
 * told how many have ended; what it throws ends the measurement. Throws what Executable.run() throws.
 */
export async function timeSteps(
  executable: Executable,
  inputs: Readonly<Record<string, Float32Array>>,
  runs = 5,
  onRun?: (ended: number) => void,
): Promise<Timings> {
  checkRuns(runs);
  return executable.exclusive(async () => {
    const { device: gpu } = executable;
    const { generation } = gpu;
    gpu.check();
    const hasTimestamps = gpu.device.features.has("timestamp-query");
    const stopwatch = hasTimestamps ? await timestamps(executable) : wallClock(executable);
    try {
      const results: Span[][] = [];
      for (let run = 0; run <= runs; run++) {
        executable.write(inputs);
        const spans = await stopwatch.time();
        gpu.check(generation);
        if (run > 0) results.push(spans);
        onRun?.(run);
      }
      return { clock: hasTimestamps ? "gpu" : "wall", runs: results };
    } finally {
      stopwatch.dispose();
    }
  });
}

/** A way to time the steps of one run. */
interface StepClock {
  time(): Promise<Span[]>;
  dispose(): void;
}

/** Steps whose begin and end fit one query set: WebGPU's limit are 4096 queries. */
const STEPS_PER_SET = 2048;

/** Bytes of a step's two timestamps. */
const STEP_BYTES = 16;

async function timestamps({ device: gpu, dispatches }: Executable): Promise<StepClock> {
  const { device } = gpu;
  const bytes = STEP_BYTES * dispatches.length;
  const resolved = await gpu.createBuffer("timestamps", bytes, QUERY_RESOLVE | COPY_SRC);
  const staging = await gpu.createBuffer("timestamps to read", bytes, MAP_READ | COPY_DST).catch((error) => {
    gpu.destroyBuffer(resolved);
    throw error;
  });
  const groups = Array.from({ length: Math.ceil(dispatches.length / STEPS_PER_SET) }, (_, i) => {
    const some = dispatches.slice(i * STEPS_PER_SET, (i + 1) * STEPS_PER_SET);
    return { some, querySet: device.createQuerySet({ type: "timestamp", count: 2 * some.length }) };
  });
  return {
    async time() {
      const encoder = device.createCommandEncoder();
      groups.forEach(({ some, querySet }, group) => {
        some.forEach((dispatch, i) => {
          encode(encoder, [dispatch], {
            querySet,
            beginningOfPassWriteIndex: 2 * i,
            endOfPassWriteIndex: 2 * i + 1,
          });
        });
        encoder.resolveQuerySet(querySet, 0, 2 * some.length, resolved, group * STEPS_PER_SET * STEP_BYTES);
      });
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
      device.queue.submit([encoder.finish()]);
      await gpu.settle(staging.mapAsync(MAP_READ));
      const spans = readSpans(new BigUint64Array(staging.getMappedRange(0, bytes)));
      staging.unmap();
      return spans;
    },
    dispose() {
      for (const { querySet } of groups) querySet.destroy();
      gpu.destroyBuffer(resolved);
      gpu.destroyBuffer(staging);
    },
  };
}

/** Begin and end of every step from nanoseconds of the device's clock, which need not start at zero. */
function readSpans(nanoseconds: BigUint64Array): Span[] {
  const since = (i: number) => Number(nanoseconds[i] - nanoseconds[0]) / 1e6;
  return Array.from({ length: nanoseconds.length / 2 }, (_, i) => {
    const start = since(2 * i);
    // A clock may be set back between two passes; no step takes less than no time.
    return { start, end: Math.max(start, since(2 * i + 1)) };
  });
}

function wallClock({ device: gpu, dispatches }: Executable): StepClock {
  const { device } = gpu;
  return {
    async time() {
      // Whatever was written must not count as the first step's.
      await gpu.settle(device.queue.onSubmittedWorkDone());
      const origin = performance.now();
      const spans: Span[] = [];
      for (const dispatch of dispatches) {
        const encoder = device.createCommandEncoder();
        encode(encoder, [dispatch]);
        const start = performance.now() - origin;
        device.queue.submit([encoder.finish()]);
        await gpu.settle(device.queue.onSubmittedWorkDone());
        gpu.check();
        spans.push({ start, end: performance.now() - origin });
      }
      return spans;
    },
    dispose() {},
  };
}
