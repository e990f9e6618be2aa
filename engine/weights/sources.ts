import { check, checkFields, checkObject, checkText, FileError, show, WeightsError } from "../ground/errors.ts";
import type { Watch } from "../ground/options.ts";
import type { Shape, Tensor } from "../ground/tensor.ts";
import type { ByteSource, Checkpoint, TensorInfo } from "./checkpoint.ts";
import { checkedSource, checkSpan, clip, countElements, isStream, makeCheckpoint, quote } from "./checkpoint.ts";
import type { Weights, WeightsTable } from "./open.ts";

// With what opens a checkpoint comes what matches it: a page waits for one file.
export { matchCheckpoint } from "./match.ts";

/** True for a buffer and for what is a view of one, of this page or another. */
const isBytes = (value: unknown): value is ArrayBuffer | ArrayBufferView =>
  ArrayBuffer.isView(value) || /^\[object (Shared)?ArrayBuffer]$/.test(Object.prototype.toString.call(value));

/** A source over bytes in memory; what it reads are views of them, not copies. Throws a UsageError for anything else. */
export function bytesSource(bytes: Uint8Array | ArrayBuffer, name = "the given bytes"): ByteSource {
  check(isBytes(bytes), "what to read", bytes, "a Uint8Array or an ArrayBuffer");
  checkText("the name of a source", name);
  const { buffer, byteOffset, byteLength } = ArrayBuffer.isView(bytes)
    ? bytes
    : { buffer: bytes, byteOffset: 0, byteLength: bytes.byteLength };
  // One that was transferred has no bytes, and no view of it can be made.
  const all = byteLength > 0 ? new Uint8Array(buffer, byteOffset, byteLength) : new Uint8Array();
  return {
    name: clip(name),
    size: byteLength,
    async read(offset, length) {
      checkSpan(this, offset, length);
      return all.subarray(offset, offset + length);
    },
  };
}

/** A source over a Blob or a browser's File. Throws a UsageError for anything else. */
export function blobSource(blob: Blob, name: string): ByteSource {
  checkFields("the blob", blob, { size: "number", slice: "function" });
  checkText("the name of a source", name);
  return {
    name: clip(name),
    size: blob.size,
    async read(offset, length) {
      checkSpan(this, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new FileError(`${this.name} can no longer be read; choose it again`, { cause });
      }
    },
  };
}

/**
 * A checkpoint over tensors in memory. A bare Float32Array counts as one-dimensional; give a Tensor for any other
 * shape. What it reads are views of the given arrays, not copies.
 * @throws WeightsError when an array has not as many elements as its shape says.
 */
export function arraysCheckpoint(
  tensors: Readonly<Record<string, Float32Array | Tensor>> | ReadonlyMap<string, Float32Array | Tensor>,
  called = "the given arrays",
): Checkpoint {
  checkText("the name of a checkpoint", called);
  const name = clip(called);
  if (!(tensors instanceof Map)) checkObject("the weights", tensors);
  const checkLength = (key: string, shape: Shape, { length }: Float32Array) => {
    if (length === countElements(shape)) return;
    throw new WeightsError(`${quote(key)} of ${name} has shape ${show(shape)} but ${length} elements`);
  };
  const infos = new Map<string, TensorInfo & Tensor>();
  for (const [key, value] of tensors instanceof Map ? tensors : Object.entries(tensors)) {
    const { shape, data }: Tensor =
      value instanceof Float32Array ? { shape: [value.length], data: value } : Object(value);
    if (!Array.isArray(shape) || !(data instanceof Float32Array)) {
      throw new WeightsError(`${quote(key)} of ${name} is no Float32Array and no tensor of one`);
    }
    checkLength(key, shape, data);
    infos.set(key, { shape, data, dtype: "F32" });
  }
  return makeCheckpoint(name, infos, {
    async read({ shape, data }, start, count, key) {
      // What a buffer that was transferred or resized since has left.
      checkLength(key, shape, data);
      return data.subarray(start, start + count);
    },
  });
}

/** Opens weights that are no location. Throws a UsageError for what is none of what they can be given as. */
export async function openGiven(weights: Exclude<Weights, string | URL>, watch: Watch): Promise<Checkpoint> {
  if (weights instanceof Blob)
    return openCheckpoint(blobSource(weights, "name" in weights ? String(weights.name) : "the given blob"));
  if (isBytes(weights)) return openCheckpoint(bytesSource(weights));
  if (isStream(weights)) return openGiven(await (await import("./streams.ts")).readStream(weights, watch), watch);
  return isCheckpoint(weights) ? checkCheckpoint(weights) : arraysCheckpoint(weights);
}

/** True for a checkpoint, and not for an object of arrays. */
export const isCheckpoint = (weights: object): weights is Checkpoint => Object(weights).tensors instanceof Map;

/** Throws a UsageError unless a checkpoint is as it says. */
function checkCheckpoint(checkpoint: Checkpoint): Checkpoint {
  checkFields("the checkpoint", checkpoint, { name: "string", read: "function", close: "function" });
  for (const [name, info] of checkpoint.tensors) {
    checkText("the name of a tensor", name);
    check(
      !Number.isNaN(countElements(Object(info).shape)),
      `the shape of ${quote(name)}`,
      info?.shape,
      "an array of sizes",
    );
  }
  return checkpoint;
}

/**
 * Opens a checkpoint by what is in it, whatever it is called: safetensors, its index of shards, or PyTorch's .pth / .pt,
 * zipped or of before 1.6. The checkpoint owns the source from here on: `close()` closes it, and so does a failure to open.
 * @throws WeightsError when it is none of these or is damaged, FileError when it cannot be read.
 */
export async function openCheckpoint(given: ByteSource): Promise<Checkpoint> {
  const source = checkedSource(given);
  try {
    const start = await source.read(0, Math.min(source.size, 512));
    // Its header begins with "{", behind the header's length in 8 bytes, the upper of which are zero.
    if (start[8] === 0x7b && start.subarray(4, 8).every((byte) => byte === 0)) {
      return await (await import("./safetensors.ts")).openSafetensors(source);
    }
    // Loaded only where it is needed: it is the largest part of what a browser would load.
    const { openOther } = await import("./pth.ts");
    return await openOther(source, start, openCheckpoint);
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

/** The error of weights that are not there; with the names there are, if these look like one. */
export function orNames(error: Error, { name, weights: table }: WeightsTable, weights: string | URL): Error {
  if (!(error instanceof FileError) || !/^[\w-]+$/.test(String(weights))) return error;
  const names = clip(Object.keys(table).join(", "));
  const told = names ? `the weights of ${name} by name are ${names}` : `${name} has no weights by name`;
  return new FileError(`${error.message}; ${told}`, { cause: error });
}
