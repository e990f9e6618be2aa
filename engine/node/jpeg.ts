import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Image } from "../image.ts";
import type { ImageFile } from "./decode.ts";

/** A file with more scans is out to waste time, as each can visit every pixel. Encoders write about ten. */
const MAX_SCANS = 100;
const MAX_VISITS = 4e9;

/** The parts of libjpeg-turbo's C interface (turbojpeg.h) that @cwasm/jpeg-turbo exports. */
type Call = "malloc" | "tjInitDecompress" | "tjDecompressHeader3" | "tjDecompress2";
type TurboJpeg = Record<Call, (...args: number[]) => number> & { readonly memory: WebAssembly.Memory };

const [TJPF_RGBA, TJPF_CMYK] = [7, 11];
const [EOI, SOS] = [0xd9, 0xda];
/** SOF0 to SOF15, less the three markers among them that mean something else. */
const FRAMES = new Set([0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf]);

/** Decodes with libjpeg-turbo (its own arithmetic, so Pillow's bytes) what has passed the checks here. */
export function decodeJpeg(file: ImageFile): Image {
  const { bytes, refuse } = file;
  const { width, height, components } = walk(file);
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

/** Walks the markers to the end of the image; what follows it (cameras append previews and films) is ignored. */
function walk({ bytes, refuse, checkSize }: ImageFile): { width: number; height: number; components: number } {
  let [width, height, components, scans] = [0, 0, 0, 0];
  for (let at = 2; ; ) {
    at = bytes.indexOf(0xff, at);
    while (at >= 0 && bytes[at] === 0xff) at++;
    if (at < 0 || at >= bytes.length) throw refuse("a truncated JPEG");
    const marker = bytes[at++];
    if (marker === EOI) break;
    // Without a length: restarts and escaped bytes within a scan.
    if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue;
    const end = at + ((bytes[at] << 8) | bytes[at + 1]);
    if (at + 2 > bytes.length || end > bytes.length) throw refuse("a truncated JPEG");
    if (FRAMES.has(marker)) {
      if (end - at < 8) throw refuse("a JPEG with a damaged header");
      const frame = bytes.subarray(at + 2, end);
      [width, height, components] = [(frame[3] << 8) | frame[4], (frame[1] << 8) | frame[2], frame[5]];
      if (frame[0] !== 8) throw refuse(`a JPEG with ${frame[0]} bits a sample`, "8 bits");
      checkSize("a JPEG", width, height);
    }
    if (marker === SOS) scans++;
    at = end;
  }
  if (components === 0 || scans === 0) throw refuse("a JPEG without pixels");
  const limit = Math.min(MAX_SCANS, Math.floor(MAX_VISITS / (width * height)));
  if (scans > limit) throw refuse(`a JPEG with ${scans} scans of all its pixels`, `at most ${limit}`);
  return { width, height, components };
}

const require = createRequire(import.meta.url);
let turboJpegModule: WebAssembly.Module | undefined;

/**
 * A fresh instance for each image: its memory goes away with it, and a broken file cannot harm the next one. Going past
 * the package's own decode() also takes CMYK and the files that libjpeg merely warns about.
 */
function instantiateTurboJpeg(): TurboJpeg {
  turboJpegModule ??= new WebAssembly.Module(readFileSync(require.resolve("@cwasm/jpeg-turbo/jpeg-turbo.wasm")));
  const fail = () => {
    throw new Error("damaged data, or a rare kind of JPEG");
  };
  const env = { setjmp: () => 0, longjmp: fail };
  const files = { fd_close: fail, fd_seek: fail, fd_write: fail };
  const wasi = { environ_sizes_get: () => 0, environ_get: fail, proc_exit: fail, ...files };
  const imports = { env, wasi_snapshot_preview1: wasi };
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
