import type { Device } from "../device/device.ts";
import { GpuError, ImageError } from "../ground/errors.ts";
import { formatBytes } from "../ground/tensor.ts";
import type { Image } from "./image.ts";
import { findOrientation, type Orientation } from "./orientation.ts";
import { isInMemory, type Shown, sizeOfPicture, told, unreadable } from "./picture.ts";

// The values of GPUTextureUsage: Node has no such globals.
const COPY_DST = 2;
const TEXTURE_BINDING = 4;
const RENDER_ATTACHMENT = 16;

/**
 * Copies a picture to a texture of RGBA, at once unless it is a file: whatever shows it may go on. Throws an ImageError
 * when there is nothing to copy (yet), when the browser keeps it from being read and when it is too large for the
 * device, a GpuError when there is no memory for it.
 */
export function uploadPicture(
  gpu: Device,
  picture: Image | Shown | Blob,
  orientation?: Orientation,
): Promise<GPUTexture> {
  return withPixels(picture, orientation, async (source, width, height) => {
    gpu.check();
    const { device } = gpu;
    const most = device.limits.maxTextureDimension2D;
    if (Math.max(width, height) > most) {
      throw new ImageError(
        `a picture of ${width} x ${height} pixels; this GPU takes at most ${most} x ${most}: make it smaller first`,
      );
    }
    device.pushErrorScope("out-of-memory");
    device.pushErrorScope("validation");
    const usage = COPY_DST | TEXTURE_BINDING | RENDER_ATTACHMENT;
    const texture = device.createTexture({ label: "picture", size: [width, height], format: "rgba8unorm", usage });
    let problem: unknown;
    try {
      if (isInMemory(source)) {
        const data = source.data as Uint8Array<ArrayBuffer>;
        device.queue.writeTexture({ texture }, data, { bytesPerRow: 4 * width }, [width, height]);
      } else {
        const still = "displayWidth" in source || "videoWidth" in source ? drawFrame(source, width, height) : source;
        device.queue.copyExternalImageToTexture({ source: still }, { texture }, [width, height]);
      }
    } catch (cause) {
      problem = unreadable(cause);
    }
    const scopes = [device.popErrorScope(), device.popErrorScope()];
    const [invalid, noMemory] = await gpu.settle(Promise.all(scopes));
    if (noMemory) {
      const bytes = formatBytes(4 * width * height);
      problem = new GpuError(
        "OUT_OF_MEMORY",
        `the device has no ${bytes} for a picture of ${width} x ${height} pixels`,
      );
    } else if (invalid) problem ??= unreadable(invalid);
    if (!problem) return texture;
    texture.destroy();
    throw problem;
  });
}

let stage: OffscreenCanvas | undefined;

/**
 * Draws a video's frame on a canvas, the same one every time, from where it is copied at once. Not every browser copies
 * frames to a texture by itself, and Chromium on a software adapter loses its device over it.
 */
function drawFrame(video: HTMLVideoElement | VideoFrame, width: number, height: number): OffscreenCanvas {
  stage ??= new OffscreenCanvas(width, height);
  if (stage.width !== width || stage.height !== height) Object.assign(stage, { width, height });
  stage.getContext("2d", { alpha: false })?.drawImage(video, 0, 0, width, height);
  return stage;
}

/** The pixels of a picture in memory, for what needs all of them; read at once unless it is a file. See uploadPicture. */
export function readPicture(picture: Image | Shown | Blob, orientation?: Orientation): Promise<Image> {
  return withPixels(picture, orientation, async (source, width, height) => {
    if (isInMemory(source)) return source;
    try {
      const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
      context?.drawImage(source, 0, 0, width, height);
      return context?.getImageData(0, 0, width, height) as Image;
    } catch (cause) {
      throw unreadable(cause);
    }
  });
}

/** Uses a picture and its size in pixels at once, or once it is decoded if it is a file or an img. */
async function withPixels<T>(
  picture: Image | Shown | Blob,
  orientation: Orientation | undefined,
  use: (source: Image | Shown, width: number, height: number) => Promise<T>,
): Promise<T> {
  if (!(picture instanceof Blob || isElement(picture))) return use(picture, ...sizeOfPicture(picture));
  const bitmap = picture instanceof Blob ? await decode(picture, orientation) : await bitmapOf(picture);
  try {
    return await use(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/** An img's sizes are CSS pixels, divided by the density that its srcset gives; its bitmap has those of the file. */
const isElement = (picture: Image | Shown | Blob): picture is HTMLImageElement => "naturalWidth" in picture;

/** What an img shows now. */
async function bitmapOf(picture: HTMLImageElement): Promise<ImageBitmap> {
  sizeOfPicture(picture);
  try {
    return await createImageBitmap(picture);
  } catch (cause) {
    throw unreadable(cause);
  }
}

/** The samples of the file as they are: Node and Pillow know nothing of premultiplied alpha and of colour profiles. */
const AS_STORED = { premultiplyAlpha: "none", colorSpaceConversion: "none" } as const;

async function decode(file: Blob, orientation: Orientation = "none"): Promise<ImageBitmap> {
  const name = "name" in file ? told(String(file.name)) : "the given file";
  if (!globalThis.createImageBitmap) throw new ImageError(`${name} must be decoded first: see decodeImage()`);
  try {
    return await createImageBitmap(orientation === "exif" ? file : await withoutOrientation(file), AS_STORED);
  } catch (cause) {
    throw new ImageError(`${name} is no image that this browser can decode, or too large`, { cause });
  }
}

/** A JPEG's EXIF is in its first segments, which have 64 KB each at most. */
const HEAD_BYTES = 2 ** 18;

/** The same file, upright: browsers turn pictures whatever `imageOrientation` says. */
async function withoutOrientation(file: Blob): Promise<Blob> {
  const tag = findOrientation(new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()));
  if (!tag) return file;
  return new Blob([file.slice(0, tag.at), Uint8Array.of(1), file.slice(tag.at + 1)], { type: file.type });
}
