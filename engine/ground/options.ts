import { checkChoice } from "./errors.ts";

/** How tensors are stored on the device. */
export type Dtype = "f32" | "f16";

/** Throws a UsageError unless it is one. */
export const checkDtype = (dtype: unknown): void => checkChoice("dtype", dtype, ["f32", "f16"]);

export const bytesPerElement = (dtype: Dtype): number => (dtype === "f16" ? 2 : 4);

export interface Progress {
  readonly phase: "download" | "load" | "tune";
  /** What is being read, or the layer that is being measured. */
  readonly file: string;
  /** Bytes when downloading, elements when loading, layers when tuning. */
  readonly loaded: number;
  readonly total: number;
}

/** What everything that takes long has. */
export interface Watch {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}
