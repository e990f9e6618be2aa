import { FileError, show, UsageError, WeightsError } from "../ground/errors.ts";
import type { Watch } from "../ground/options.ts";
import { formatShape, type Tensor } from "../ground/tensor.ts";
import type { ByteSource, Checkpoint, TensorInfo } from "./checkpoint.ts";
import { countElements, isStream, makeCheckpoint, quote } from "./checkpoint.ts";
import type { Weights } from "./open.ts";

/** A source over bytes in memory; what it reads are views of them, not copies. */
export function bytesSource(bytes: Uint8Array | ArrayBuffer, name = "the given bytes"): ByteSource {
  const all = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  return {
    name,
    size: all.length,
    async read(offset, length) {
      checkSpan(this, offset, length);
      return all.subarray(offset, offset + length);
    },
  };
}

/** A source over a Blob or a browser's File. */
export function blobSource(blob: Blob, name: string): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkSpan(this, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new FileError(`${name} can no longer be read; choose it again`, { cause });
      }
    },
  };
}

function checkSpan({ name, size }: ByteSource, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
    throw new FileError(`${name} has ${size} bytes; wanted ${length} from byte ${offset}`);
  }
}

/**
 * A checkpoint over tensors in memory. A bare Float32Array counts as one-dimensional; give a Tensor for any other
 * shape. What it reads are views of the given arrays, not copies.
 * @throws WeightsError when an array has not as many elements as its shape says.
 */
export function arraysCheckpoint(
  tensors: Readonly<Record<string, Float32Array | Tensor>> | ReadonlyMap<string, Float32Array | Tensor>,
  name = "the given arrays",
): Checkpoint {
  if (typeof name !== "string" || name.length > 1000)
    throw new UsageError(`got ${show(name)} for a name; wanted a string of up to 1000 characters`);
  if (typeof tensors !== "object" || tensors === null) {
    throw new UsageError(`got ${show(tensors)} for weights; wanted an object of arrays by their names`);
  }
  const infos = new Map<string, TensorInfo & Tensor>();
  for (const [key, value] of tensors instanceof Map ? tensors : Object.entries(tensors)) {
    const { shape, data }: Tensor =
      value instanceof Float32Array ? { shape: [value.length], data: value } : Object(value);
    if (!Array.isArray(shape) || !(data instanceof Float32Array)) {
      throw new WeightsError(`${quote(String(key))} of ${name} is no Float32Array and no tensor of one`);
    }
    if (data.length !== countElements(shape)) {
      throw new WeightsError(`${quote(key)} of ${name} has shape ${formatShape(shape)} but ${data.length} elements`);
    }
    infos.set(key, { shape, data, dtype: "F32" });
  }
  return makeCheckpoint(name, infos, { read: async ({ data }, start, count) => data.subarray(start, start + count) });
}

/**
 * Opens a checkpoint by what is in it, whatever it is called: safetensors, its index of shards, or PyTorch's .pth / .pt,
 * zipped or of before 1.6. The checkpoint owns the source from here on: `close()` closes it, and so does a failure to open.
 * @throws WeightsError when it is none of these or is damaged, FileError when it cannot be read.
 */
export async function openCheckpoint(source: ByteSource): Promise<Checkpoint> {
  if (typeof source?.read !== "function") {
    throw new UsageError(`got ${show(source)} for a source; wanted one of fileSource(), bytesSource() or blobSource()`);
  }
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

/** Opens weights that are no location; see openWeights. */
export async function openGiven(weights: Exclude<Weights, string | URL>, watch: Watch): Promise<Checkpoint> {
  if (weights instanceof Uint8Array || weights instanceof ArrayBuffer) return openCheckpoint(bytesSource(weights));
  if (weights instanceof Blob)
    return openCheckpoint(blobSource(weights, "name" in weights ? String(weights.name) : "the given blob"));
  if (isStream(weights)) return openGiven(await (await import("./streams.ts")).readStream(weights, watch), watch);
  if ("tensors" in weights && weights.tensors instanceof Map) return weights as Checkpoint;
  return arraysCheckpoint(weights as Record<string, Float32Array | Tensor>);
}
