import type { PeerRow } from "../peers/results.ts";
import type { KernelRow, NetRow } from "../report/report.ts";
import { billions, digits, percent, time, times } from "./format.ts";
import { distinct, engineName, layeredRows, netName, slowdown, timingOf } from "./reports.ts";

// What the charts show of a report: plain data, without a chart library or a page.

/** A point under the roofline. */
export interface Point {
  /** Its colour, and its name in the legend. */
  readonly series: string;
  /** Operations per byte. */
  readonly intensity: number;
  /** Operations per second. */
  readonly rate: number;
  /** Drawn filled: what is taken when nobody asks for something else. */
  readonly chosen: boolean;
  readonly title: string;
  readonly lines: readonly string[];
}

export interface Bar {
  /** Its colour, and its name in the legend. */
  readonly series: string;
  readonly value: number;
  /** What is written behind it. */
  readonly label: string;
  /** Ends of the whisker, where the value has a spread. */
  readonly low?: number;
  readonly high?: number;
  readonly title: string;
  readonly lines: readonly string[];
}

/** Bars side by side, under one name. */
export interface BarGroup {
  readonly name: string;
  readonly bars: readonly Bar[];
}

export interface Bars {
  /** What the axis counts, with the unit. */
  readonly axis: string;
  readonly groups: readonly BarGroup[];
}

const ALL = "";

const isMeasured = (row: KernelRow): boolean => row.status === "ok" && timingOf(row) !== undefined;

/** The rows of one net, or of all. */
export const ofNet = (rows: readonly KernelRow[], net: string): KernelRow[] =>
  rows.filter(({ nets }) => net === ALL || nets.some((each) => each.net === net));

export function kernelPoints(rows: readonly KernelRow[]): Point[] {
  return rows.flatMap((row) => {
    const { flops, bytes, flopsRate, variant, chosen } = row;
    if (!isMeasured(row) || !flopsRate || flops === 0) return [];
    return [
      { series: variant, intensity: flops / bytes, rate: flopsRate, chosen, title: row.layer, lines: kernelLines(row) },
    ];
  });
}

function kernelLines(row: KernelRow): string[] {
  const timing = timingOf(row);
  return [
    `${row.variant}${row.chosen ? " (taken)" : ""}: ${time(timing?.median)}`,
    `${billions(row.flopsRate)} GFLOP/s, ${billions(row.bytesRate)} GB/s`,
    `${percent(row.rooflineShare)} of the roofline`,
    `in ${row.nets.map(({ net, layers }) => `${net} (${layers.length})`).join(", ")}`,
  ];
}

/** How a report on kernels can be read, by name. */
export const KERNEL_MEASURES = {
  Time: { axis: "milliseconds, less is better", value: (row: KernelRow) => timingOf(row)?.median, label: time },
  "GFLOP/s": {
    axis: "GFLOP/s, more is better",
    value: (row: KernelRow) => row.flopsRate && row.flopsRate / 1e9,
    label: digits,
  },
  "Share of the roofline": {
    axis: "% of the roofline, more is better",
    value: (row: KernelRow) => row.rooflineShare && 100 * row.rooflineShare,
    label: (value: number) => percent(value / 100),
  },
} as const;

export type KernelMeasure = keyof typeof KERNEL_MEASURES;

/** A group for every layer, a bar for every variant. Layers are named after where they are in `net`, if it is given. */
export function kernelBars(rows: readonly KernelRow[], net: string, measure: KernelMeasure): Bars {
  const { axis, value, label } = KERNEL_MEASURES[measure];
  const groups = distinct(rows.map(({ layer }) => layer)).map((layer) => {
    const variants = rows.filter((row) => row.layer === layer && isMeasured(row));
    const bars = variants.map((row) => {
      const amount = value(row) ?? 0;
      const timing = measure === "Time" ? timingOf(row) : undefined;
      return {
        series: row.variant,
        value: amount,
        label: `${label(amount)}${row.chosen && variants.length > 1 ? " ✓" : ""}`,
        low: timing?.low,
        high: timing?.high,
        title: layer,
        lines: kernelLines(row),
      };
    });
    return { name: layerName(rows, layer, net), bars };
  });
  return { axis, groups: groups.filter(({ bars }) => bars.length > 0) };
}

function layerName(rows: readonly KernelRow[], layer: string, net: string): string {
  const places = rows.find((row) => row.layer === layer)?.nets.find((each) => each.net === net)?.layers;
  if (!places) return layer;
  return places.length > 1 ? `${places[0]} +${places.length - 1}` : places[0];
}

