import { deflateSync, inflateSync, constants as zlib } from "node:zlib";
import { PNG } from "pngjs";
import type { Image } from "../image/image.ts";
import { crc32 } from "../weights/zip.ts";
import type { ImageFile } from "./decode.ts";

const SIGNATURE = "\x89PNG\r\n\x1a\n";

/** Samples per pixel of each colour type, and how many bits they may have. */
const SAMPLES = [1, 0, 3, 1, 2, 0, 4];
const DEPTHS = [[1, 2, 4, 8, 16], [], [8, 16], [1, 2, 4, 8], [8, 16], [], [8, 16]];
const [GREY, RGB, PALETTE] = [0, 2, 3];

/** First column and row, and steps between columns and between rows: the whole image, or Adam7's seven passes. */
const WHOLE = ["0011"];
const ADAM7 = ["0088", "4088", "0448", "2044", "0224", "1022", "0112"];

/** More than this behind the last pixel, in bytes, is out to fill the memory. */
const MAX_SPARE = 2 ** 24;

/** pngjs holds an object for every row: so many take 250 MB. */
const MOST_ROWS = 1e6;

interface Header {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly type: number;
  readonly interlaced: boolean;
}

interface Chunks extends Header {
  readonly palette: Buffer;
  readonly transparent: Buffer | undefined;
  readonly compressed: Buffer;
}

/** Rows of an image or of one of its passes, and how many bytes each has with its filter. */
interface Pass {
  readonly rows: number;
  readonly rowBytes: number;
}

/**
 * Takes what Pillow takes, and makes the same of it: whatever follows the pixels does not matter, rows that an encoder
 * never wrote are zeros, colours beyond the palette are black; but a damaged chunk before the pixels and pixels that are
 * cut off are refused. pngjs decodes what is left, which is sound: by itself it takes some damage to the pixels for pixels,
 * and an interlaced file to any size.
 */
export function decodePng(file: ImageFile): Image {
  const chunks = readChunks(file);
  const { width, height, depth } = chunks;
  const sound = encode(chunks, mend(chunks.compressed, passesOf(chunks), file));
  let samples: Buffer | Uint16Array;
  try {
    samples = PNG.sync.read(sound, { checkCRC: false, skipRescale: depth === 16 }).data;
  } catch (cause) {
    throw file.refuse(`a PNG with damaged pixels (${(cause as Error).message})`, undefined, cause);
  }
  // Of two bytes the first counts, as Pillow has it for all but grey, which it clips.
  const data =
    depth === 16
      ? Uint8Array.from(samples, (sample) => sample >> 8)
      : new Uint8Array(samples.buffer, samples.byteOffset, samples.length);
  hideColour(chunks, samples, data);
  return { width, height, data };
}

/** A sound file of the same pixels: these, a whole palette, and no colour that is transparent. */
function encode(
  { width, height, depth, type, interlaced, palette, transparent }: Chunks,
  compressed: Uint8Array,
): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, type, 0, 0, interlaced ? 1 : 0], 8);
  const chunks: [string, Uint8Array][] = [["IHDR", header]];
  if (type === PALETTE) {
    const whole = palette.subarray(0, Math.min(palette.length - (palette.length % 3), 768));
    chunks.push(["PLTE", Buffer.concat([whole], 768)]);
    if (transparent) chunks.push(["tRNS", transparent.subarray(0, 256)]);
  }
  chunks.push(["IDAT", compressed], ["IEND", Buffer.alloc(0)]);
  const parts = chunks.map(([name, data]) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, Buffer.from(name, "latin1"), data, Buffer.alloc(4)]);
  });
  return Buffer.concat([Buffer.from(SIGNATURE, "latin1"), ...parts]);
}

/** Makes the colour of a tRNS chunk transparent, and leaves it the colour that it is; pngjs makes it black. */
function hideColour({ depth, type, transparent }: Chunks, samples: ArrayLike<number>, data: Uint8Array): void {
  if (!transparent || (type !== GREY && type !== RGB)) return;
  const most = 2 ** depth - 1;
  const colour = [0, 1, 2].map((i) => {
    const value = transparent.readUInt16BE(type === GREY ? 0 : 2 * i) & most;
    return depth === 16 ? value : (value * 255) / most;
  });
  const [red, green, blue] = colour;
  for (let i = 0; i < data.length; i += 4) {
    if (samples[i] === red && samples[i + 1] === green && samples[i + 2] === blue) data[i + 3] = 0;
  }
}

