import { median } from "../../engine/ground/statistics.ts";
import { columns, count } from "../../tools/format.ts";
import { netName } from "../html/reports.ts";
import type { EngineName, Provider, Training } from "./engines.ts";

// Which engines agree, how long to go on, and what is told of it all: pure functions.

/** One engine with one net, as --json writes it. Times are in milliseconds. */
export interface PeerRow {
  readonly engine: EngineName;
  readonly provider: Provider;
  readonly version: string;
  readonly adapter: string;
  /** In which browser; undefined for Node. */
  readonly browser?: string;
  readonly net: string;
  readonly batch: number;
  /** How the net is trained; undefined where it is run. */
  readonly training?: Training;
  /** From before the engine is imported to the first logits, or loss, in memory, in new processes without a shader cache: the median. */
  readonly coldMs: number | null;
  /** From the input in memory to the logits, or a step's loss, in memory, when all is warm. */
  readonly medianMs: number | null;
  readonly minMs: number | null;
  readonly runs: number;
  /** Another engine that computes the same logits or losses; null where none was compared or none agrees. */
  readonly agreesWith: string | null;
  /** Why it was not timed. */
  readonly error?: string;
}

/** Largest difference of equal logits over their rms, and of equal losses over themselves. Engines in float32 differ by less than a tenth of this. */
export const TOLERANCE = 1e-4;

/** Largest difference of two outputs over the rms of the second; infinite where there is a NaN. */
export function difference(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Infinity;
  let [largest, squares] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i] - want[i]);
    if (Number.isNaN(error)) return Infinity;
    largest = Math.max(largest, error);
    squares += want[i] ** 2;
  }
  return largest / Math.sqrt(squares / want.length);
}

/** Largest difference of values over those of the second; infinite where there is a NaN. */
export function relativeDifference(got: ArrayLike<number>, want: ArrayLike<number>): number {
  const errors = Array.from(want, (value, i) => Math.abs(got[i] / value - 1));
  return got.length !== want.length || errors.some(Number.isNaN) ? Infinity : Math.max(...errors);
}

/** How outputs are compared and called. */
export const LOGITS = { name: "logits", unit: "the rms", difference };
export const LOSSES: typeof LOGITS = { name: "losses", unit: "their size", difference: relativeDifference };

export interface Agreement {
  readonly agreesWith: string | null;
  readonly error?: string;
}

/** Compares outputs by the names of their engines: each agrees with the first other one that it is close to. */
export function agreements(
  outputs: ReadonlyMap<string, ArrayLike<number>>,
  { name: what, unit, difference }: typeof LOGITS,
): Map<string, Agreement> {
  const agreement = (name: string, output: ArrayLike<number>): Agreement => {
    const others = [...outputs].filter(([other]) => other !== name);
    const differences = others.map(([other, want]) => ({ other, by: difference(output, want) }));
    const close = differences.find(({ by }) => by <= TOLERANCE);
    if (close || others.length === 0) return { agreesWith: close?.other ?? null };
    const { other, by } = differences.reduce((nearest, each) => (each.by < nearest.by ? each : nearest));
    const error = `its ${what} are ${by.toPrecision(2)} of ${unit} away from the nearest, those of ${other}`;
    return { agreesWith: null, error: `${error}; ${TOLERANCE} is allowed` };
  };
  return new Map([...outputs].map(([name, output]) => [name, agreement(name, output)]));
}

/** How long to measure a net. */
export interface Effort {
  /** Cold starts of every engine. */
  readonly cold: number;
  /** Turns of every engine at least. */
  readonly turns: number;
  /** Seconds that the slowest engine may take in all, unless the turns at least take longer. */
  readonly seconds: number;
}

/** How much of the measuring is done after so many turns, 1 at its end or without engines, from the times per engine. */
export function progressOf(
  turn: number,
  times: readonly (readonly number[])[],
  { turns, seconds }: Pick<Effort, "turns" | "seconds">,
): number {
  if (times.length === 0) return 1;
  const slowest = Math.max(...times.map((each) => each.reduce((sum, ms) => sum + ms, 0) / 1000));
  return Math.min(turn / turns, slowest / seconds, 1);
}

/** A list that starts with another of its elements every time, so that none always runs after the same one. */
export const rotated = <T>(list: readonly T[], by: number): T[] => list.map((_, i) => list[(i + by) % list.length]);

/** Median and least of an engine's times, or nothing where there are none. */
export const statistics = (times: readonly number[]): Pick<PeerRow, "medianMs" | "minMs" | "runs"> =>
  times.length === 0
    ? { medianMs: null, minMs: null, runs: 0 }
    : { medianMs: median(times), minMs: Math.min(...times), runs: times.length };

/** Lines of a table: a row per engine and net, with its times in units of ours. */
export function table(rows: readonly PeerRow[], nameOf: (row: PeerRow) => string): string[] {
  const header = ["Net", "Engine", "Cold, ms", "to ours", "Median, ms", "to ours", "Least, ms", "Runs", "Agrees with"];
  const body = rows.map((row, i) => {
    const ours = rows.find(({ engine, net }) => engine === "shadenet" && net === row.net);
    return [
      rows[i - 1]?.net === row.net ? "" : netName(row),
      nameOf(row),
      milliseconds(row.coldMs),
      ratio(row.coldMs, ours?.coldMs),
      milliseconds(row.medianMs),
      ratio(row.medianMs, ours?.medianMs),
      milliseconds(row.minMs),
      String(row.runs),
      row.error ? `not timed: ${row.error}` : (row.agreesWith ?? "none compared"),
    ];
  });
  return columns([header, ...body], [2, 3, 4, 5, 6, 7]);
}

/** Three digits: "5,641", "52.3", "0.35". */
function milliseconds(ms: number | null): string {
  if (ms === null) return "-";
  return ms >= 99.95 ? count(Math.round(ms)) : ms.toPrecision(3);
}

const ratio = (ms: number | null, ours: number | null | undefined): string =>
  ms && ours ? `${ms / ours < 9.95 ? (ms / ours).toPrecision(2) : (ms / ours).toFixed(0)} x` : "-";
