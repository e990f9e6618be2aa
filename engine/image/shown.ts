import type { Device } from "../device/device.ts";
import { GpuError, ImageError } from "../ground/errors.ts";
import { formatBytes } from "../ground/tensor.ts";
import type { Image } from "./image.ts";
import { isInMemory, type Picture, type Shown, sizeOfPicture, unreadable } from "./picture.ts";

// The values of GPUTextureUsage: Node has no such globals.
const COPY_DST = 2;
const TEXTURE_BINDING = 4;
const RENDER_ATTACHMENT = 16;

/**
 * Copies a picture to a texture of RGBA, at once unless it is a file: whatever shows it may go on. Throws an ImageError
 * when there is nothing to copy (yet), when the browser keeps it from being read and when it is too large for the
 * device, a GpuError when there is no memory for it.
 */
export function uploadPicture(gpu: Device, picture: Picture): Promise<GPUTexture> {
  return withPixels(picture, async (source, width, height) => {
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
export function readPicture(picture: Picture): Promise<Image> {
  return withPixels(picture, async (source, width, height) => {
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

/** Uses a picture and its size in pixels at once, or once it is decoded if it is a file. */
async function withPixels<T>(
  picture: Picture,
  use: (source: Image | Shown, width: number, height: number) => Promise<T>,
): Promise<T> {
  if (!(picture instanceof Blob)) return use(picture, ...sizeOfPicture(picture));
  const bitmap = await decode(picture);
  try {
    return await use(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

async function decode(file: Blob): Promise<ImageBitmap> {
  const name = "name" in file ? String(file.name) : "the given file";
  if (!globalThis.createImageBitmap) throw new ImageError(`${name} must be decoded first: see decodeImage()`);
  try {
    return await createImageBitmap(file);
  } catch (cause) {
    throw new ImageError(`${name} is no image that this browser can decode, or too large`, { cause });
  }
}
