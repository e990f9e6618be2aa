import { createReadStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { inflateSync } from "node:zlib";
import { FileError, ImageError } from "../errors.ts";
import type { Image } from "../image.ts";

/** Larger images are refused before any memory is taken for their pixels. */
const MAX_PIXELS = 200e6;

/** Larger files are not read to their end. */
const MAX_BYTES = 256 * 2 ** 20;

/** Makes the error for a file that is not what it should be; `got` completes "got ...". */
type Refuse = (got: string, wanted?: string, cause?: unknown) => ImageError;

/**
 * Decodes a PNG (every bit depth and colour type, interlaced or not) or a JPEG to 8-bit RGBA. The bytes are those of
 * Pillow's `Image.open(...).convert("RGBA")`: samples of 16 bits keep their high byte (in grey too, where Pillow clips
 * them), transparent pixels keep their colour, and neither a JPEG's EXIF orientation nor any colour profile is applied,
 * because the references that nets are measured against don't apply them either.
 * `name` stands in the message of the ImageError that anything else gives: another format, an empty, truncated or
 * damaged file, or more than 200 megapixels.
 */
export function decodeImage(bytes: Uint8Array, name: string): Image {
  const refuse: Refuse = (got, wanted = "a sound PNG or JPEG", cause) =>
    new ImageError(`${name} is not an image that can be read: got ${got}, wanted ${wanted}`, { cause });
  const format = sniff(bytes);
  try {
    if (format === "a PNG") return decodePng(bytes, refuse);
    if (format === "a JPEG") return decodeJpeg(bytes, refuse);
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
      if (size > MAX_BYTES) throw new FileError(`${path} is too large for an image: it has more than 256 MiB`);
    }
  } catch (error) {
    if (error instanceof FileError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new FileError(`cannot read ${path}: ${(code && REASONS[code]) ?? message}`, { cause: error });
  }
  return decodeImage(Buffer.concat(chunks), path);
}

const REASONS: Record<string, string | undefined> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a folder, wanted a PNG or JPEG file",
  EACCES: "permission denied",
  EPERM: "permission denied",
};

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

function checkSize(format: string, width: number, height: number, refuse: Refuse): void {
  if (width > 0 && height > 0 && width * height <= MAX_PIXELS) return;
  throw refuse(`${format} of ${width} x ${height} pixels`, "1 pixel at least and 200 megapixels at most");
}

// PNG (W3C, third edition)

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Samples per pixel and legal bit depths of each colour type. */
const COLOUR_TYPES: Record<number, { samples: number; depths: number[] } | undefined> = {
  0: { samples: 1, depths: [1, 2, 4, 8, 16] },
  2: { samples: 3, depths: [8, 16] },
  3: { samples: 1, depths: [1, 2, 4, 8] },
  4: { samples: 2, depths: [8, 16] },
  6: { samples: 4, depths: [8, 16] },
};

/** First column and row, and steps between columns and between rows: the whole image, or Adam7's seven passes. */
const WHOLE = [[0, 0, 1, 1]];
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colourType: number;
  readonly samples: number;
  readonly interlaced: boolean;
}

interface Png extends PngHeader {
  /** Colour i at bytes 4 i and on; what the file leaves out is black. */
  readonly palette: Uint8Array;
  /** The samples, at full depth, of the one colour that is transparent. */
  readonly transparent: readonly number[] | undefined;
  readonly compressed: Uint8Array;
}

function decodePng(bytes: Uint8Array, refuse: Refuse): Image {
  const png = parsePng(bytes, refuse);
  const { width, height, depth, samples } = png;
  const passes = (png.interlaced ? ADAM7 : WHOLE)
    .map(([left, top, across, down]) => {
      const columns = Math.ceil((width - left) / across);
      const rows = Math.ceil((height - top) / down);
      return { left, top, across, down, columns, rows, stride: Math.ceil((columns * samples * depth) / 8) + 1 };
    })
    .filter(({ columns, rows }) => columns > 0 && rows > 0);
  const size = passes.reduce((sum, { rows, stride }) => sum + rows * stride, 0);
  const raw = inflatePixels(png.compressed, size, refuse);

  const data = new Uint8Array(width * height * 4);
  const write = pixelWriter(png, raw, data);
  let row = 0;
  for (const { left, top, across, down, columns, rows, stride } of passes) {
    for (let y = 0; y < rows; y++, row += stride) {
      if (raw[row] > 4) throw refuse(`a PNG with a row filter ${raw[row]}`);
      unfilter(raw, row + 1, stride - 1, y > 0 ? stride : 0, Math.ceil((samples * depth) / 8));
      for (let x = 0; x < columns; x++) write(row + 1, x, ((top + y * down) * width + left + x * across) * 4);
    }
  }
  return { width, height, data };
}

