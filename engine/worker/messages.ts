import type { AdapterSummary } from "../device/device.ts";
import type { Timings } from "../device/profile.ts";
import type { Step } from "../graph/plan.ts";
import {
  DisposedError,
  FileError,
  GpuError,
  ImageError,
  ShadenetError,
  ShapeError,
  UsageError,
  WeightsError,
} from "../ground/errors.ts";
import type { Shape } from "../ground/tensor.ts";

// What a page and its worker say to each other: see worker_client.ts and worker_server.ts.

/** From the page: calls a method, of a net if one is named. */
export interface WorkerCall {
  /** Never used twice. A net that the call loads goes by it from then on. */
  readonly id: number;
  readonly method: string;
  readonly net?: number;
  readonly args: readonly unknown[];
}

/** From the page: ends a call that still runs, and disposes of what it has made. */
export interface Release {
  readonly release: number;
}

/** From the worker: the end of a call, its progress, or the loss of the device. */
export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly net: NetFacts }
  | { readonly id: number; readonly error: unknown }
  | { readonly id: number; readonly progress: unknown }
  | { readonly lost: unknown };

/** What the page is told of the GPU. */
export interface GpuFacts {
  readonly adapter: AdapterSummary;
  readonly warnings: readonly string[];
}

/** What the page is told of a net. */
export interface NetFacts {
  readonly name: string;
  readonly inputShape: Shape;
  readonly layers: readonly string[];
  readonly warnings: readonly string[];
}

/** How long each step of a net took, and what the step is. */
export interface NetProfile extends Timings {
  readonly steps: readonly Pick<Step, "label" | "kernel" | "choice" | "grid" | "flops" | "bytes">[];
}

/** Classes of errors by their codes, since a minifier changes names. Any other code is a GpuError's. */
const KINDS: Readonly<Record<string, { readonly name: string; readonly prototype: ShadenetError }>> = {
  USAGE: UsageError,
  SHAPE: ShapeError,
  IMAGE: ImageError,
  WEIGHTS: WeightsError,
  FILE: FileError,
  DISPOSED: DisposedError,
};

/** An error as it can be sent; of our own kinds a browser would make plain Errors. */
export function encodeError(error: unknown): unknown {
  if (error instanceof ShadenetError) return { code: error.code, message: error.message };
  return error instanceof DOMException ? error : new Error(error instanceof Error ? error.message : String(error));
}

/** The error that was encoded, of the same class. */
export function decodeError(wire: unknown): unknown {
  if (wire instanceof Error) return wire;
  const { code, message } = wire as ShadenetError;
  const { name, prototype } = KINDS[code] ?? GpuError;
  return Object.assign(Object.setPrototypeOf(new ShadenetError(code, message), prototype), { name });
}
