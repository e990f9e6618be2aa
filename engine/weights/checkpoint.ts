import type { Shape } from "../ground/tensor.ts";

/** Random access to bytes: a file, a Buffer, a Blob or a cached download. */
export interface ByteSource {
  /** What to call it in messages: a path or a URL. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`; throws a FileError when they are not there. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close?(): Promise<void>;
}

export interface TensorInfo {
  readonly shape: Shape;
  /** As stored: "F32", "F16", "BF16", "I64", ... (the names of safetensors). */
  readonly dtype: string;
}

/**
 * Named tensors that are read on demand, so that loading never holds a whole file in memory.
 * Implemented for safetensors, for PyTorch's .pth and for an object of arrays.
 */
export interface Checkpoint {
  /** What to call it in messages. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** `count` elements of tensor `name` from element `start` in row-major order (all of it by default), as float32. */
  read(name: string, start?: number, count?: number): Promise<Float32Array>;
  close(): Promise<void>;
}
