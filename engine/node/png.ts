import { inflateSync, constants as zlib } from "node:zlib";
import type { Image } from "../image/image.ts";
import { crc32 } from "../weights/zip.ts";
import type { ImageFile } from "./decode.ts";

const SIGNATURE = "\x89PNG\r\n\x1a\n";

/** Samples per pixel of each colour type, and how many bits they may have. */
const SAMPLES = [1, 0, 3, 1, 2, 0, 4];
const DEPTHS = [[1, 2, 4, 8, 16], [], [8, 16], [1, 2, 4, 8], [8, 16], [], [8, 16]];
const [GREY, RGB, PALETTE, GREY_ALPHA] = [0, 2, 3, 4];

/** First column and row, and steps between columns and between rows: the whole image, or Adam7's seven passes. */
const WHOLE = ["0011"];
const ADAM7 = ["0088", "4088", "0448", "2044", "0224", "1022", "0112"];

/** More than this behind the last pixel, in bytes, is out to fill the memory. */
const MAX_SPARE = 2 ** 24;

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

/** Rows of an image or of one of its passes: where they lie, and how many bytes each has without its filter. */
interface Pass {
  readonly left: number;
  readonly top: number;
  readonly across: number;
  readonly down: number;
  readonly columns: number;
  readonly rows: number;
  readonly rowBytes: number;
}

/**
 * Takes what Pillow takes, and makes the same of it: whatever follows the pixels does not matter, rows that an encoder
 * never wrote are zeros, colours beyond the palette are black; but a damaged chunk before the pixels and pixels that are
 * cut off are refused.
 */
export function decodePng(file: ImageFile): Image {
  const chunks = readChunks(file);
  const { width, height, depth, type } = chunks;
  const passes = passesOf(chunks);
  const unpacked = unpack(chunks.compressed, passes, file);
  const data = new Uint8Array(width * height * 4);
  const pixelBytes = Math.ceil((SAMPLES[type] * depth) / 8);
  const put = depth <= 8 && SAMPLES[type] === 1 ? byTable(chunks) : bySamples(chunks);
  let at = 0;
  for (const { left, top, across, down, columns, rows, rowBytes } of passes) {
    let above: Uint8Array = new Uint8Array(rowBytes);
    for (let i = 0; i < rows; i++) {
      const row = unpacked.subarray(at + 1, at + 1 + rowBytes);
      unfilter(unpacked[at], row, above, pixelBytes, file);
      const start = ((top + i * down) * width + left) * 4;
      for (let k = 0; k < columns; k++) put(row, k, data, start + k * across * 4);
      above = row;
      at += 1 + rowBytes;
    }
  }
  return { width, height, data };
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
      return { left, top, across, down, columns, rows, rowBytes: Math.ceil((columns * SAMPLES[type] * depth) / 8) };
    })
    .filter(({ columns, rows }) => columns > 0 && rows > 0);

/** Unpacks no more than there should be, since a few kilobytes can claim to be gigabytes. */
function unpack(compressed: Buffer, passes: readonly Pass[], { refuse }: ImageFile): Uint8Array {
  const size = passes.reduce((sum, { rows, rowBytes }) => sum + rows * (1 + rowBytes), 0);
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
  if (found.length >= size) return found;
  if (!whole || !endsWithRow(found.length, passes)) throw refuse("a truncated PNG");
  const padded = new Uint8Array(size);
  padded.set(found);
  return padded;
}

function endsWithRow(length: number, passes: readonly Pass[]): boolean {
  let rest = length;
  for (const { rows, rowBytes } of passes) {
    if (rest < rows * (1 + rowBytes)) return rest % (1 + rowBytes) === 0;
    rest -= rows * (1 + rowBytes);
  }
  return true;
}

/** Undoes a row's filter in place: every byte is a difference to some mean of those to the left and above. */
function unfilter(filter: number, row: Uint8Array, above: Uint8Array, step: number, { refuse }: ImageFile): void {
  const { length } = row;
  if (filter === 1) for (let i = step; i < length; i++) row[i] += row[i - step];
  else if (filter === 2) for (let i = 0; i < length; i++) row[i] += above[i];
  else if (filter === 3) {
    for (let i = 0; i < length; i++) row[i] += ((i < step ? 0 : row[i - step]) + above[i]) >> 1;
  } else if (filter === 4) {
    for (let i = 0; i < length; i++) {
      row[i] += i < step ? above[i] : paeth(row[i - step], above[i], above[i - step]);
    }
  } else if (filter !== 0) throw refuse(`a PNG with a filter ${filter}`, "0 to 4");
}

function paeth(left: number, up: number, corner: number): number {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** Writes pixel k of a row as RGBA. */
type Put = (row: Uint8Array, k: number, data: Uint8Array, to: number) => void;

/** Grey or a palette of up to 8 bits: what each value looks like is known beforehand. */
function byTable({ depth, type, palette, transparent }: Chunks): Put {
  const count = 2 ** depth;
  const table = new Uint8Array(count * 4).fill(255);
  const colours = Math.floor(palette.length / 3);
  for (let value = 0; value < count; value++) {
    if (type === GREY) table.fill((value * 255) / (count - 1), value * 4, value * 4 + 3);
    else {
      for (let c = 0; c < 3; c++) table[value * 4 + c] = value < colours ? palette[value * 3 + c] : 0;
      table[value * 4 + 3] = transparent?.[value] ?? 255;
    }
  }
  if (type === GREY && transparent) table[(transparent.readUInt16BE(0) % count) * 4 + 3] = 0;
  return (row, k, data, to) => {
    const bit = k * depth;
    const from = ((row[bit >> 3] >> (8 - depth - (bit & 7))) & (count - 1)) * 4;
    for (let c = 0; c < 4; c++) data[to + c] = table[from + c];
  };
}

/** Samples of whole bytes; of two, the first counts, as Pillow has it for all but grey, which it clips. */
function bySamples({ depth, type, transparent }: Chunks): Put {
  const bytes = depth / 8;
  const pixelBytes = SAMPLES[type] * bytes;
  const [green, blue] = type === GREY || type === GREY_ALPHA ? [0, 0] : [bytes, 2 * bytes];
  const hasAlpha = type > PALETTE;
  // The one colour that is transparent, at full depth.
  const key = hasAlpha ? undefined : transparent?.filter((_, i) => bytes === 2 || i % 2 === 1);
  return (row, k, data, to) => {
    const from = k * pixelBytes;
    data[to] = row[from];
    data[to + 1] = row[from + green];
    data[to + 2] = row[from + blue];
    data[to + 3] = hasAlpha ? row[from + pixelBytes - bytes] : 255;
    if (!key) return;
    let same = true;
    for (let i = 0; i < pixelBytes; i++) same &&= row[from + i] === key[i];
    if (same) data[to + 3] = 0;
  };
}
