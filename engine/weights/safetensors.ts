import { check, checkObject, checkText, isTexts, show, WeightsError } from "../ground/errors.ts";
import { fromBits, fromHalf, toHalf } from "../ground/half.ts";
import { checkDtype } from "../ground/options.ts";
import { isTensor, type Shape, type Tensor } from "../ground/tensor.ts";
import {
  type ByteSource,
  type Bytes,
  type Checkpoint,
  checkedSource,
  clip,
  countElements,
  makeCheckpoint,
  quote,
  type TensorInfo,
} from "./checkpoint.ts";

/** How one element type is stored. */
export interface ElementType {
  /** Of one element; less than 1 where several share a byte. */
  readonly bytes: number;
  /** Turns such bytes into as many float32 values; types without it are only ever copied. */
  readonly decode?: (bytes: Uint8Array, out: Float32Array) => void;
}

/** Element types by safetensors' names, all little-endian. Integers beyond 2^24 and F64 are rounded to float32. */
export const ELEMENT_TYPES: ReadonlyMap<string, ElementType> = new Map<string, ElementType>([
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
  ...["C64", "U64"].map((name) => [name, { bytes: 8 }] as const),
  ["U32", { bytes: 4 }],
  ["U16", { bytes: 2 }],
  ...["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"].map((name) => [name, { bytes: 1 }] as const),
  ...["F6_E2M3", "F6_E3M2"].map((name) => [name, { bytes: 0.75 }] as const),
  ["F4", { bytes: 0.5 }],
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

/**
 * Fills `values` with what is stored as `dtype` from byte `offset` on, read and converted a few megabytes at a time.
 * Throws a WeightsError for a dtype that has no float32; `what` is the tensor's name for it.
 */
export async function readValues(
  source: ByteSource,
  dtype: string,
  offset: number,
  values: Float32Array,
  what: string,
): Promise<Float32Array> {
  const { bytes, decode } = ELEMENT_TYPES.get(dtype) ?? { bytes: NaN };
  if (!decode) {
    const legal = [...ELEMENT_TYPES].filter(([, type]) => type.decode).map(([name]) => name);
    throw new WeightsError(
      `${what} of ${source.name} cannot be read: it is stored as ${dtype}; save it as one of ${legal.join(", ")}`,
    );
  }
  const step = CHUNK_BYTES / bytes;
  for (let start = 0; start < values.length; start += step) {
    const part = values.subarray(start, start + step);
    decode(await source.read(offset + start * bytes, part.length * bytes), part);
  }
  return values;
}

/**
 * The start of a safetensors file, up to the data: the header's length and the header, padded so that the data start at a
 * multiple of 8 bytes. Tensors lie in the map's order. Throws a WeightsError for the name that the format keeps for itself.
 */
export function encodeHeader(
  tensors: ReadonlyMap<string, TensorInfo>,
  metadata?: Readonly<Record<string, string>>,
): Bytes {
  // Not through an object, which would put names that look like numbers first.
  const members: string[] = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  let end = 0;
  for (const [name, { shape, dtype }] of tensors) {
    if (name === "__metadata__")
      throw new WeightsError(`safetensors keeps the name ${name} for itself; rename the tensor`);
    const type = ELEMENT_TYPES.get(dtype);
    if (!type)
      throw new WeightsError(
        `${quote(name)} is stored as ${dtype}, which safetensors does not have; it has ${[...ELEMENT_TYPES.keys()].join(", ")}`,
      );
    const begin = end;
    end += countElements(shape) * type.bytes;
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  }
  const text = new TextEncoder().encode(`{${members.join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(text, 8);
  return header;
}

/** Values as a safetensors file has them; `name` is for the error. See encodeSafetensors. */
export function encodeValues(name: string, values: Float32Array, dtype: "f32" | "f16"): Bytes {
  if (dtype === "f32") return new Uint8Array(Float32Array.from(values).buffer);
  const halves = Uint16Array.from(values, (value) => {
    const half = toHalf(value);
    if ((half & 0x7fff) === 0x7c00 && Number.isFinite(value)) {
      throw new WeightsError(`${quote(name)} holds ${value}, and f16 ends at 65504; write it as f32`);
    }
    return half;
  });
  return new Uint8Array(halves.buffer);
}

/**
 * The bytes of a safetensors file (https://huggingface.co/docs/safetensors), tensors in the map's order.
 * "f16" rounds to nearest, ties to even; a finite value of 65520 or more throws a WeightsError that names the tensor.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata?: Record<string, string>,
  dtype: "f32" | "f16" = "f32",
): Bytes {
  check(tensors instanceof Map, "what to encode", tensors, "a Map of tensors by their names");
  checkDtype(dtype);
  if (metadata) checkObject("metadata", metadata);
  check(isTexts(Object.values(metadata ?? {})), "metadata", metadata, "an object of strings");
  const infos = new Map<string, TensorInfo>();
  for (const [name, tensor] of tensors) {
    checkText("the name of a tensor", name);
    if (!isTensor(tensor)) throw new WeightsError(`${quote(name)} is no tensor: got ${show(tensor)}`);
    const { shape, data } = tensor;
    if (data.length !== countElements(shape)) {
      throw new WeightsError(`${quote(name)} has shape ${show(shape)} but ${data.length} elements`);
    }
    infos.set(name, { shape, dtype: dtype.toUpperCase() });
  }
  const parts = [
    encodeHeader(infos, metadata),
    ...[...tensors].map(([name, { data }]) => encodeValues(name, data, dtype)),
  ];
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

/** The limit that safetensors' own reader sets. */
const MAX_HEADER_BYTES = 100_000_000;

/**
 * Opens a safetensors file (https://huggingface.co/docs/safetensors): reads its header and nothing else. Reading a
 * tensor then reads its bytes alone, and gives float32 whatever the file holds (F64, F32, F16, BF16, I64, I32, I16,
 * I8, U8, BOOL); tensors of the format's other types are listed, and refused when they are read. Closing the
 * checkpoint closes the source.
 * @throws WeightsError when the header is anything but a complete, gapless and unambiguous account of the file.
 */
export async function openSafetensors(given: ByteSource): Promise<Checkpoint> {
  const source = checkedSource(given);
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
    if (error instanceof SyntaxError || error instanceof TypeError) throw broken(`its header: ${clip(error.message)}`);
    throw error;
  }
  if (!isRecord(header) || !text.startsWith("{")) throw broken("its header is not a JSON object");

  const tensors = new Map<string, TensorInfo & { begin: number; end: number; layout: ElementType }>();
  let metadata: Record<string, string> | undefined;
  let members = 0;
  for (const [name, entry] of Object.entries(header)) {
    members++;
    // The reference implementation takes null for none.
    if (name === "__metadata__" && entry === null) continue;
    if (!isRecord(entry)) throw broken(`${quote(name)} is not an object`);
    members += Object.keys(entry).length;
    if (name === "__metadata__") {
      if (!Object.values(entry).every((value) => typeof value === "string"))
        throw broken("__metadata__ must hold strings");
      metadata = entry as Record<string, string>;
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
  const written = scan(text);
  // Only sizes and offsets are numbers here, and these are written as whole ones.
  if (written.fraction !== undefined)
    throw broken(`its header has a number that is no plain integer: ${written.fraction}`);
  // JSON.parse drops all but the last of equal keys, so what it kept is fewer than what the text spells out.
  if (members !== written.members) throw broken("its header has the same key twice");

  let covered = 0;
  for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) throw broken(`${quote(name)} starts at byte ${begin} of the data, wanted ${covered}`);
    covered = end;
  }
  if (covered !== dataLength)
    throw broken(`its tensors take ${covered} bytes, and the file has ${dataLength} for them`);

  const data = 8 + headerLength;
  return makeCheckpoint(source.name, tensors, {
    metadata,
    read: ({ dtype, layout, begin }, first, count, name) =>
      readValues(source, dtype, data + begin + first * layout.bytes, new Float32Array(count), quote(name)),
    readBytes: ({ layout, begin }, first, count) =>
      source.read(data + begin + first * layout.bytes, count * layout.bytes),
    close: async () => source.close?.(),
  });
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What JSON.parse does not tell of a text: how many `key: value` members it has, and a number that is no digits alone. */
function scan(json: string): { members: number; fraction?: string } {
  let members = 0;
  let fraction: string | undefined;
  let quoted = false;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === "\\") i++;
    else if (char === '"') quoted = !quoted;
    else if (quoted) continue;
    else if (char === ":") members++;
    // Of the letters, "e" is also in true and false; a number's follows a digit.
    else if (char === "-" || char === "." || (/[eE]/.test(char) && /\d/.test(json[i - 1]))) {
      fraction ??= `${/\d*$/.exec(json.slice(Math.max(0, i - 20), i))}${/^[-+.\w]*/.exec(json.slice(i, i + 20))}`;
    }
  }
  return { members, fraction };
}
