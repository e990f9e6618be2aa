import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Image } from "../image/image.ts";
import type { ImageFile } from "./decode.ts";

/** A file with more scans is out to waste time, as each can visit every pixel. Encoders write about ten. */
const MAX_SCANS = 100;
const MAX_VISITS = 4e9;

const [RST0, SOI, EOI, SOS] = [0xd0, 0xd8, 0xd9, 0xda];

/** The parts of libjpeg-turbo's C interface (turbojpeg.h) that @cwasm/jpeg-turbo exports. */
type Call = "malloc" | "tjInitDecompress" | "tjDecompressHeader3" | "tjDecompress2";
type TurboJpeg = Record<Call, (...args: number[]) => number> & { readonly memory: WebAssembly.Memory };

const [TJPF_RGBA, TJPF_CMYK] = [7, 11];
const [TJCS_CMYK, TJCS_YCCK] = [3, 4];

/** Decodes with libjpeg-turbo: the bytes are Pillow's, which uses it too. */
export function decodeJpeg({ bytes, refuse, checkSize }: ImageFile): Image {
  const scans = countScans(bytes, refuse);
  const turbo = instantiateTurboJpeg();
  const allocate = (size: number): number => {
    const at = turbo.malloc(size);
    if (at === 0) throw refuse("a JPEG too large for the memory", "a smaller one");
    return at;
  };
  const jpeg = allocate(bytes.length);
  new Uint8Array(turbo.memory.buffer, jpeg, bytes.length).set(bytes);
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

  const data = new Uint8Array(turbo.memory.buffer, pixels, width * height * 4).slice();
  if (isCmyk) cmykToRgba(data);
  return { width, height, data };
}

/** Walks the markers to the end of the image; what follows it (cameras append previews and films) is ignored. */
function countScans(bytes: Uint8Array, refuse: ImageFile["refuse"]): number {
  let scans = 0;
  for (let at = 2; ; ) {
    at = bytes.indexOf(0xff, at);
    while (at >= 0 && bytes[at] === 0xff) at++;
    if (at < 0 || at >= bytes.length) throw refuse("a truncated JPEG");
    const marker = bytes[at++];
    if (marker === EOI) break;
    // Without a length: restarts and escaped bytes within a scan.
    if (marker <= 0x01 || (marker >= RST0 && marker <= SOI)) continue;
    if (marker === SOS) scans++;
    at += (bytes[at] << 8) | bytes[at + 1];
    if (at > bytes.length) throw refuse("a truncated JPEG");
  }
  if (scans === 0) throw refuse("a JPEG without pixels");
  return scans;
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
