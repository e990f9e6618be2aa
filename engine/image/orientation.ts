import { UsageError } from "../ground/errors.ts";
import type { Image } from "./image.ts";
import { told } from "./picture.ts";

/**
 * What becomes of a photo that says, by EXIF, how it wants to be turned: "none" leaves its pixels where they are in the
 * file, as Pillow's `Image.open()` does and so torchvision's users; "exif" turns it, as `ImageOps.exif_transpose()` does.
 */
export type Orientation = "exif" | "none";

/** Throws a UsageError for anything else. */
export function checkOrientation(orientation: unknown): void {
  if (orientation === "none" || orientation === "exif") return;
  throw new UsageError(`orientation is ${told(orientation)}; it must be none or exif`);
}

/** Where a file says how it wants to be turned. */
export interface OrientationTag {
  /** 1 to 8, TIFF's numbers; 1 is upright. */
  readonly value: number;
  /** The offset of the byte that says so. */
  readonly at: number;
}

/** The EXIF orientation of a JPEG or WebP file, or of the first bytes of one; undefined where there is none. */
export function findOrientation(bytes: Uint8Array): OrientationTag | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const tiff = view.getUint16(0) === 0xffd8 ? exifOfJpeg(view) : view.getUint32(8) === WEBP ? exifOfWebp(view) : -1;
    return tiff < 0 ? undefined : readTag(view, tiff);
  } catch (error) {
    // A read past the end: an orientation that is cut off is none.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

const [EXIF, WEBP, WEBP_EXIF] = [0x45786966, 0x57454250, 0x45584946];
const ORIENTATION = 0x0112;

/** Offset of the TIFF header in the first APP1 segment of EXIF; -1 without one before the pixels. */
function exifOfJpeg(view: DataView): number {
  for (let at = 2; ; ) {
    while (view.getUint16(at) === 0xffff) at++;
    const marker = view.getUint16(at);
    if (marker < 0xffc0 || marker === 0xffda || marker === 0xffd9) return -1;
    if (marker === 0xffe1 && view.getUint32(at + 4) === EXIF) return at + 10;
    at += 2 + view.getUint16(at + 2);
  }
}

function exifOfWebp(view: DataView): number {
  for (let at = 12; ; ) {
    const type = view.getUint32(at);
    // Some writers keep the six bytes that go before it in a JPEG.
    if (type === WEBP_EXIF) return view.getUint32(at + 8) === EXIF ? at + 14 : at + 8;
    const size = view.getUint32(at + 4, true);
    at += 8 + size + (size % 2);
  }
}

/** The entry of the first directory. */
function readTag(view: DataView, tiff: number): OrientationTag | undefined {
  const little = view.getUint16(tiff) === 0x4949;
  const directory = tiff + view.getUint32(tiff + 4, little);
  const entries = view.getUint16(directory, little);
  for (let at = directory + 2, end = at + 12 * entries; at < end; at += 12) {
    if (view.getUint16(at, little) !== ORIENTATION) continue;
    const value = view.getUint16(at + 8, little);
    return value >= 1 && value <= 8 ? { value, at: at + (little ? 8 : 9) } : undefined;
  }
  return undefined;
}

/** The picture upright: mirrored, turned or both, as its orientation from 1 to 8 asks for. */
export function upright(image: Image, orientation: number): Image {
  if (orientation === 1) return image;
  const across = orientation > 4;
  const [width, height] = across ? [image.height, image.width] : [image.width, image.height];
  const mirrored = [2, 3, 7, 8].includes(orientation);
  const upsideDown = [3, 4, 6, 7].includes(orientation);
  // Copied pixel by pixel, four bytes at once; what is no multiple of four into memory is moved first.
  const { buffer, byteOffset } = image.data.byteOffset % 4 ? image.data.slice() : image.data;
  const from = new Uint32Array(buffer, byteOffset, image.width * image.height);
  const to = new Uint32Array(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const [column, row] = across ? [y, x] : [x, y];
      const u = mirrored ? image.width - 1 - column : column;
      const v = upsideDown ? image.height - 1 - row : row;
      to[i] = from[v * image.width + u];
    }
  }
  return { width, height, data: new Uint8Array(to.buffer) };
}
