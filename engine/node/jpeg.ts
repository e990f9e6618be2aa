import type { Image } from "../image/image.ts";
import type { ImageFile } from "./decode.ts";
import { memoryOf, openWasm } from "./wasm.ts";

/** A file with more scans is out to waste time, as each can visit every pixel. Encoders write about ten. */
const MAX_SCANS = 100;
const MAX_VISITS = 4e9;

const [SOF0, SOF15, RST0, SOI, EOI, SOS] = [0xc0, 0xcf, 0xd0, 0xd8, 0xd9, 0xda];
/** Of the markers from SOF0 to SOF15, those of no frame. */
const NO_FRAME = [0xc4, 0xc8, 0xcc];
/** The frames that are sent in several scans of all their pixels. */
const PROGRESSIVE = [0xc2, 0xc6, 0xca, 0xce];

/** The parts of libjpeg-turbo's C interface (turbojpeg.h) that @cwasm/jpeg-turbo exports. */
type Call = "malloc" | "tjInitDecompress" | "tjDecompressHeader3" | "tjDecompress2";

const [TJPF_RGBA, TJPF_CMYK] = [7, 11];
const [TJCS_CMYK, TJCS_YCCK] = [3, 4];

/**
 * Decodes with libjpeg-turbo: the bytes are Pillow's, which uses it too. What Pillow calls truncated is refused, though
 * the decoder would make something up.
 */
export function decodeJpeg(file: ImageFile): Image {
  const { bytes, refuse } = file;
  const { scans, ends } = walk(bytes, refuse);
  const image = decode(bytes, scans, file);
  // Without a marker behind them the pixels may be cut off; if so, those that the last bytes stand for are missing, too.
  if (!ends && sameBytes(image.data, decode(bytes.subarray(0, -SPARE_BYTES), scans, file).data)) return image;
  if (!ends) throw refuse("a truncated JPEG");
  return image;
}

/** How far ahead of the pixels libjpeg reads, at most. */
const SPARE_BYTES = 16;

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

function decode(bytes: Uint8Array, scans: number, { refuse, checkSize }: ImageFile) {
  const turbo = openWasm<Call>("@cwasm/jpeg-turbo/jpeg-turbo.wasm");
  const allocate = (size: number): number => {
    const at = turbo.malloc(size);
    if (at === 0) throw refuse("a JPEG too large for the memory", "a smaller one");
    return at;
  };
  const jpeg = allocate(bytes.length);
  memoryOf(turbo, jpeg, bytes.length).set(bytes);
  const results = allocate(16);
  const codec = turbo.tjInitDecompress();

  // Both functions report mere warnings as failures; a file that cannot be decoded takes the way of longjmp. Like
  // Pillow and browsers we take what decodes: many a camera writes files that libjpeg warns about.
  turbo.tjDecompressHeader3(codec, jpeg, bytes.length, results, results + 4, results + 8, results + 12);
  const [width, height, , space] = new Int32Array(turbo.memory.buffer, results, 4);
  checkSize("a JPEG", width, height);
  const limit = Math.min(MAX_SCANS, Math.floor(MAX_VISITS / (width * height)));
  if (scans > limit) throw refuse(`a JPEG with ${scans} scans of all its pixels`, `at most ${limit}`);
  const pixels = allocate(width * height * 4);
  const isCmyk = space === TJCS_CMYK || space === TJCS_YCCK;
  const format = isCmyk ? TJPF_CMYK : TJPF_RGBA;
  turbo.tjDecompress2(codec, jpeg, bytes.length, pixels, width, width * 4, height, format, 0);

  const data = memoryOf(turbo, pixels, width * height * 4).slice();
  if (isCmyk) cmykToRgba(data);
  return { width, height, data };
}

/**
 * Walks the markers as Pillow and libjpeg do, which skip what is no marker. Counts the scans up to the end of the image;
 * what follows it (cameras append previews and films) is ignored. `ends` is false where a single scan has no marker
 * behind it, so that only decoding can tell whether it is whole.
 */
function walk(bytes: Uint8Array, refuse: ImageFile["refuse"]): { scans: number; ends: boolean } {
  if (bytes[2] !== 0xff) throw refuse("a JPEG with a damaged signature");
  let scans = 0;
  let components = 0;
  let single = false;
  let pixels = 0;
  for (let at = 2; ; ) {
    at = bytes.indexOf(0xff, at);
    while (at >= 0 && bytes[at] === 0xff) at++;
    if (at < 0 || at >= bytes.length) {
      if (single && bytes.length > pixels + SPARE_BYTES) return { scans, ends: false };
      throw refuse("a truncated JPEG");
    }
    const marker = bytes[at++];
    // Without a length: escaped bytes and restarts.
    if (marker === 0 || (marker >= RST0 && marker < SOI)) continue;
    // One scan is all that is needed: libjpeg stops at the marker, whatever it is.
    if (single || (marker === EOI && scans > 0)) return { scans, ends: true };
    if (marker < SOF0) {
      if (scans > 0) continue;
      throw refuse(`a JPEG with an unknown marker (${marker})`);
    }
    if (marker === SOI) continue;
    if (marker === EOI) throw refuse("a JPEG without pixels");
    if (marker <= SOF15 && !NO_FRAME.includes(marker)) {
      components = PROGRESSIVE.includes(marker) ? Number.POSITIVE_INFINITY : bytes[at + 7];
    }
    if (marker === SOS) {
      scans++;
      single = scans === 1 && bytes[at + 2] === components;
    }
    at += Math.max(2, (bytes[at] << 8) | bytes[at + 1]);
    if (at > bytes.length) throw refuse("a truncated JPEG");
    pixels = at;
  }
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
