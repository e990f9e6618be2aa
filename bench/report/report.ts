import type { AdapterSummary } from "../../engine/device/device.ts";
import type { Shape } from "../../engine/ground/tensor.ts";
import type { Roofline } from "../../engine/tuning/roofline.ts";

export type { Roofline } from "../../engine/tuning/roofline.ts";

// What `npm run bench:kernels` and `npm run bench:nets` measure, as they write it with --json. Times are in
// milliseconds, sizes in bytes, rates per second. Plain data, so that nothing here needs a GPU.

/** Grows when a reader of older files would misread newer ones. */
export const SCHEMA = 1;

/** Repeated timings of one thing, in milliseconds: see statistics.ts. */
export interface Timing {
  readonly runs: number;
  readonly median: number;
  readonly min: number;
  /** The median of the distances from the median. */
  readonly mad: number;
  /** The median of as many runs as one likes lies from `low` to `high`, with 95 % confidence. */
  readonly low: number;
  readonly high: number;
}

/** One layer, by one of its variants. */
export interface KernelRow {
  /** What tells it from other layers: "conv2d 1x64x56x56, w 64x64x3x3, b, padding 1, relu". The same in every run. */
  readonly layer: string;
  readonly batch: number;
  readonly operator: string;
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly output: Shape;
  readonly options: Readonly<Record<string, unknown>>;
  /** The variant's name; the operator's for the plain kernel. */
  readonly variant: string;
  /** True for one that a net takes when nobody asks for another. */
  readonly chosen: boolean;
  /** The kernels that it runs, in order. */
  readonly kernels: readonly string[];
  /** Which nets have the layer, and where. */
  readonly nets: readonly { readonly net: string; readonly layers: readonly string[] }[];
  /** "ok" was validated and timed; "wrong" failed validation and was not timed; "skipped" was not run, see `reason`. */
  readonly status: "ok" | "wrong" | "skipped";
  readonly reason?: string;
  /** Largest error of the outputs that were compared with the float64 reference, as a share of what is allowed. */
  readonly error?: number;
  /** Sum of its steps by the device's timestamps; undefined where it has none. */
  readonly gpu?: Timing;
  /** From submission until the computer knows that it is done. */
  readonly wall?: Timing;
  /** What the operator needs, however it is computed: Winograd does with fewer operations. */
  readonly flops: number;
  readonly bytes: number;
  /** Operations per second of `gpu`, else of `wall`. */
  readonly flopsRate?: number;
  readonly bytesRate?: number;
  /** Of min(peak, intensity x bandwidth); over 1 where a variant does with fewer operations or finds data in a cache. */
  readonly rooflineShare?: number;
}

/** One net at one batch size. */
export interface NetRow {
  readonly net: string;
  readonly batch: number;
  readonly status: "ok" | "wrong" | "skipped";
  readonly reason?: string;
  /** Largest difference of the logits from those of the plain kernels, over the rms of these. */
  readonly error?: number;
  /** One run(), from the input in memory to the logits in memory, when all is warm. */
  readonly wall?: Timing;
  /** Sum of the steps by the device's timestamps; undefined where it has none. */
  readonly gpu?: Timing;
  /** From the start of a new process until it has its first logits, without and with what the driver kept of earlier ones. */
  readonly cold?: { readonly uncached?: number; readonly cached?: number };
  readonly imagesPerSecond?: number;
  /** What the layers need after fusion, however they are computed. */
  readonly flops: number;
  /** Every tensor of every layer once. */
  readonly bytes: number;
  /** Operations per second of `wall`. */
  readonly flopsRate?: number;
  /** Least time of all layers, one after the other at the roofline, over `wall`. */
  readonly rooflineShare?: number;
  /** On the GPU. With large batches it is that of a slice: see engine/net.ts. */
  readonly memory: { readonly weights: number; readonly activations: number };
  /** Dispatches of one run. */
  readonly steps: number;
  /** Time per layer where timestamps tell it: the medians of its steps together, in the order they run. */
  readonly layers?: readonly {
    readonly layer: string;
    readonly kernels: readonly string[];
    readonly milliseconds: number;
  }[];
}

/** What was measured on, with what and when. */
export interface Run {
  readonly schema: typeof SCHEMA;
  /** False where it was interrupted: then there are fewer rows. */
  readonly complete: boolean;
  /** ISO 8601. */
  readonly date: string;
  readonly versions: { readonly shadenet: string; readonly node: string; readonly dawn: string };
  readonly adapter: Pick<AdapterSummary, "name" | "description" | "software">;
  readonly machine: { readonly cpu: string; readonly cores: number };
  readonly roofline: Roofline;
}

export interface KernelReport extends Run {
  readonly kind: "kernels";
  readonly rows: readonly KernelRow[];
}

export interface NetReport extends Run {
  readonly kind: "nets";
  readonly rows: readonly NetRow[];
}

export type Report = KernelReport | NetReport;

export type RowOf<R extends Report> = R["rows"][number];

/** What tells a row from the others of its report. */
export const keyOf = (row: RowOf<Report>): string =>
  "layer" in row ? `${row.layer}: ${row.variant}` : `${row.net}, batch ${row.batch}`;

/** The time that counts: of a layer the device's where it tells it, of a net what its user waits. */
export const timingOf = (row: RowOf<Report>): Timing | undefined => ("layer" in row ? (row.gpu ?? row.wall) : row.wall);
