import { median } from "../../engine/ground/statistics.ts";
import type { Timing } from "../report/report.ts";

/** Of the normal distribution: 95 % lie within so many standard deviations. */
const Z = 1.96;

/**
 * What repeated timings say. Medians, since whatever disturbs a run makes it longer, at times a lot longer. The interval
 * of the median goes between two of the sorted values, whatever their distribution is: so many of n runs are below the
 * true median as heads fall in n throws of a coin (W. Conover, "Practical Nonparametric Statistics", 3.2). Of fewer than
 * six runs it is their whole range, and can be trusted less.
 */
export function timingOfRuns(milliseconds: readonly number[]): Timing {
  const sorted = [...milliseconds].sort((a, b) => a - b);
  const runs = sorted.length;
  const middle = median(sorted);
  const below = Math.max(0, Math.floor((runs - 1 - Z * Math.sqrt(runs)) / 2));
  return {
    runs,
    median: middle,
    min: sorted[0],
    mad: median(sorted.map((value) => Math.abs(value - middle))),
    low: sorted[below],
    high: sorted[runs - 1 - below],
  };
}
