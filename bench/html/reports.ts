import type { PeerRow } from "../peers/results.ts";
import type { KernelRow, NetRow, Report, Run } from "../report/report.ts";

export interface PeerReport {
  readonly kind: "peers";
  /** When the page was written. */
  readonly date: string;
  readonly rows: readonly PeerRow[];
}

/** All that the page can show. */
export type PageReport = Report | PeerReport;

/** The engine that the others are compared with. */
export const OURS = "shadenet";

/** How an engine is called, with what it computes on. */
export const engineName = ({ engine, provider }: Pick<PeerRow, "engine" | "provider">): string =>
  engine === OURS ? engine : `${engine} ${provider === "webgpu" ? "WebGPU" : provider.toUpperCase()}`;

/** A net at a batch size, in one word or two. */
export const netName = ({ net, batch }: { readonly net: string; readonly batch: number }): string =>
  batch === 1 ? net : `${net}, batch ${batch}`;

/** The time that a row is judged by: the device's where it tells it. */
export const timingOf = ({ gpu, wall }: KernelRow) => gpu ?? wall;

/** How often a peer's median is ours; undefined where either was not measured. */
export function slowdown(row: PeerRow, rows: readonly PeerRow[]): number | undefined {
  const ours = rows.find(({ engine, net, batch }) => engine === OURS && net === row.net && batch === row.batch);
  return row.medianMs && ours?.medianMs ? row.medianMs / ours.medianMs : undefined;
}

/** Every value once, in the order in which they come. */
export const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** The nets that a report on kernels has, in order. */
export const netsOf = (rows: readonly KernelRow[]): string[] =>
  distinct(rows.flatMap(({ nets }) => nets.map(({ net }) => net)));

export const clockName = (clock: Run["roofline"]["clock"]): string =>
  clock === "gpu" ? "timestamps of the GPU" : "wall time";

/** The nets of which times per layer are known. */
export const layeredRows = (rows: readonly NetRow[]): NetRow[] => rows.filter(({ layers }) => layers !== undefined);
