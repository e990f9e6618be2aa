// Text for terminals, from values: pure functions.

/** A bar of which `fraction` is full, to an eighth of a character; not padded. */
export function bar(fraction: number, width: number): string {
  const eighths = Math.round(Math.min(Math.max(fraction || 0, 0), 1) * width * 8);
  return "█".repeat(Math.floor(eighths / 8)) + (eighths % 8 ? " ▏▎▍▌▋▊▉"[eighths % 8] : "");
}

/** Always seven characters: "  0.0 %" to "100.0 %". */
export const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`.padStart(7);

/** 1234567 as "1,234,567". */
export const count = (n: number): string => n.toLocaleString("en-US");

/** Bytes in megabytes (10^6), as torchinfo has them. */
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

/** Bytes in the unit that suits them: "128 MiB". */
export function binaryBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes > 0 ? Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1) : 0;
  return `${Number((bytes / 1024 ** power).toFixed(1))} ${units[power]}`;
}

/** "0.4 ms", "12 ms", "3.1 s". */
export function duration(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** Rows in columns, each as wide as its widest cell; the columns in `right` are flush right. */
export function columns(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  const pad = (cell: string, i: number) => (right.includes(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i]));
  return rows.map((row) => row.map(pad).join("  ").trimEnd());
}

/** Cut to `width` characters, with an ellipsis where something is lost. */
export const clip = (text: string, width: number): string =>
  text.length > width ? `${text.slice(0, width - 1)}…` : text;

/** A text on one line and without control characters, whatever file it came from. */
export const oneLine = (text: string): string =>
  text
    .replace(/\s*[\r\n]+\s*/g, " ")
    .replace(/\p{Cc}/gu, "?")
    .trim();

/** An option's name as the command line has it: "numClasses" as "--num-classes". */
export const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** A message of the library, which names options as programs give them, as the command line gives them. */
export const inFlags = (message: string): string =>
  message.replace(/\bthe option (\w+): "?(\w+)"?/g, (_, name: string, value: string) =>
    value === "true" ? flagOf(name) : `${flagOf(name)} ${value}`,
  );
