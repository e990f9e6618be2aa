import { WeightsError } from "../ground/errors.ts";
import { fromBits, fromHalf, toHalf } from "../ground/half.ts";
import { formatShape, type Shape, type Tensor } from "../ground/tensor.ts";
import {
  type ByteSource,
  type Checkpoint,
  countElements,
  makeCheckpoint,
  quote,
  type TensorInfo,
} from "./checkpoint.ts";

/** How one element type is stored: its size in bytes, and how to turn such bytes into as many float32 values. */
export interface ElementType {
  readonly bytes: number;
  decode(bytes: Uint8Array, out: Float32Array): void;
}

/** Element types by safetensors' names, all little-endian. Integers beyond 2^24 and F64 are rounded to float32. */
export const ELEMENT_TYPES: ReadonlyMap<string, ElementType> = new Map([
  ["F64", perElement(8, (view, at) => view.getFloat64(at, true))],
  // A plain copy: every machine that WebGPU runs on is little-endian too.
  ["F32", { bytes: 4, decode: (bytes, out) => new Uint8Array(out.buffer, out.byteOffset, bytes.length).set(bytes) }],
  ["F16", perElement(2, (view, at) => fromHalf(view.getUint16(at, true)))],
  ["BF16", perElement(2, (view, at) => fromBits(view.getUint16(at, true) << 16))],
  ["I64", perElement(8, (view, at) => Number(view.getBigInt64(at, true)))],
  ["I32", perElement(4, (view, at) => view.getInt32(at, true))],
  ["I16", perElement(2, (view, at) => view.getInt16(at, true))],
  ["I8", perElement(1, (view, at) => view.getInt8(at))],
  ["U8", perElement(1, (view, at) => view.getUint8(at))],
  ["BOOL", perElement(1, (view, at) => Math.min(view.getUint8(at), 1))],
]);

function perElement(size: number, get: (view: DataView, at: number) => number): ElementType {
  return {
    bytes: size,
    decode(bytes, out) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let i = 0; i < out.length; i++) out[i] = get(view, i * size);
    },
  };
}

/** How much is read at once: what a reader holds beyond the array that it returns. */
const CHUNK_BYTES = 1 << 22;

/** Fills `values` with what is stored from byte `offset` on, read and converted a few megabytes at a time. */
export async function readValues(
  source: ByteSource,
  dtype: ElementType,
  offset: number,
  values: Float32Array,
): Promise<Float32Array> {
  const step = CHUNK_BYTES / dtype.bytes;
  for (let start = 0; start < values.length; start += step) {
    const part = values.subarray(start, start + step);
    dtype.decode(await source.read(offset + start * dtype.bytes, part.length * dtype.bytes), part);
  }
  return values;
}

/**
 * The bytes of a safetensors file (https://huggingface.co/docs/safetensors), tensors in the map's order.
 * "f16" rounds to nearest, ties to even; a finite value of 65520 or more throws a WeightsError that names the tensor.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata?: Record<string, string>,
  dtype: "f32" | "f16" = "f32",
): Uint8Array<ArrayBuffer> {
  const bytesEach = dtype === "f32" ? 4 : 2;
  const members: string[] = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  let end = 0;
  for (const [name, { shape, data }] of tensors) {
    if (name === "__metadata__")
      throw new WeightsError(`safetensors keeps the name ${name} for itself; rename the tensor`);
    if (data.length !== countElements(shape)) {
      throw new WeightsError(`${quote(name)} has shape ${formatShape(shape)} but ${data.length} elements`);
    }
    const begin = end;
    end += data.length * bytesEach;
    const info = { dtype: dtype.toUpperCase(), shape, data_offsets: [begin, end] };
    members.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
  }
  const unpadded = new TextEncoder().encode(`{${members.join(",")}}`);
  const headerLength = Math.ceil(unpadded.length / 8) * 8;

  const file = new Uint8Array(8 + headerLength + end);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(headerLength), true);
  file.set(unpadded, 8);
  file.fill(0x20, 8 + unpadded.length, 8 + headerLength);
  let at = 8 + headerLength;
  for (const [name, { data }] of tensors) {
    for (const value of data) {
      if (dtype === "f32") {
        view.setFloat32(at, value, true);
      } else {
        const half = toHalf(value);
        if ((half & 0x7fff) === 0x7c00 && Number.isFinite(value)) {
          throw new WeightsError(`${quote(name)} holds ${value}, and f16 ends at 65504; write it as f32`);
        }
        view.setUint16(at, half, true);
      }
      at += bytesEach;
    }
  }
  return file;
}

/** The limit that safetensors' own reader sets. */
const MAX_HEADER_BYTES = 100_000_000;

