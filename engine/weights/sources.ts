import { FileError, WeightsError } from "../ground/errors.ts";
import { formatShape, type Shape, sameShape, type Tensor } from "../ground/tensor.ts";
import type { ByteSource, Checkpoint, TensorInfo } from "./checkpoint.ts";
import { countElements, makeCheckpoint, openSafetensors, quote } from "./safetensors.ts";

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
  const infos = new Map<string, TensorInfo & Tensor>();
  for (const [key, value] of tensors instanceof Map ? tensors : Object.entries(tensors)) {
    const { shape, data }: Tensor = value instanceof Float32Array ? { shape: [value.length], data: value } : value;
    if (data.length !== countElements(shape)) {
      throw new WeightsError(`${quote(key)} of ${name} has shape ${formatShape(shape)} but ${data.length} elements`);
    }
    infos.set(key, { shape, data, dtype: "F32" });
  }
  return makeCheckpoint(name, infos, async ({ data }, start, count) => data.subarray(start, start + count));
}

/**
 * Opens a checkpoint by what is in it, whatever it is called: safetensors, or PyTorch's .pth / .pt, zipped or of
 * before 1.6. The checkpoint owns the source from here on: `close()` closes it, and so does a failure to open.
 * @throws WeightsError when it is none of these or is damaged, FileError when it cannot be read.
 */
export async function openCheckpoint(source: ByteSource): Promise<Checkpoint> {
  try {
    const start = await source.read(0, Math.min(source.size, 512));
    // "PK" opens a zip archive, 0x80 and a protocol number a pickle; the header of safetensors begins with "{".
    // The length of a header of safetensors could be read as either, but it has zeros above and "{" behind it.
    if (start[8] === 0x7b && start.subarray(4, 8).every((byte) => byte === 0)) return await openSafetensors(source);
    if ((start[0] === 0x50 && start[1] === 0x4b) || (start[0] === 0x80 && start[1] < 6)) {
      // Loaded only where it is needed: it is the largest part of what a browser would load.
      const { openPth } = await import("./pth.ts");
      return await openPth(source);
    }
    throw new WeightsError(`${source.name}: got ${describe(start)}, wanted a .safetensors or a PyTorch .pth/.pt file`);
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

function describe(start: Uint8Array): string {
  const text = new TextDecoder().decode(start).trimStart();
  if (start.length === 0) return "an empty file";
  if (text.startsWith("version https://git-lfs")) return "a git-lfs pointer (git lfs pull fetches the file itself)";
  if (/^<(!|\?xml|html|head|body)/i.test(text))
    return "an HTML page (a download that answered with an error or a login?)";
  return `a file that starts with ${quote(text.slice(0, 16))}`;
}

/**
 * Checks that a checkpoint has exactly the wanted tensors, in name and shape. `*.num_batches_tracked`, which batchnorm
 * keeps for training only, may be there or not.
 * @throws WeightsError that says what is missing, left over or misshapen.
 */
export function matchCheckpoint(checkpoint: Checkpoint, wanted: ReadonlyMap<string, Shape>): void {
  const counts = (name: string) => !name.endsWith(".num_batches_tracked");
  const names = [...wanted.keys()].filter(counts);
  const got = checkpoint.tensors;

  const missing = names.filter((name) => !got.has(name));
  const extra = [...got.keys()].filter((name) => counts(name) && !wanted.has(name));
  const misshapen: { name: string; is: Shape; want: Shape }[] = [];
  for (const name of names) {
    const is = got.get(name)?.shape;
    const want = wanted.get(name) as Shape;
    if (is && !sameShape(is, want)) misshapen.push({ name, is, want });
  }

  const problems = [
    [missing, "missing"] as const,
    [extra, "extra"] as const,
    [
      misshapen.map(({ name, is, want }) => `${name} is ${formatShape(is)}, wanted ${formatShape(want)}`),
      "misshapen",
    ] as const,
  ].filter(([list]) => list.length > 0);
  if (problems.length === 0) return;

  const told = problems.map(([list, what], i) => {
    const noun = i > 0 ? "" : list.length === 1 ? "tensor " : "tensors ";
    return `${list.length} ${noun}${what} (${list.slice(0, 3).join(", ")}${list.length > 3 ? ", ..." : ""})`;
  });

  // Weight and bias of the last layer, right but for the count of outputs: a net trained for another set of classes.
  const head = names.at(-1)?.replace(/[^.]*$/, "") ?? "";
  const classes = misshapen[0]?.is[0];
  const onlyClasses = misshapen.every(
    ({ name, is, want }) =>
      name.startsWith(head) && is[0] === classes && sameShape(is.slice(1), want.slice(1)) && is.length === want.length,
  );
  const hint =
    problems.length === 1 && misshapen.length > 0 && onlyClasses
      ? `; it was trained for ${classes} classes: pass the option numClasses: ${classes}`
      : "";
  throw new WeightsError(`${checkpoint.name} does not fit: ${told.join(", ")}${hint}`);
}