/** The chunks that matter for the pixels, each with its checksum verified. */
function parsePng(bytes: Uint8Array, refuse: Refuse): Png {
  if (PNG_SIGNATURE.some((byte, i) => bytes[i] !== byte)) throw refuse("a PNG with a damaged signature");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const palette = new Uint8Array(256 * 4);
  for (let i = 3; i < palette.length; i += 4) palette[i] = 255;
  const compressed: Uint8Array[] = [];
  let header: PngHeader | undefined;
  let colours = 0;
  let transparent: number[] | undefined;

  for (let at = 8; ; ) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : 0;
    const end = at + 12 + length;
    if (end > bytes.length) throw refuse("a truncated PNG");
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (!/^[A-Za-z]{4}$/.test(type)) throw refuse("a PNG with a damaged chunk");
    const chunk = bytes.subarray(at + 8, end - 4);
    if (crc32(bytes.subarray(at + 4, end - 4)) !== view.getUint32(end - 4)) {
      throw refuse(`a PNG with a wrong checksum in its ${type} chunk`);
    }
    if ((type === "IHDR") !== !header) throw refuse("a PNG that does not start with one IHDR chunk");
    if (type === "IHDR") {
      header = parsePngHeader(chunk, refuse);
    } else if (type === "PLTE") {
      colours = Math.min(Math.floor(chunk.length / 3), 256);
      for (let i = 0; i < colours; i++) palette.set(chunk.subarray(i * 3, i * 3 + 3), i * 4);
    } else if (type === "tRNS" && header?.colourType === 3) {
      chunk.subarray(0, 256).forEach((alpha, i) => {
        palette[i * 4 + 3] = alpha;
      });
    } else if (type === "tRNS" && (header?.colourType === 0 || header?.colourType === 2)) {
      if (chunk.length < header.samples * 2) throw refuse("a PNG with a damaged tRNS chunk");
      transparent = Array.from({ length: header.samples }, (_, i) => (chunk[i * 2] << 8) | chunk[i * 2 + 1]);
    } else if (type === "IDAT") {
      compressed.push(chunk);
    } else if (type === "IEND") {
      if (end < bytes.length) throw refuse(`a PNG with ${bytes.length - end} bytes of something else after its end`);
      break;
    } else if (type < "a") {
      throw refuse(`a PNG with an unknown critical chunk, ${type}`);
    }
    at = end;
  }
  if (!header || compressed.length === 0) throw refuse("a PNG without pixels");
  if (header.colourType === 3 && colours === 0) throw refuse("a PNG without its palette");
  return { ...header, palette, transparent, compressed: Buffer.concat(compressed) };
}

function parsePngHeader(chunk: Uint8Array, refuse: Refuse): PngHeader {
  if (chunk.length !== 13) throw refuse("a PNG with a damaged header");
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, colourType, compression, filter, interlace] = chunk.subarray(8);
  checkSize("a PNG", width, height, refuse);
  const kind = COLOUR_TYPES[colourType];
  if (!kind?.depths.includes(depth)) throw refuse(`a PNG of colour type ${colourType} with ${depth} bits a sample`);
  if (compression !== 0 || filter !== 0 || interlace > 1) throw refuse("a PNG with a damaged header");
  return { width, height, depth, colourType, samples: kind.samples, interlaced: interlace === 1 };
}

/** At least `size` bytes, and never many more: a few kilobytes can claim to be gigabytes. */
function inflatePixels(compressed: Uint8Array, size: number, refuse: Refuse): Uint8Array {
  try {
    const raw = inflateSync(compressed, { maxOutputLength: size + 2 ** 16, chunkSize: 2 ** 18 });
    if (raw.length >= size) return raw;
  } catch (error) {
    throw refuse(`a PNG whose pixels are damaged (${(error as Error).message})`, undefined, error);
  }
  throw refuse("a PNG with too few pixels");
}

