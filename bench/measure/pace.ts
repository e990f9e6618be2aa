import type { Sample } from "../../engine/device/stopwatch.ts";
import type { Timing } from "../report/report.ts";
import { timingOfRuns } from "./statistics.ts";

export interface Pace {
  /** Runs of each task, after one that warms up. */
  readonly runs: number;
  /** Milliseconds after which a task is run no more, once it has three samples. */
  readonly budget: number;
  readonly signal?: AbortSignal;
}

/** A median of fewer would be a matter of luck. */
const FEWEST = 3;

/**
 * Runs several tasks in turns, so that whatever else goes on meanwhile slows all of them alike. Returns the samples of
 * each.
 */
export async function interleave(
  tasks: readonly (() => Promise<Sample>)[],
  { runs, budget, signal }: Pace,
): Promise<Sample[][]> {
  const results = tasks.map((task) => ({ task, samples: [] as Sample[], spent: 0 }));
  for (let round = 0; round <= runs; round++) {
    for (const result of results) {
      if (result.spent > budget && result.samples.length >= Math.min(FEWEST, runs)) continue;
      signal?.throwIfAborted();
      const sample = await result.task();
      result.spent += sample.wall;
      if (round > 0) result.samples.push(sample);
    }
  }
  return results.map(({ samples }) => samples);
}

/** Both clocks' times of samples. */
export function timingsOf(samples: readonly Sample[]): { readonly wall: Timing; readonly gpu?: Timing } {
  const gpu = samples.flatMap((sample) => sample.gpu ?? []);
  const wall = timingOfRuns(samples.map((sample) => sample.wall));
  return gpu.length > 0 ? { wall, gpu: timingOfRuns(gpu) } : { wall };
}
