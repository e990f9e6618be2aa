import { WeightsError } from "../ground/errors.ts";
import { type Shape, sizeOf } from "../ground/tensor.ts";

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

/** A name from a file, fit for a message: quoted, escaped and of bounded length. */
export const quote = (name: string): string => JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);

/** The element count of a shape from a file; NaN unless every size and product is a safe, non-negative integer. */
export function countElements(shape: readonly unknown[]): number {
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || (size as number) < 0) return NaN;
    count *= size as number;
    if (!Number.isSafeInteger(count)) return NaN;
  }
  return count;
}

/** A Checkpoint that checks the name and the range of every read; `read` and `close` do the rest. */
export function makeCheckpoint<Info extends TensorInfo>(
  name: string,
  tensors: ReadonlyMap<string, Info>,
  read: (info: Info, start: number, count: number) => Promise<Float32Array>,
  close: () => Promise<void> = async () => {},
): Checkpoint {
  return {
    name,
    tensors,
    close,
    async read(tensorName, start = 0, count) {
      const info = tensors.get(tensorName);
      if (!info) throw new WeightsError(`${name} has no tensor ${quote(tensorName)}; it has ${listNames(tensors)}`);
      const size = sizeOf(info.shape);
      const length = count ?? size - start;
      if (
        !(
          Number.isSafeInteger(start) &&
          Number.isSafeInteger(length) &&
          Math.min(start, length, size - start - length) >= 0
        )
      ) {
        throw new WeightsError(
          `${quote(tensorName)} of ${name} has ${size} elements; got the range of ${length} from element ${start}`,
        );
      }
      return read(info, start, length);
    },
  };
}

function listNames(tensors: ReadonlyMap<string, unknown>): string {
  const first = [...tensors.keys()].slice(0, 5).map(quote).join(", ");
  return tensors.size > 5 ? `${first} and ${tensors.size - 5} more` : first || "none";
}
