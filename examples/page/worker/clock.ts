import type { Dispatch } from "../../../engine/device/executable.ts";
import { openStopwatch } from "../../../engine/device/stopwatch.ts";
import type { Gpu } from "../../../engine/gpu.ts";

/**
 * Times dispatches on the GPU. Browsers round its timestamps to 0.1 ms, much longer than most kernels take: what is short
 * is therefore run several times in a row, which is right for kernels that write what they wrote before.
 */
export interface Clock {
  /** "gpu" for timestamps of the device, "wall" where it has none: then the time until the page hears of the end. */
  readonly kind: "gpu" | "wall";
  /** Milliseconds of the dispatches, one after the other, on average over so many repetitions. */
  time(dispatches: readonly Dispatch[], repeats?: number): Promise<number>;
  close(): void;
}

export async function openClock(gpu: Gpu): Promise<Clock> {
  const stopwatch = await openStopwatch(gpu);
  return {
    kind: gpu.device.features.has("timestamp-query") ? "gpu" : "wall",
    async time(dispatches, repeats = 1) {
      gpu.check();
      const sample = await stopwatch.time(Array.from({ length: repeats }, () => dispatches).flat());
      return Math.max(0, sample.gpu ?? sample.wall) / repeats;
    },
    close: stopwatch.close,
  };
}

/** What is shorter is repeated until it takes this long: 1 or 2 percent of it are then lost in rounding. */
const LEAST_MS = 5;
const MOST_REPEATS = 500;

/** How often to run what takes about so many milliseconds, for the clock to see it. */
export const repeatsFor = (milliseconds: number): number =>
  Math.min(MOST_REPEATS, Math.max(1, Math.ceil(LEAST_MS / Math.max(milliseconds, LEAST_MS / MOST_REPEATS))));