/**
 * Opens a safetensors file (https://huggingface.co/docs/safetensors): reads its header and nothing else. Reading a
 * tensor then reads its bytes alone, and gives float32 whatever the file holds (F64, F32, F16, BF16, I64, I32, I16,
 * I8, U8, BOOL). Closing the checkpoint closes the source.
 * @throws WeightsError when the header is anything but a complete, gapless and unambiguous account of the file.
 */
export async function openSafetensors(source: ByteSource): Promise<Checkpoint> {
  const broken = (problem: string) => new WeightsError(`${source.name} cannot be read as safetensors: ${problem}`);

  if (source.size < 8) throw broken(`it has ${source.size} bytes; even its first field takes 8`);
  const start = await source.read(0, 8);
  const headerLength = Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true));
  const dataLength = source.size - 8 - headerLength;
  if (headerLength > MAX_HEADER_BYTES)
    throw broken(`a header of ${headerLength} bytes; the limit is ${MAX_HEADER_BYTES}`);
  if (dataLength < 0)
    throw broken(`a header of ${headerLength} bytes in a file of ${source.size}; it may be cut short`);

  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await source.read(8, headerLength));
    header = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) throw broken(`its header: ${error.message}`);
    throw error;
  }
  if (!isRecord(header) || !text.startsWith("{")) throw broken("its header is not a JSON object");

  const tensors = new Map<string, TensorInfo & { begin: number; end: number; layout: ElementType }>();
  let members = 0;
  for (const [name, entry] of Object.entries(header)) {
    if (!isRecord(entry)) throw broken(`${quote(name)} is not an object`);
    members += 1 + Object.keys(entry).length;
    if (name === "__metadata__") {
      if (!Object.values(entry).every((value) => typeof value === "string"))
        throw broken("__metadata__ must hold strings");
      continue;
    }
    const { dtype, shape, data_offsets: span, ...others } = entry;
    if (typeof dtype !== "string") throw broken(`${quote(name)} has no dtype`);
    const layout = ELEMENT_TYPES.get(dtype);
    if (!layout)
      throw broken(`${quote(name)} has the dtype ${quote(dtype)}; legal are ${[...ELEMENT_TYPES.keys()].join(", ")}`);
    if (!Array.isArray(shape) || Number.isNaN(countElements(shape))) throw broken(`${quote(name)} has no legal shape`);
    if (!Array.isArray(span) || span.length !== 2 || !span.every((at) => Number.isSafeInteger(at) && at >= 0)) {
      throw broken(`${quote(name)} has no legal data_offsets`);
    }
    for (const other in others) throw broken(`${quote(name)} has an unknown field ${quote(other)}`);
    const [begin, end] = span as number[];
    const wanted = countElements(shape) * layout.bytes;
    if (end - begin !== wanted)
      throw broken(`${quote(name)} takes ${wanted} bytes; its data_offsets say ${end - begin}`);
    tensors.set(name, { shape: shape as Shape, dtype, begin, end, layout });
  }
  // JSON.parse drops all but the last of equal keys, so what it kept is fewer than what the text spells out.
  if (members !== countMembers(text)) throw broken("its header has the same key twice");

  let covered = 0;
  for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) throw broken(`${quote(name)} starts at byte ${begin} of the data, wanted ${covered}`);
    covered = end;
  }
  if (covered !== dataLength)
    throw broken(`its tensors take ${covered} bytes, and the file has ${dataLength} for them`);

  return makeCheckpoint(
    source.name,
    tensors,
    ({ layout, begin }, first, count) =>
      readValues(source, layout, 8 + headerLength + begin + first * layout.bytes, new Float32Array(count)),
    async () => source.close?.(),
  );
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** How many `key: value` members a valid JSON text has: its colons outside strings. */
function countMembers(json: string): number {
  let members = 0;
  let quoted = false;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === "\\") i++;
    else if (char === '"') quoted = !quoted;
    else if (char === ":" && !quoted) members++;
  }
  return members;
}
