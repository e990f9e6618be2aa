import { ImageError, isCount } from "../ground/errors.ts";
import type { Image } from "./image.ts";

/**
 * What a net looks at: pixels in memory (an ImageData is that, too); in a browser also what shows a picture (ImageBitmap,
 * canvas, img, video, VideoFrame), and a file of one, which the browser decodes to the samples that Node and Pillow see.
 * What shows a picture is taken as it is shown: turned by EXIF, converted to the screen's colours, and rounded under alpha.
 * A texture of the GPU's own device (rgba8unorm or bgra8unorm) is read when the run's turn comes: leave it as it is until then.
 */
export type Picture = Image | Shown | Blob | GPUTexture;

/**
 * A value in the message of an error: a short text or a number as it is, of anything else what kind of thing it is.
 * Nothing that was given makes a message long.
 */
export function told(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
  if (typeof value !== "object" || value === null) return String(value).slice(0, 80);
  const kind = Object.prototype.toString.call(value).slice(8, -1).slice(0, 80);
  return `${/^[AEIO]/.test(kind) ? "an" : "a"} ${kind}`;
}

/** A class of a browser; never where the program's types have none, as in Node or in a worker. */
type Global<Name extends string> = typeof globalThis extends Record<Name, { prototype: infer T }> ? T : never;

/** What a browser shows. */
export type Shown =
  | Global<"ImageBitmap">
  | Global<"HTMLImageElement">
  | Global<"HTMLVideoElement">
  | Global<"VideoFrame">
  | Global<"HTMLCanvasElement">
  | Global<"OffscreenCanvas">;

/** A picture on the GPU, ready to become a part of a net's input. */
export interface PictureInput {
  /** Encodes the work that writes its part of the input, from element `start` on. */
  write(encoder: GPUCommandEncoder, input: GPUBufferBinding, start: number): void;
  /** Frees what it holds; that work must be submitted by then. */
  dispose(): void;
}

export const isInMemory = (picture: Picture): picture is Image => "data" in picture;

export const isTexture = (picture: Picture): picture is GPUTexture => "createView" in picture;

export const isPicture = (value: unknown): value is Picture =>
  value instanceof Blob ||
  (typeof value === "object" && value !== null && ("width" in value || "displayWidth" in value));

export function sizeOfPicture(picture: Image | Shown | GPUTexture): [number, number] {
  const [width, height] =
    "displayWidth" in picture
      ? [picture.displayWidth, picture.displayHeight]
      : "videoWidth" in picture
        ? [picture.videoWidth, picture.videoHeight]
        : "naturalWidth" in picture
          ? [picture.naturalWidth, picture.naturalHeight]
          : [picture.width, picture.height];
  if (isCount(width) && isCount(height)) return [width, height];
  throw new ImageError("the picture has no pixels: wait until it has loaded, and use it before it is closed");
}

export const unreadable = (cause: unknown): ImageError =>
  new ImageError(
    `the picture cannot be read (${(cause as Error).message}); one from another site needs its leave (crossOrigin)`,
    { cause },
  );
