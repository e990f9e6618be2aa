import type { Device } from "../device/device.ts";
import { COPY_DST, MAP_READ } from "../device/usage.ts";
import { ImageError, show } from "../ground/errors.ts";
import type { Image } from "./image.ts";

// Textures of one's own as pictures.

// The values of GPUTextureUsage: Node has no such globals.
const COPY_SRC = 1;
const TEXTURE_BINDING = 4;

/** A row of a texture's copy begins at a multiple of so many bytes. */
const ROW_BYTES = 256;

/** A device, and its generation when the texture was given. */
interface Given {
  readonly device: Device;
  readonly generation?: number;
}

/** Throws an ImageError unless a kernel can read the texture as a picture's bytes, a GpuError where its device was lost. */
export function checkTexture({ device, generation }: Given, texture: GPUTexture): GPUTexture {
  device.check(generation);
  try {
    // Encoded, and never submitted, to ask whether it is one: Dawn in Node ends the process over a binding that is none.
    device.device.createCommandEncoder().copyTextureToTexture({ texture }, { texture }, [0, 0]);
  } catch (cause) {
    throw new ImageError("got something with createView() for a picture that is no GPUTexture", { cause });
  }
  const { format, dimension, depthOrArrayLayers, sampleCount, usage } = texture;
  const isFlat = dimension === "2d" && depthOrArrayLayers === 1 && sampleCount === 1;
  if (isFlat && /^(rgba|bgra)8unorm$/.test(format) && usage & TEXTURE_BINDING) return texture;
  const got = `${show(format)} in ${show(dimension)}, ${depthOrArrayLayers} layers, ${sampleCount} samples, usage ${usage}`;
  throw new ImageError(
    `got a texture of ${got}; wanted rgba8unorm or bgra8unorm in 2d, one layer, one sample, with the usage TEXTURE_BINDING`,
  );
}

/** The pixels of a texture in memory. Throws an ImageError where it cannot be copied from. */
export async function readTexture(given: Given, texture: GPUTexture): Promise<Image> {
  checkTexture(given, texture);
  if (!(texture.usage & COPY_SRC)) {
    throw new ImageError("this net reads pictures in memory: give a texture with the usage COPY_SRC, or its pixels");
  }
  const { device: gpu } = given;
  const { device } = gpu;
  const { width, height, format } = texture;
  const bytesPerRow = ROW_BYTES * Math.ceil((4 * width) / ROW_BYTES);
  const staging = await gpu.createBuffer("texture to read", bytesPerRow * height, MAP_READ | COPY_DST);
  try {
    const submitted = gpu.guarded(() => {
      const encoder = device.createCommandEncoder();
      encoder.copyTextureToBuffer({ texture }, { buffer: staging, bytesPerRow }, [width, height]);
      device.queue.submit([encoder.finish()]);
    });
    const problem = await gpu.settle(submitted);
    if (problem) throw problem;
    await gpu.settle(staging.mapAsync(MAP_READ));
    const rows = new Uint8Array(staging.getMappedRange());
    const data = new Uint8Array(4 * width * height);
    for (let i = 0; i < height; i++)
      data.set(rows.subarray(i * bytesPerRow, i * bytesPerRow + 4 * width), 4 * width * i);
    if (format.startsWith("b"))
      for (let i = 0; i < data.length; i += 4) [data[i], data[i + 2]] = [data[i + 2], data[i]];
    return { width, height, data };
  } finally {
    gpu.destroyBuffer(staging);
  }
}
