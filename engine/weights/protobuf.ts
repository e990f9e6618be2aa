import type { ByteSource } from "./checkpoint.ts";

// Protocol buffers (https://protobuf.dev/programming-guides/encoding/) read by range: what is long stays where it is.

/** Bytes of a source. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/**
 * What is read of a message: fields by their numbers, each with a name and its type. A "span" says where the bytes of a field
 * are. All other fields are skipped.
 */
export interface Schema {
  readonly [number: number]: readonly [name: string, type: "int" | "float" | "text" | "span" | Schema];
}

type Content<T> = T extends "int" | "float"
  ? number
  : T extends "text"
    ? string
    : T extends "span"
      ? Span
      : T extends Schema
        ? Message<T>
        : never;

/** A message by its schema: every field is the list of what was there for it. */
export type Message<S extends Schema> = {
  readonly [N in keyof S as S[N] extends readonly [infer K extends string, unknown]
    ? K
    : never]: S[N] extends readonly [string, infer T] ? readonly Content<T>[] : never;
};

/** What is read at a time, the most bytes of a text and of a list of numbers, and the most fields and numbers of a file. */
const WINDOW = 1 << 18;
const MAX_BYTES = 1 << 20;
const MAX_FIELDS = 1 << 20;

/** 64 bits as a number: beyond 2^53 it is rounded down, as the ends of slices are that mean "to the end". */
const asInt64 = (low: number, high: number): number => Math.min((high | 0) * 2 ** 32 + low, 2 ** 63 - 2 ** 10);

/** The number of a varint of at most ten bytes, and where it ends; undefined where it does not end. */
export function varint(bytes: Uint8Array, at: number): readonly [value: number, end: number] | undefined {
  let [low, high] = [0, 0];
  for (let i = 0; i < 10 && at + i < bytes.length; i++) {
    const byte = bytes[at + i];
    const bits = byte & 0x7f;
    if (i < 4) low += bits * 2 ** (7 * i);
    else if (i === 4) {
      low += (bits & 0xf) * 2 ** 28;
      high = bits >> 4;
    } else high = (high | (bits << (7 * i - 32))) >>> 0;
    if (byte < 0x80) return [asInt64(low, high), at + i + 1];
  }
  return undefined;
}

/** Reads a source, or part of it, as a message. Throws what `broken` makes of a reason where it is none. */
export async function readMessage<const S extends Schema>(
  source: ByteSource,
  schema: S,
  broken: (problem: string) => Error,
  { offset, length }: Span = { offset: 0, length: source.size },
): Promise<Message<S>> {
  let window: Uint8Array = new Uint8Array();
  let start = 0;
  let at = offset;
  let fields = 0;

  /** The next bytes, as many as are wanted. */
  const take = async (length: number): Promise<Uint8Array> => {
    if (at + length > start + window.length || at < start) {
      window = await source.read(at, Math.min(Math.max(length, WINDOW), source.size - at));
      start = at;
    }
    at += length;
    return window.subarray(at - length - start, at - start);
  };

  const number = async (end: number): Promise<number> => {
    const from = at;
    const known = varint(await take(Math.min(10, end - at)), 0);
    if (!known) throw broken(`a number that does not end at byte ${from}`);
    at = from + known[1];
    return known[0];
  };

  const count = (): void => {
    if (++fields > MAX_FIELDS) throw broken(`more than ${MAX_FIELDS} fields`);
  };

  /** The numbers that are packed in so many bytes. */
  const packed = async (type: "int" | "float", length: number): Promise<number[]> => {
    const bytes = await take(length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    const found: number[] = [];
    for (let i = 0; i < length; count()) {
      const known = type === "int" ? varint(bytes, i) : i + 4 <= length && ([view.getFloat32(i, true), i + 4] as const);
      if (!known) throw broken(`numbers that do not end at byte ${at}`);
      found.push(known[0]);
      i = known[1];
    }
    return found;
  };

  const message = async (schema: Schema, end: number): Promise<Record<string, unknown[]>> => {
    const found: Record<string, unknown[]> = {};
    for (const [name] of Object.values(schema)) found[name] = NONE;
    while (at < end) {
      count();
      const tag = await number(end);
      const wire = tag & 7;
      const from = at;
      const value = wire === VARINT || wire === BYTES ? await number(end) : 0;
      const offset = wire === VARINT ? from : at;
      const length = wire === BYTES ? value : ([at - from, 8, 0, NaN, NaN, 4][wire] ?? NaN);
      const last = offset + length;
      if (!(length >= 0 && last <= end)) throw broken(`at byte ${from} is no field, or one that is cut short`);
      const [name, type] = schema[Math.floor(tag / 8)] ?? [];
      at = offset;
      const isShort = typeof type === "object" || type === "span" || length <= MAX_BYTES;
      if (type && !isShort) throw broken(`${name} has ${length} bytes; the limit is ${MAX_BYTES}`);
      const contents =
        type === "span"
          ? [{ offset, length }]
          : type === "text" && wire === BYTES
            ? [new TextDecoder().decode(await take(length))]
            : typeof type === "object" && wire === BYTES
              ? [await message(type, last)]
              : type === "int" && wire === VARINT
                ? [value]
                : (type === "int" && wire === BYTES) || (type === "float" && (wire === BYTES || wire === FIXED32))
                  ? await packed(type, length)
                  : [];
      if (type && contents.length === 0 && length > 0) throw broken(`${name} at byte ${from} is of another type`);
      if (name && contents.length > 0) {
        if (found[name] === NONE) found[name] = [];
        for (const each of contents) found[name].push(each);
      }
      at = last;
    }
    return found;
  };

  return (await message(schema, offset + length)) as unknown as Message<S>;
}

/** Of what most messages have none. */
const NONE: unknown[] = [];

/** Wire types. */
const [VARINT, BYTES, FIXED32] = [0, 2, 5];