export function netPoints(rows: readonly NetRow[]): Point[] {
  return rows.flatMap((row) => {
    const { flops, bytes, flopsRate, wall, rooflineShare } = row;
    if (!flopsRate || flops === 0) return [];
    const lines = [
      `${time(wall?.median)} per run`,
      `${billions(flopsRate)} GFLOP/s`,
      `${percent(rooflineShare)} of the roofline`,
    ];
    const title = netName(row);
    return [{ series: row.net, intensity: flops / bytes, rate: flopsRate, chosen: true, title, lines }];
  });
}

/** The series of nets. */
export const batchName = ({ batch }: NetRow): string => `batch ${batch}`;

/** How a report on nets can be read, by name. */
export const NET_MEASURES = {
  "Time of a run": { axis: "milliseconds, less is better", value: (row: NetRow) => row.wall?.median, label: time },
  "Images per second": {
    axis: "images per second, more is better",
    value: (row: NetRow) => row.imagesPerSecond,
    label: digits,
  },
  "Cold first result": {
    axis: "milliseconds, less is better",
    value: (row: NetRow) => row.cold?.uncached,
    label: time,
  },
} as const;

export type NetMeasure = keyof typeof NET_MEASURES;

/** A group for every net, a bar for every batch size. */
export function netBars(rows: readonly NetRow[], measure: NetMeasure): Bars {
  const { axis, value, label } = NET_MEASURES[measure];
  const groups = distinct(rows.map(({ net }) => net)).map((net) => ({
    name: net,
    bars: rows.flatMap((row) => {
      const amount = value(row);
      if (row.net !== net || row.status !== "ok" || amount === undefined) return [];
      const { wall, imagesPerSecond } = row;
      const timing = measure === "Time of a run" ? wall : undefined;
      const lines = [
        `${time(wall?.median)}, ${time(wall?.low)} to ${time(wall?.high)}`,
        `${digits(imagesPerSecond)} images per second`,
        `first result after ${time(row.cold?.uncached)}`,
      ];
      const text = label(amount);
      const bar = { series: batchName(row), value: amount, label: text, title: netName(row), lines };
      return [{ ...bar, low: timing?.low, high: timing?.high }];
    }),
  }));
  return { axis, groups: groups.filter(({ bars }) => bars.length > 0) };
}

/** The series of a net's layers. */
export const kernelsName = ({ kernels }: { readonly kernels: readonly string[] }): string =>
  distinct(kernels).join(" + ");

/** Time per layer of one net, coloured by the kernels that ran. */
export function layerBars(row: NetRow): Bars {
  const total = row.layers?.reduce((sum, { milliseconds }) => sum + milliseconds, 0) ?? 0;
  const groups = (row.layers ?? []).map(({ layer, kernels, milliseconds }) => {
    const lines = [kernels.join(", "), time(milliseconds), `${percent(milliseconds / total)} of all layers`];
    const bar = { series: kernelsName({ kernels }), value: milliseconds, label: time(milliseconds) };
    return { name: layer, bars: [{ ...bar, title: layer, lines }] };
  });
  return { axis: "milliseconds", groups };
}

/** The rows whose layers are known, by what they are called in a list to choose from. */
export const layerChoices = (rows: readonly NetRow[]): Map<string, NetRow> =>
  new Map(layeredRows(rows).map((row) => [netName(row), row]));

/** How a comparison can be read, by name. */
export const PEER_MEASURES = {
  "Times as long as shadenet": {
    axis: "times as long as shadenet, less is better",
    value: (row: PeerRow, rows: readonly PeerRow[]) => slowdown(row, rows),
    label: (value: number, row: PeerRow) => `${times(value)}  ${time(row.medianMs ?? undefined)}`,
  },
  "Time of a run": {
    axis: "milliseconds, less is better",
    value: (row: PeerRow) => row.medianMs ?? undefined,
    label: (value: number) => time(value),
  },
  "Cold first result": {
    axis: "milliseconds, less is better",
    value: (row: PeerRow) => row.coldMs ?? undefined,
    label: (value: number) => time(value),
  },
} as const;

export type PeerMeasure = keyof typeof PEER_MEASURES;

/** A group for every net, a bar for every engine. */
export function peerBars(rows: readonly PeerRow[], measure: PeerMeasure): Bars {
  const { axis, value, label } = PEER_MEASURES[measure];
  const groups = distinct(rows.map(netName)).map((name) => ({
    name,
    bars: rows.flatMap((row) => {
      const amount = value(row, rows);
      if (netName(row) !== name || amount === undefined) return [];
      const factor = slowdown(row, rows);
      const lines = [
        `${time(row.medianMs ?? undefined)}, ${times(factor)} as long as shadenet`,
        `first result after ${time(row.coldMs ?? undefined)}`,
      ];
      const title = `${engineName(row)}: ${name}`;
      return [{ series: engineName(row), value: amount, label: label(amount, row), title, lines }];
    }),
  }));
  return { axis, groups: groups.filter(({ bars }) => bars.length > 0) };
}
