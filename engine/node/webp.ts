import type { Image } from "../image/image.ts";
import type { ImageFile } from "./decode.ts";
import { memoryOf, openWasm } from "./wasm.ts";

/** The parts of libwebp's C interface (decode.h) that @cwasm/webp exports. */
type Call = "malloc" | "WebPDecodeRGBA";

/** Decodes a still WebP with libwebp: the bytes are Pillow's, which uses it too. */
export function decodeWebp({ bytes, refuse, checkSize }: ImageFile): Image {
  const header = parseHeader(bytes);
  if (!header) throw refuse("a truncated WebP");
  if (header.animated) throw refuse("an animated WebP", "a still picture: save one of its frames");
  checkSize("a WebP", header.width, header.height);
  const webp = openWasm<Call>("@cwasm/webp/webp.wasm");
  const file = webp.malloc(bytes.length);
  const sizes = webp.malloc(8);
  if (file === 0 || sizes === 0) throw refuse("a WebP too large for the memory", "a smaller one");
  memoryOf(webp, file, bytes.length).set(bytes);
  const pixels = webp.WebPDecodeRGBA(file, bytes.length, sizes, sizes + 4);
  if (pixels === 0) throw refuse("a WebP that is damaged, truncated or too large for the memory");
  const [width, height] = new Uint32Array(webp.memory.buffer, sizes, 2);
  checkSize("a WebP", width, height);
  return { width, height, data: memoryOf(webp, pixels, width * height * 4).slice() };
}

/** The size that the first chunk tells, so that nothing is taken for what is too large. */
function parseHeader(bytes: Uint8Array) {
  if (bytes.length < 30) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = String.fromCharCode(...bytes.subarray(12, 16));
  if (kind === "VP8X") {
    const width = (view.getUint32(24, true) & 0xffffff) + 1;
    const height = (view.getUint32(26, true) >>> 8) + 1;
    return { width, height, animated: (bytes[20] & 2) !== 0 };
  }
  if (kind === "VP8L") {
    const bits = view.getUint32(21, true);
    return { width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1, animated: false };
  }
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff, animated: false };
}
