import { inflateSync } from "node:zlib";
import { PNG } from "pngjs";
import type { Image } from "../image/image.ts";
import { crc32 } from "../weights/zip.ts";
import type { ImageFile } from "./decode.ts";

const SIGNATURE = "\x89PNG\r\n\x1a\n";

/** Samples per pixel of each colour type. */
const SAMPLES = [1, 0, 3, 1, 2, 0, 4];

/** First column and row, and steps between columns and between rows: the whole image, or Adam7's seven passes. */
const WHOLE = ["0011"];
const ADAM7 = ["0088", "4088", "0448", "2044", "0224", "1022", "0112"];

/**
 * Decodes with pngjs what has passed the checks here. pngjs alone takes some damage to the compressed pixels for
 * pixels, and unpacks an interlaced file to any size.
 */
export function decodePng(file: ImageFile): Image {
  const bytes = Buffer.from(file.bytes.buffer, file.bytes.byteOffset, file.bytes.byteLength);
  const { width, height } = check(bytes, file);
  const { data, ...size } = PNG.sync.read(bytes);
  if (size.width !== width || size.height !== height || data.length !== width * height * 4) {
    throw file.refuse("a PNG that decodes to another size than its header says");
  }
  return { width, height, data: new Uint8Array(data.buffer, data.byteOffset, data.length) };
}

/** Walks the chunks (W3C, PNG third edition), verifies their checksums and unpacks the pixels once. */
function check(bytes: Buffer, file: ImageFile): { width: number; height: number } {
  const { refuse } = file;
  if (bytes.toString("latin1", 0, 8) !== SIGNATURE) throw refuse("a PNG with a damaged signature");
  const compressed: Buffer[] = [];
  let header: ReturnType<typeof parseHeader> | undefined;
  let at = 8;
  for (let type = ""; type !== "IEND"; ) {
    const end = at + 12 + (at + 12 <= bytes.length ? bytes.readUInt32BE(at) : 0);
    if (end > bytes.length) throw refuse("a truncated PNG");
    type = bytes.toString("latin1", at + 4, at + 8);
    if (!/^[A-Za-z]{4}$/.test(type)) throw refuse("a PNG with a damaged chunk");
    if (crc32(bytes.subarray(at + 4, end - 4)) !== bytes.readUInt32BE(end - 4)) {
      throw refuse(`a PNG with a wrong checksum in its ${type} chunk`);
    }
    const chunk = bytes.subarray(at + 8, end - 4);
    at = end;
    if ((type === "IHDR") !== !header) throw refuse("a PNG that does not start with one IHDR chunk");
    if (type === "IHDR") header = parseHeader(chunk, file);
    else if (type === "IDAT") compressed.push(chunk);
    else if (/^[A-Z]/.test(type) && !/PLTE|IEND/.test(type)) {
      throw refuse(`a PNG with an unknown critical chunk, ${type}`);
    }
  }
  if (at < bytes.length) throw refuse(`a PNG with ${bytes.length - at} bytes of something else after its end`);
  if (!header || compressed.length === 0) throw refuse("a PNG without pixels");
  checkPixels(Buffer.concat(compressed), header.unpacked, file);
  return header;
}

/** The size of the image, and that of its pixels once unpacked, each row with its filter byte. */
function parseHeader(chunk: Buffer, { refuse, checkSize }: ImageFile) {
  if (chunk.length !== 13) throw refuse("a PNG with a damaged header");
  const [width, height] = [chunk.readUInt32BE(0), chunk.readUInt32BE(4)];
  const [depth, colourType, compression, filter, interlace] = chunk.subarray(8);
  checkSize("a PNG", width, height);
  const depths = [[1, 2, 4, 8, 16], [], [8, 16], [1, 2, 4, 8], [8, 16], [], [8, 16]][colourType];
  if (!depths?.includes(depth)) throw refuse(`a PNG of colour type ${colourType} with ${depth} bits a sample`);
  if (compression !== 0 || filter !== 0 || interlace > 1) throw refuse("a PNG with a damaged header");
  let unpacked = 0;
  for (const pass of interlace ? ADAM7 : WHOLE) {
    const [left, top, across, down] = Array.from(pass, Number);
    const columns = Math.ceil((width - left) / across);
    const rows = Math.ceil((height - top) / down);
    if (columns > 0 && rows > 0) unpacked += rows * (1 + Math.ceil((columns * SAMPLES[colourType] * depth) / 8));
  }
  return { width, height, unpacked };
}

/** Unpacks no more than there should be: a few kilobytes can claim to be gigabytes. */
function checkPixels(compressed: Buffer, size: number, { refuse }: ImageFile): void {
  let found: number;
  try {
    found = inflateSync(compressed, { maxOutputLength: size, chunkSize: 2 ** 18 }).length;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const damage = code === "ERR_BUFFER_TOO_LARGE" ? "too many pixels" : `damaged pixels (${message})`;
    throw refuse(`a PNG with ${damage}`, undefined, error);
  }
  if (found < size) throw refuse("a PNG with too few pixels");
}