/** Walks the chunks (W3C, PNG third edition) to the pixels and past them, as Pillow does. */
function readChunks(file: ImageFile): Chunks {
  const { refuse } = file;
  const bytes = Buffer.from(file.bytes.buffer, file.bytes.byteOffset, file.bytes.byteLength);
  if (bytes.toString("latin1", 0, 8) !== SIGNATURE) throw refuse("a PNG with a damaged signature");
  const compressed: Buffer[] = [];
  let header: Header | undefined;
  let palette: Buffer = Buffer.alloc(0);
  let transparent: Buffer | undefined;
  let pixels: "to come" | "here" | "over" = "to come";
  for (let at = 8; ; ) {
    const headed = at + 8 <= bytes.length;
    const type = bytes.toString("latin1", at + 4, at + 8);
    if (pixels === "here" && type !== "IDAT") pixels = "over";
    if (pixels === "over" && !(headed && /^\w{4}$/.test(type) && type !== "IEND")) break;
    if (!headed) throw refuse("a truncated PNG");
    if (!/^\w{4}$/.test(type)) throw refuse("a PNG with a damaged chunk");
    const end = at + 8 + bytes.readUInt32BE(at);
    const chunk = bytes.subarray(at + 8, end);
    at = end + 4;
    if (type === "IDAT" && pixels !== "over") {
      compressed.push(chunk);
      pixels = "here";
      // What there is may be all that is needed.
      if (end > bytes.length) break;
      continue;
    }
    if (end > bytes.length) throw refuse("a truncated PNG");
    if (pixels === "over") continue;
    if (end + 4 > bytes.length) throw refuse("a truncated PNG");
    if (crc32(bytes.subarray(end - chunk.length - 4, end)) !== bytes.readUInt32BE(end)) {
      throw refuse(`a PNG with a wrong checksum in its ${type} chunk`);
    }
    if (type === "IEND") break;
    if (type === "IHDR") header = parseHeader(chunk, file);
    if (type === "PLTE") palette = chunk;
    if (type === "tRNS") transparent = chunk;
  }
  if (pixels === "to come") throw refuse("a PNG without pixels");
  if (!header) throw refuse("a PNG without a header");
  const needed = header.type === GREY || header.type === RGB ? SAMPLES[header.type] * 2 : 0;
  if (transparent && transparent.length < needed) throw refuse("a PNG with a damaged tRNS chunk");
  return { ...header, palette, transparent, compressed: Buffer.concat(compressed) };
}

function parseHeader(chunk: Buffer, { refuse, checkSize }: ImageFile): Header {
  if (chunk.length < 13) throw refuse("a PNG with a damaged header");
  const [width, height] = [chunk.readUInt32BE(0), chunk.readUInt32BE(4)];
  const [depth, type, , filter, interlace] = chunk.subarray(8);
  checkSize("a PNG", width, height);
  if (height > MOST_ROWS) throw refuse(`a PNG of ${width} x ${height} pixels`, `up to ${MOST_ROWS} rows`);
  if (!DEPTHS[type]?.includes(depth)) throw refuse(`a PNG of colour type ${type} with ${depth} bits a sample`);
  if (filter !== 0) throw refuse(`a PNG with filters of kind ${filter}`, "kind 0, the only one there is");
  return { width, height, depth, type, interlaced: interlace !== 0 };
}

const passesOf = ({ width, height, depth, type, interlaced }: Header): Pass[] =>
  (interlaced ? ADAM7 : WHOLE)
    .map((pass) => {
      const [left, top, across, down] = Array.from(pass, Number);
      const columns = Math.ceil((width - left) / across);
      const rows = Math.ceil((height - top) / down);
      return { rows: columns > 0 ? rows : 0, rowBytes: 1 + Math.ceil((columns * SAMPLES[type] * depth) / 8) };
    })
    .filter(({ rows }) => rows > 0);

/** The pixels packed as they should be. Unpacks no more than that, since a few kilobytes can claim to be gigabytes. */
function mend(compressed: Buffer, passes: readonly Pass[], { refuse }: ImageFile): Uint8Array {
  const size = passes.reduce((sum, { rows, rowBytes }) => sum + rows * rowBytes, 0);
  const options = { maxOutputLength: size + MAX_SPARE, chunkSize: 2 ** 18 };
  let found: Uint8Array;
  let whole = true;
  try {
    try {
      found = inflateSync(compressed, options);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "Z_BUF_ERROR") throw error;
      // The end is missing, which may be nothing but the checksum.
      found = inflateSync(compressed, { ...options, finishFlush: zlib.Z_SYNC_FLUSH });
      whole = false;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const damage = code === "ERR_BUFFER_TOO_LARGE" ? "too many pixels" : `damaged pixels (${message})`;
    throw refuse(`a PNG with ${damage}`, undefined, error);
  }
  if (whole && found.length === size) return compressed;
  if (found.length >= size) return store(found.subarray(0, size));
  if (!whole || !endsWithRow(found.length, passes)) throw refuse("a truncated PNG");
  const padded = new Uint8Array(size);
  padded.set(found);
  return store(padded);
}

/** Packed, and no smaller. */
const store = (pixels: Uint8Array): Uint8Array => deflateSync(pixels, { level: 0 });

function endsWithRow(length: number, passes: readonly Pass[]): boolean {
  let rest = length;
  for (const { rows, rowBytes } of passes) {
    if (rest < rows * rowBytes) return rest % rowBytes === 0;
    rest -= rows * rowBytes;
  }
  return true;
}
