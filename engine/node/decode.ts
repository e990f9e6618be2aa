import { createReadStream } from "node:fs";
import { FileError, ImageError } from "../ground/errors.ts";
import type { Image } from "../image/image.ts";
import { fileError } from "./files.ts";
import { decodeJpeg } from "./jpeg.ts";
import { decodePng } from "./png.ts";

/** Larger images are refused before any memory is taken for their pixels. */
const MAX_PIXELS = 200e6;

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

/**
 * Decodes a PNG (every bit depth and colour type, interlaced or not) or a JPEG to 8-bit RGBA. The bytes are those of
 * Pillow's `Image.open(...).convert("RGBA")`, except that a PNG's 16-bit samples are rounded, where Pillow keeps their
 * high byte, and pixels of the one colour that a tRNS chunk makes transparent become 0, 0, 0, 0. Neither a JPEG's EXIF
 * orientation nor any colour profile is applied, as the references that nets are measured against don't apply them.
 * `name` stands in the message of the ImageError that anything else gives: another format, an empty, truncated or
 * damaged file, or more than 200 megapixels.
 */
export function decodeImage(bytes: Uint8Array, name: string): Image {
  const refuse: ImageFile["refuse"] = (got, wanted = "a sound PNG or JPEG", cause) =>
    new ImageError(`${name} is not an image that can be read: got ${got}, wanted ${wanted}`, { cause });
  const checkSize: ImageFile["checkSize"] = (format, width, height) => {
    if (width > 0 && height > 0 && width * height <= MAX_PIXELS) return;
    throw refuse(`${format} of ${width} x ${height} pixels`, "1 pixel at least and 200 megapixels at most");
  };
  const format = sniff(bytes);
  try {
    if (format === "a PNG") return decodePng({ bytes, refuse, checkSize });
    if (format === "a JPEG") return decodeJpeg({ bytes, refuse, checkSize });
  } catch (error) {
    if (error instanceof ImageError) throw error;
    const [reason] = String(error).split("\n", 1);
    throw refuse(`${format} that fails to decode (${reason})`, undefined, error);
  }
  throw refuse(format);
}

/**
 * Reads and decodes an image file of at most 256 MiB.
 * Throws a FileError if it cannot be read and, as decodeImage does, an ImageError if it is not a PNG or JPEG.
 */
export async function readImage(path: string): Promise<Image> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_BYTES) break;
    }
  } catch (cause) {
    throw fileError("read", path, cause);
  }
  if (size > MAX_BYTES) throw new FileError(`${path} is too large for an image: it has more than 256 MiB`);
  return decodeImage(Buffer.concat(chunks), path);
}

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
