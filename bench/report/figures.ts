import type { Figures, NetFigures } from "../../engine/tuning/figures.ts";
import { adapterName } from "../../engine/tuning/read_figures.ts";
import { milliseconds } from "./tables.ts";

// Files of figures that were sent, as one table.

const HEADER = [
  "adapter",
  "driver, backend, system",
  "date",
  "net",
  "batch",
  "dtype",
  "median",
  "fastest",
  "runs",
].concat(["first result", "agreement"]);
/** Columns of numbers. */
const RIGHT = ["batch", "median", "fastest", "runs", "first result", "agreement"];

/**
 * A table in Markdown: the files by adapter, system and date, which stand in the first row of each, and the nets of each by
 * name, batch and dtype.
 */
export function figuresTable(files: readonly Figures[]): string[] {
  const rows = files
    .map((file) => ({ file, origin: [adapterName(file), systemOf(file), file.date.slice(0, 10)] }))
    .sort((a, b) => compare([...a.origin, a.file.date], [...b.origin, b.file.date]))
    .flatMap(({ file, origin }) => {
      const nets = [...file.nets].sort((a, b) => compare([a.net, a.batch, a.dtype], [b.net, b.batch, b.dtype]));
      return nets.map((net, i) => [...(i === 0 ? origin : origin.map(() => "")), ...cellsOf(net)].map(plain));
    });
  const widths = HEADER.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i].length)));
  const rule = HEADER.map((name, i) => (RIGHT.includes(name) ? "-:".padStart(widths[i], "-") : "-".repeat(widths[i])));
  const pad = (cell: string, i: number) =>
    RIGHT.includes(HEADER[i]) ? cell.padStart(widths[i]) : cell.padEnd(widths[i]);
  return [HEADER, rule, ...rows].map((row) => `| ${row.map(pad).join(" | ")} |`);
}

const systemOf = ({ driver, backend, runtime, os }: Figures): string =>
  [driver, backend, runtime, os].filter(Boolean).join(", ");

const cellsOf = ({ net, batch, dtype, medianMs, fastestMs, runs, coldMs, agreement }: NetFigures): string[] => [
  net,
  String(batch),
  dtype,
  milliseconds(medianMs).trim(),
  milliseconds(fastestMs).trim(),
  String(runs),
  coldMs === undefined ? "-" : milliseconds(coldMs).trim(),
  agreement === 0 ? "0" : agreement.toExponential(1),
];

/** By the first key that differs; not by the language of whoever draws the table. */
function compare(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  const i = a.findIndex((key, at) => key !== b[at]);
  return i < 0 ? 0 : a[i] < b[i] ? -1 : 1;
}

/** What somebody sent, as a cell that is text and nothing else. */
const plain = (text: string): string =>
  text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .slice(0, 200)
    .replace(/[\\|`*<>[\]!]/g, (mark) => `\\${mark}`);
