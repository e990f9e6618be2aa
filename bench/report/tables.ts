import { binaryBytes, clip, columns, percent } from "../../tools/format.ts";
import { lineWidth, paint } from "../../tools/terminal.ts";
import type { Change, Comparison } from "./compare.ts";
import type { KernelRow, NetRow, Report, Run, Timing } from "./report.ts";

// What a report says, as lines for a terminal.

/** Three digits, in the unit that suits them: "12.3 ms", "456 µs". */
export function milliseconds(ms: number): string {
  const [value, unit] = ms >= 1000 ? [ms / 1000, "s "] : ms >= 1 ? [ms, "ms"] : [ms * 1000, "µs"];
  return `${digits(value)} ${unit}`;
}

/** Three of them, without an exponent. */
const digits = (value: number): string => value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);

const NONE = "-";

const timing = (time: Timing | undefined): readonly [string, string] =>
  time ? [milliseconds(time.median), `±${percent(time.mad / time.median).trimStart()}`] : [NONE, ""];

const giga = (rate: number | undefined): string => (rate === undefined ? NONE : digits(rate / 1e9));

const share = (of: number | undefined): string => (of === undefined ? NONE : percent(of));

/** What was measured on, and what the numbers of the table are. */
export function describeRun({ adapter, machine, versions, roofline, complete }: Run): string[] {
  const { flops, bytes, clock } = roofline;
  const clocks =
    clock === "gpu"
      ? "GPU times are timestamps of the adapter, wall times the computer's; medians ± median deviation"
      : "wall time, since this adapter has no timestamps; medians ± median deviation";
  return [
    ...columns([
      ["Adapter", `${adapter.name}${adapter.software ? " (software)" : ""}`],
      ["Machine", `${machine.cpu}, ${machine.cores} cores`],
      ["Versions", `shadenet ${versions.shadenet}, Dawn of webgpu ${versions.dawn}, Node ${versions.node}`],
      ["Roofline", `${giga(flops)} GFLOP/s of multiply-adds, ${giga(bytes)} GB/s of copying, both measured now`],
      ["Clock", clocks],
    ]),
    ...(complete ? [] : ["Not complete: the run was ended before it had measured everything"]),
  ];
}

export function kernelTable(rows: readonly KernelRow[]): string[] {
  const [header, ...lines] = columns(
    [
      ["    Variant", "GPU", "", "Wall", "", "GFLOP/s", "GB/s", "Roofline", ""],
      ...rows.map((row) => [
        `  ${row.chosen ? "*" : " "} ${row.variant}`,
        ...timing(row.gpu),
        ...timing(row.wall),
        giga(row.flopsRate),
        giga(row.bytesRate),
        share(row.rooflineShare),
        row.status === "ok" ? "" : `${row.status}: ${row.reason}`,
      ]),
    ],
    [1, 2, 3, 4, 5, 6, 7],
  );
  return [
    paint("bold", header),
    ...lines.flatMap((line, i) => (rows[i].layer === rows[i - 1]?.layer ? [line] : [layerLine(rows[i]), line])),
    "",
    "* is what shadenet takes. More than 100 % of the roofline: Winograd's fewer operations, or data in a cache.",
  ];
}

function layerLine({ layer, nets }: KernelRow): string {
  const uses = nets.map(({ net, layers }) => (layers.length > 1 ? `${net} (${layers.length} times)` : net));
  return clip(`${layer}   in ${uses.join(", ")}`, Math.max(120, lineWidth()));
}

export function netTable(rows: readonly NetRow[]): string[] {
  const [header, ...lines] = columns(
    [
      [
        "Net",
        "Batch",
        "Wall",
        "",
        "GPU",
        "",
        "Images/s",
        "GFLOP/s",
        "Roofline",
        "Weights",
        "Activations",
        "Cold",
        "Again",
        "",
      ],
      ...rows.map((row) => [
        row.net,
        String(row.batch),
        ...timing(row.wall),
        ...timing(row.gpu),
        row.imagesPerSecond === undefined ? NONE : digits(row.imagesPerSecond),
        giga(row.flopsRate),
        share(row.rooflineShare),
        binaryBytes(row.memory.weights),
        binaryBytes(row.memory.activations),
        row.cold?.uncached ? milliseconds(row.cold.uncached) : NONE,
        row.cold?.cached ? milliseconds(row.cold.cached) : NONE,
        row.status === "ok" ? "" : `${row.status}: ${row.reason}`,
      ]),
    ],
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
  );
  return [
    paint("bold", header),
    ...lines,
    "",
    "Wall is one run() when all is warm, input and logits in memory. Cold is the first result of a new process, from its",
    "start, without the driver's cache of compiled shaders; Again is the same with it. GFLOP/s are effective: what the",
    "layers need, over Wall.",
  ];
}

export const table = (report: Report): string[] =>
  report.kind === "kernels" ? kernelTable(report.rows) : netTable(report.rows);

/** What got faster or slower, line by line. */
export function describeComparison(older: Report, name: string, comparison: Comparison): string[] {
  const { faster, slower, same, added, gone, failed, roofline } = comparison;
  const counts = [
    `${faster.length} faster`,
    `${slower.length} slower`,
    `${same.length} the same within their noise`,
    `${added.length} new`,
    `${gone.length} gone`,
  ];
  const changed = (changes: readonly Change[], word: string) =>
    changes.map(({ what, before, after, speedup, noise }) => [
      `${(speedup >= 1 ? speedup : 1 / speedup).toFixed(2)} x ${word}`,
      milliseconds(before.median),
      `→ ${milliseconds(after.median)}`,
      `noise ±${percent(noise).trimStart()}`,
      what,
    ]);
  return [
    paint("bold", `Compared with ${name} of ${older.date.slice(0, 10)}: ${counts.join(", ")}`),
    ...(isAlike(roofline.flops) && isAlike(roofline.bytes) ? [] : [unlike(roofline)]),
    ...columns([...changed(faster, "faster"), ...changed(slower, "slower")], [0, 1, 2]),
    ...added.map((what) => `new     ${what}`),
    ...gone.map((what) => `gone    ${what}`),
    ...failed.map((what) => `failed  ${what}`),
  ].map((line) => clip(line, Math.max(160, lineWidth())));
}

/** Rooflines of a quiet machine differ by less. */
const isAlike = (ratio: number): boolean => Math.abs(Math.log(ratio)) < Math.log(1.15);

const unlike = ({ flops, bytes }: Comparison["roofline"]): string =>
  `The adapter itself was not as fast: ${flops.toFixed(2)} times the multiply-adds and ${bytes.toFixed(2)} times the copies of before. Was the machine idle both times?`;