/** Undoes a row's filter in place; the row above lies `above` bytes before it, or is all 0 where `above` is 0. */
function unfilter(raw: Uint8Array, row: number, length: number, above: number, pixel: number): void {
  const type = raw[row - 1];
  if (type === 0) return;
  const predict = PREDICTORS[type];
  for (let i = 0; i < length; i++) {
    const left = i >= pixel ? raw[row + i - pixel] : 0;
    const up = above > 0 ? raw[row + i - above] : 0;
    const upLeft = i >= pixel && above > 0 ? raw[row + i - above - pixel] : 0;
    raw[row + i] += predict(left, up, upLeft);
  }
}

const PREDICTORS: ((left: number, up: number, upLeft: number) => number)[] = [
  () => 0,
  (left) => left,
  (_, up) => up,
  (left, up) => (left + up) >> 1,
  paeth,
];

/** Whichever neighbour is nearest to left + up - upLeft; left wins ties, then up. */
function paeth(left: number, up: number, upLeft: number): number {
  const toLeft = Math.abs(up - upLeft);
  const toUp = Math.abs(left - upLeft);
  const toUpLeft = Math.abs(left + up - 2 * upLeft);
  if (toLeft <= toUp && toLeft <= toUpLeft) return left;
  return toUp <= toUpLeft ? up : upLeft;
}

