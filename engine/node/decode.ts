import { createReadStream } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkOptions, FileError, ImageError, ShadenetError } from "../ground/errors.ts";
import { type Image, MAX_PIXELS } from "../image/image.ts";
import { checkOrientation, findOrientation, type Orientation, upright } from "../image/orientation.ts";
import { told } from "../image/picture.ts";
import { fileError, textOf } from "./files.ts";
import { decodeJpeg } from "./jpeg.ts";
import { decodePng } from "./png.ts";
import { decodeWebp } from "./webp.ts";

/** Larger files are not read to their end. */
const MAX_BYTES = 256 * 2 ** 20;

/** What a decoder gets: the bytes, and the two ways to turn them down. */
export interface ImageFile {
  readonly bytes: Uint8Array;
  /** The error for a file that is not what it should be; `got` completes "got ...". */
  refuse(got: string, wanted?: string, cause?: unknown): ImageError;
  /** Throws unless there are pixels, and few enough; `format` has an article. */
  checkSize(format: string, width: number, height: number): void;
}

export interface DecodeOptions {
  /** Whether a JPEG or WebP is turned as its EXIF says; "none" by default, as `Image.open()` does not. */
  readonly orientation?: Orientation;
}

/**
 * Decodes a PNG (every bit depth and colour type, interlaced or not), a JPEG or a still WebP to 8-bit RGBA. Red, green and
 * blue are those of Pillow's `Image.open(...).convert("RGB")`, except that a PNG's grey of 16 bits keeps its high byte,
 * where Pillow makes white of all above 255; alpha is beside them. What Pillow refuses is refused. No colour profile is
 * applied, and no EXIF orientation unless it is asked for, as the references that nets are measured against apply none.
 * `name` stands in the message of the ImageError that anything else gives: another format, an empty, truncated or
 * damaged file, or more than 200 megapixels.
 */
export function decodeImage(bytes: Uint8Array, name: string, options: DecodeOptions = {}): Image {
  checkOptions("decodeImage()", options, ["orientation"]);
  const { orientation = "none" } = options;
  checkOrientation(orientation);
  if (!(bytes instanceof Uint8Array)) throw new ImageError(`got ${told(bytes)} for a file; wanted its bytes`);
  const image = decode(bytes, typeof name === "string" ? name : told(name));
  const tag = orientation === "exif" ? findOrientation(bytes) : undefined;
  return tag ? upright(image, tag.value) : image;
}

function decode(bytes: Uint8Array, name: string): Image {
  const refuse: ImageFile["refuse"] = (got, wanted = "a sound PNG, JPEG or WebP", cause) =>
    new ImageError(`${shorten(name)} is not an image that can be read: got ${got}, wanted ${wanted}`, { cause });
  const checkSize: ImageFile["checkSize"] = (format, width, height) => {
    if (width > 0 && height > 0 && width * height <= MAX_PIXELS) return;
    throw refuse(`${format} of ${width} x ${height} pixels`, "1 pixel at least and 200 megapixels at most");
  };
  const format = sniff(bytes);
  try {
    if (format === "a PNG") return decodePng({ bytes, refuse, checkSize });
    if (format === "a JPEG") return decodeJpeg({ bytes, refuse, checkSize });
    if (format === "a WebP") return decodeWebp({ bytes, refuse, checkSize });
  } catch (error) {
    if (error instanceof ShadenetError) throw error;
    const [reason] = String(error).split("\n", 1);
    throw refuse(`${format} that fails to decode (${reason})`, undefined, error);
  }
  throw refuse(format);
}

/**
 * Reads and decodes an image of at most 256 MiB: a file by its path or file: URL, "-" or a pipe such as /dev/stdin, or a
 * web address, which is fetched once and kept nowhere. `signal` ends the reading, with its reason.
 * Throws a FileError if it cannot be read and, as decodeImage does, an ImageError if it is no PNG, JPEG or WebP.
 */
export async function readImage(
  location: string | URL,
  given: DecodeOptions & { readonly signal?: AbortSignal } = {},
): Promise<Image> {
  checkOptions("readImage()", given, ["orientation", "signal"]);
  const { signal, ...options } = given;
  signal?.throwIfAborted();
  const whole = textOf(location);
  const name = shorten(whole);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of await openBytes(whole, signal)) {
      signal?.throwIfAborted();
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_BYTES) throw new FileError(`${name} is too large for an image: it has more than 256 MiB`);
    }
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof FileError) throw cause;
    // Node's fetch() says what happened in its cause.
    const { code, message } = Object((cause as Error).cause ?? cause);
    throw fileError("read", name, Object.assign(new Error(shorten(message || code), { cause }), { code }));
  }
  return decodeImage(Buffer.concat(chunks), name, options);
}

async function openBytes(location: string, signal: AbortSignal | undefined): Promise<AsyncIterable<Uint8Array>> {
  // Node's own stream also reads where standard input is a socket, which cannot be opened by name.
  if (location === "-" || location === "/dev/stdin") return process.stdin;
  if (!/^https?:/i.test(location)) {
    const path = /^file:/i.test(location) ? fileURLToPath(location) : location;
    return createReadStream(path, { highWaterMark: 2 ** 20, signal });
  }
  const { ok, status, statusText, body } = await fetch(location, { signal });
  if (ok && body) return body;
  await body?.cancel();
  throw new FileError(`cannot read ${shorten(location)}: the server answered ${status} ${statusText}`.trim());
}

/** A name as errors tell it. */
const shorten = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}...` : text);

/** What the bytes are, by their first few, with an article. */
function sniff(bytes: Uint8Array): string {
  if (bytes.length === 0) return "an empty file";
  const head = String.fromCharCode(...bytes.subarray(0, 512));
  for (const [start, format] of SIGNATURES) if (start.test(head)) return format;
  return /^[\t-\r -~\x80-\xff]*$/.test(head) ? "a text file" : "an unknown format";
}

const SIGNATURES: [RegExp, string][] = [
  [/^\x89PNG/, "a PNG"],
  [/^\xff\xd8/, "a JPEG"],
  [/^GIF8/, "a GIF"],
  [/^RIFF.{4}WEBP/s, "a WebP"],
  [/^.{4}ftypavi/s, "an AVIF"],
  [/^.{4}ftyp(hei|mif)/s, "a HEIC"],
  [/^BM.{4}\0{4}/s, "a BMP"],
  [/^(II\*\0|MM\0\*)/, "a TIFF"],
  [/^%PDF/, "a PDF"],
];
