// Text for people, from values: pure functions.

/** "11.7", "0.062", "1,234": three digits, or all before the point. Intl has the same, but takes 35 ms to begin. */
export function count(value: number): string {
  if (Math.abs(value) < 1e-6) return scientific(value);
  if (Math.abs(value) < 999.5) return String(Number(value.toPrecision(3)));
  return value.toFixed(0).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** Bytes in megabytes of 10^6. */
export const megabytes = (bytes: number): string => `${count(bytes / 1e6)} MB`;

/** "0.012 ms", "3.21 ms", "1.25 s". */
export const duration = (milliseconds: number): string =>
  milliseconds < 1000 ? `${count(milliseconds)} ms` : `${count(milliseconds / 1000)} s`;

export const percent = (share: number): string => `${count(100 * share)} %`;

/** "64 × 112 × 112", without the batch. */
export const sizes = (shape: readonly number[]): string => shape.slice(1).join(" × ");

/** 3.1e-7 as "3.1 × 10⁻⁷". */
export function scientific(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const [digits, power] = value.toExponential(1).split("e");
  return `${digits} × 10${[...String(Number(power))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`;
}