/** A function that writes pixel x of the row at byte `row` of `raw` as RGBA to byte `to` of `data`. */
function pixelWriter(png: Png, raw: Uint8Array, data: Uint8Array): (row: number, x: number, to: number) => void {
  const { depth, colourType, samples, palette, transparent } = png;
  const mask = 2 ** depth - 1;
  const sample = (row: number, i: number): number => {
    if (depth === 8) return raw[row + i];
    if (depth === 16) return (raw[row + i * 2] << 8) | raw[row + i * 2 + 1];
    return (raw[row + ((i * depth) >> 3)] >> (8 - depth - ((i * depth) & 7))) & mask;
  };
  const toByte = (value: number): number => (depth === 16 ? value >> 8 : (value * 255) / mask);
  const colours = colourType & 2 ? 3 : 1;

  return (row, x, to) => {
    if (colourType === 3) {
      const colour = sample(row, x) * 4;
      for (let c = 0; c < 4; c++) data[to + c] = palette[colour + c];
      return;
    }
    const first = x * samples;
    let isTransparent = transparent !== undefined;
    for (let c = 0; c < 3; c++) {
      const value = sample(row, first + (c % colours));
      data[to + c] = toByte(value);
      if (transparent && value !== transparent[c % colours]) isTransparent = false;
    }
    const hasAlpha = samples > colours;
    data[to + 3] = hasAlpha ? toByte(sample(row, first + colours)) : isTransparent ? 0 : 255;
  };
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let crc = n;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// JPEG (ITU-T T.81), decoded by libjpeg-turbo

/** A file with more scans is out to waste time, as each can visit every pixel. Encoders write about ten. */
const MAX_SCANS = 100;
const MAX_VISITS = 20 * MAX_PIXELS;

/** The parts of libjpeg-turbo's C interface (turbojpeg.h) that @cwasm/jpeg-turbo exports. */
interface TurboJpeg {
  readonly memory: WebAssembly.Memory;
  malloc(size: number): number;
  tjInitDecompress(): number;
  tjDecompressHeader3(codec: number, jpeg: number, size: number, w: number, h: number, ss: number, cs: number): number;
  tjDecompress2(
    codec: number,
    jpeg: number,
    size: number,
    pixels: number,
    width: number,
    pitch: number,
    height: number,
    pixelFormat: number,
    flags: number,
  ): number;
}

const TJPF_RGBA = 7;
const TJPF_CMYK = 11;

function decodeJpeg(bytes: Uint8Array, refuse: Refuse): Image {
  const { width, height, components } = parseJpeg(bytes, refuse);
  const turbo = instantiateTurboJpeg();
  const allocate = (size: number): number => {
    const at = turbo.malloc(size);
    if (at === 0) throw refuse(`a JPEG of ${width} x ${height} pixels`, "one that fits in memory");
    return at;
  };
  const pixels = allocate(width * height * 4);
  const jpeg = allocate(bytes.length);
  const sizes = allocate(16);
  const codec = turbo.tjInitDecompress();
  new Uint8Array(turbo.memory.buffer, jpeg, bytes.length).set(bytes);

  // Both functions report mere warnings as failures; a file that cannot be decoded takes the way of longjmp. Like
  // Pillow and browsers we take what decodes: many a camera writes files that libjpeg warns about.
  turbo.tjDecompressHeader3(codec, jpeg, bytes.length, sizes, sizes + 4, sizes + 8, sizes + 12);
  const [foundWidth, foundHeight] = new Int32Array(turbo.memory.buffer, sizes, 2);
  if (foundWidth !== width || foundHeight !== height) throw refuse("a JPEG with a damaged header");
  const format = components === 4 ? TJPF_CMYK : TJPF_RGBA;
  turbo.tjDecompress2(codec, jpeg, bytes.length, pixels, width, width * 4, height, format, 0);

  const data = new Uint8Array(turbo.memory.buffer, pixels, width * height * 4).slice();
  if (components === 4) cmykToRgba(data);
  return { width, height, data };
}

interface JpegHeader {
  readonly width: number;
  readonly height: number;
  readonly components: number;
}

/** Walks the markers to the end of the image; what follows it (cameras append previews and films) is ignored. */
function parseJpeg(bytes: Uint8Array, refuse: Refuse): JpegHeader {
  const [SOI, EOI, SOS, RST0] = [0xd8, 0xd9, 0xda, 0xd0];
  let header: JpegHeader | undefined;
  let scans = 0;
  for (let at = 2; ; ) {
    at = bytes.indexOf(0xff, at);
    while (at >= 0 && bytes[at] === 0xff) at++;
    if (at < 0 || at >= bytes.length) throw refuse("a truncated JPEG");
    const marker = bytes[at++];
    if (marker === EOI) break;
    // Without a length: restarts and escaped bytes within a scan.
    if (marker <= 0x01 || (marker >= RST0 && marker <= SOI)) continue;
    const end = at + ((bytes[at] << 8) | bytes[at + 1]);
    if (at + 2 > bytes.length || end > bytes.length) throw refuse("a truncated JPEG");
    if (isFrame(marker)) header = parseFrame(bytes.subarray(at + 2, end), refuse);
    if (marker === SOS) scans++;
    at = end;
  }
  if (!header || scans === 0) throw refuse("a JPEG without pixels");
  const limit = Math.min(MAX_SCANS, Math.floor(MAX_VISITS / (header.width * header.height)));
  if (scans > limit) throw refuse(`a JPEG with ${scans} scans of all its pixels`, `at most ${limit}`);
  return header;
}

/** SOF0 to SOF15, less the three markers among them that mean something else. */
const isFrame = (marker: number): boolean => marker >> 4 === 0xc && ![0xc4, 0xc8, 0xcc].includes(marker);

function parseFrame(frame: Uint8Array, refuse: Refuse): JpegHeader {
  if (frame.length < 6) throw refuse("a JPEG with a damaged header");
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const [precision, components] = [frame[0], frame[5]];
  const [height, width] = [view.getUint16(1), view.getUint16(3)];
  if (precision !== 8) throw refuse(`a JPEG with ${precision} bits a sample`, "8 bits");
  checkSize("a JPEG", width, height, refuse);
  return { width, height, components };
}

const require = createRequire(import.meta.url);
let turboJpegModule: WebAssembly.Module | undefined;

/** A fresh instance for each image: its memory goes away with it, and a broken file cannot harm the next one. */
function instantiateTurboJpeg(): TurboJpeg {
  turboJpegModule ??= new WebAssembly.Module(readFileSync(require.resolve("@cwasm/jpeg-turbo/jpeg-turbo.wasm")));
  const unreachable = () => {
    throw new Error("damaged data, or a rare kind of JPEG");
  };
  const env = { setjmp: () => 0, longjmp: unreachable };
  const wasi = { environ_sizes_get: () => 0, environ_get: unreachable, proc_exit: unreachable };
  const files = { fd_close: unreachable, fd_seek: unreachable, fd_write: unreachable };
  const imports = { env, wasi_snapshot_preview1: { ...wasi, ...files } };
  return new WebAssembly.Instance(turboJpegModule, imports).exports as unknown as TurboJpeg;
}

/** In place, with Pillow's arithmetic. Nearly all such files come from Adobe's programs, which store 255 - ink. */
function cmykToRgba(data: Uint8Array): void {
  for (let i = 0; i < data.length; i += 4) {
    const key = data[i + 3];
    for (let c = i; c < i + 3; c++) {
      const product = (255 - data[c]) * key + 128;
      data[c] = Math.max(key - ((product + (product >> 8)) >> 8), 0);
    }
    data[i + 3] = 255;
  }
}
