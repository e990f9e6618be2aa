import { checkFields, FileError, show, WeightsError } from "../ground/errors.ts";
import { type Shape, sizeOf } from "../ground/tensor.ts";

/** Uint8Array<ArrayBuffer>, as TypeScript before 5.7 reads it, too. */
export type Bytes = ReturnType<Uint8Array["map"]>;

/** Random access to bytes: a file, a Buffer, a Blob or a cached download. */
export interface ByteSource {
  /** What to call it in messages: a path or a URL. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`; throws a FileError when they are not there. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close?(): Promise<void>;
  /** Opens the file of this name in the same folder, where there is one: a checkpoint may be in several files. */
  beside?(name: string): Promise<ByteSource>;
}

/** Bytes that come once: what fetch() answered, or a stream of the web or of Node. */
export type Stream = Response | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

export const isStream = (given: unknown): given is Stream =>
  typeof given === "object" &&
  given !== null &&
  (given instanceof Response || "getReader" in given || Symbol.asyncIterator in given);

/** Throws a FileError unless a source has these bytes. */
export function checkSpan({ name, size }: Pick<ByteSource, "name" | "size">, offset: number, length: number): void {
  const isSpan = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!isSpan || offset + length > size)
    throw new FileError(`${name} has ${size} bytes; wanted ${show(length)} from byte ${show(offset)}`);
}

/** A source that gives what it is asked for or throws a FileError. Throws a UsageError for what is no source. */
export function checkedSource(source: ByteSource): ByteSource {
  checkFields("the source", source, { name: "string", size: "number", read: "function" });
  const name = clip(source.name);
  return {
    name,
    size: source.size,
    async read(offset, length) {
      const bytes: unknown = await source.read(offset, length);
      if (bytes instanceof Uint8Array && bytes.length === length) return bytes;
      const got = bytes instanceof Uint8Array ? `${bytes.length} bytes` : show(bytes);
      throw new FileError(`${name} gave ${got}; wanted ${length} bytes from byte ${offset}`);
    },
    close: async () => source.close?.(),
    beside: source.beside?.bind(source),
  };
}

export interface TensorInfo {
  readonly shape: Shape;
  /** As stored: "F32", "F16", "BF16", "I64", ... (the names of safetensors). */
  readonly dtype: string;
}

/**
 * Named tensors that are read on demand, so that loading never holds a whole file in memory.
 * Implemented for safetensors, for PyTorch's .pth, for ONNX models and for an object of arrays.
 */
export interface Checkpoint {
  /** What to call it in messages. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Texts that the file keeps beside its tensors: safetensors' `__metadata__`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** All mappings of names to tensors, where a file has several, by the keys that lead there: "model_ema", "net.ema". */
  readonly parts?: ReadonlyMap<string, Checkpoint>;
  /** What is odd about it, such as a prefix that was taken off its names. */
  readonly warnings?: readonly string[];
  /** `count` elements of tensor `name` from element `start` in row-major order (all of it by default), as float32. */
  read(name: string, start?: number, count?: number): Promise<Float32Array>;
  /** The same elements as they are stored, little-endian and one after the other. Checkpoints of files have it. */
  readBytes?(name: string, start?: number, count?: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** What an optimizer keeps of tensors stands beside them under names that begin so. */
export const OPTIMIZER = "optimizer.";

/** A name from a file, fit for a message: quoted, escaped and of bounded length. */
export const quote = (name: unknown): string =>
  typeof name === "string" ? JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name) : show(name);

/** A text from outside, fit for a message: of bounded length. */
export const clip = (text: string): string => (text.length > 300 ? `${text.slice(0, 300)}…` : text);

/** The first few names of many, fit for a message; "none" of none. */
export function listNames(names: Iterable<string>, most = 5): string {
  const all = [...names];
  const first = all.slice(0, most).map(quote).join(", ");
  return all.length > most ? `${first} and ${all.length - most} more` : first || "none";
}

/** A plain name of a file, which leads nowhere else as a path or as an address. */
export const isBeside = (file: string): boolean =>
  file.length <= 255 && !/[/\\:\0?#%]/.test(file) && !/^\.{0,2}$/.test(file);

/** The element count of a shape from a file; NaN unless every size and product is a safe, non-negative integer. */
export function countElements(shape: unknown): number {
  if (!Array.isArray(shape)) return NaN;
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || (size as number) < 0) return NaN;
    count *= size as number;
    if (!Number.isSafeInteger(count)) return NaN;
  }
  return count;
}

/** Reads elements of a tensor that is there, in a range that is legal. `name` is for messages. */
type Read<Info, Values> = (info: Info, start: number, count: number, name: string) => Promise<Values>;

/** A Checkpoint that checks the name and the range of every read; `read` and the others do the rest. */
export function makeCheckpoint<Info extends TensorInfo>(
  name: string,
  tensors: ReadonlyMap<string, Info>,
  {
    read,
    readBytes,
    close = async () => {},
    ...more
  }: Pick<Checkpoint, "metadata" | "parts"> & {
    readonly read: Read<Info, Float32Array>;
    readonly readBytes?: Read<Info, Uint8Array>;
    readonly close?: () => Promise<void>;
  },
): Checkpoint {
  const checked =
    <Values>(read: Read<Info, Values>) =>
    async (tensorName: string, start = 0, count?: number): Promise<Values> => {
      const info = tensors.get(tensorName);
      if (!info)
        throw new WeightsError(`${name} has no tensor ${quote(tensorName)}; it has ${listNames(tensors.keys())}`);
      const size = sizeOf(info.shape);
      const length = count ?? (Number.isSafeInteger(start) ? size - start : 0);
      const isRange = Number.isSafeInteger(start) && Number.isSafeInteger(length);
      if (!isRange || Math.min(start, length, size - start - length) < 0) {
        throw new WeightsError(
          `${quote(tensorName)} of ${name} has ${size} elements; got the range of ${show(length)} from element ${show(start)}`,
        );
      }
      return read(info, start, length, tensorName);
    };
  return { name, tensors, ...more, close, read: checked(read), readBytes: readBytes && checked(readBytes) };
}
