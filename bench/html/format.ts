// Numbers for people, in three digits. Undefined is a dash.

/** "0.352 ms", "98.1 ms", "4.06 s"; of less than 0.1 ms, in microseconds. */
export function time(ms: number | undefined): string {
  if (ms === undefined) return "–";
  if (ms >= 1000) return `${digits(ms / 1000)} s`;
  return ms < 0.1 ? `${digits(1000 * ms)} µs` : `${digits(ms)} ms`;
}

/** Operations or bytes per second in billions, without the unit. */
export const billions = (rate: number | undefined): string => (rate === undefined ? "–" : digits(rate / 1e9));

/** "6.0 %", "83 %" */
export const percent = (share: number | undefined): string =>
  share === undefined ? "–" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

export const megabytes = (bytes: number | undefined): string =>
  bytes === undefined ? "–" : `${digits(bytes / 1e6)} MB`;

/** "10.2×" */
export const times = (factor: number | undefined): string => (factor === undefined ? "–" : `${digits(factor)}×`);

/** "1,234", "98.1", "0.352", "1.2e-7". */
export function digits(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 99.95 || value === 0) return count(Math.round(value));
  return size < 0.001 ? value.toExponential(1) : value.toPrecision(3);
}

/** Whole numbers: "1,234,567". */
export const count = (value: number): string => value.toLocaleString("en-US");
