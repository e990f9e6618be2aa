import { IN_MEMORY } from "./dom.ts";

/** More than this a browser may not be able to decode, and nobody's camera takes. */
const MOST_PIXELS = 100e6;

/** Nets look at 224 x 224 pixels: a photo is kept no larger than this. */
const SIDE = 2048;

/** Reads a picture of any format that the browser knows. Throws an Error that says what is wrong with it. */
export async function readPhoto(file: Blob): Promise<ImageBitmap> {
  const name = file instanceof File ? file.name : "what was pasted";
  const [width, height] = await measure(file, name);
  if (width * height > MOST_PIXELS) {
    const megapixels = Math.round((width * height) / 1e6);
    throw new Error(
      `${name} has ${width} × ${height} pixels, that is ${megapixels} megapixels; this page takes up to ${MOST_PIXELS / 1e6}: make it smaller first`,
    );
  }
  const largest = Math.max(width, height);
  const resize =
    largest > SIDE
      ? ({ [width >= height ? "resizeWidth" : "resizeHeight"]: SIDE, resizeQuality: "high" } as ImageBitmapOptions)
      : {};
  try {
    return await createImageBitmap(file, resize);
  } catch (cause) {
    throw new Error(`${name} cannot be decoded: is the file whole?`, { cause });
  }
}

/** A picture's size, from its header: it is not decoded for that. */
async function measure(file: Blob, name: string): Promise<[number, number]> {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = reject;
    });
    return [image.naturalWidth, image.naturalHeight];
  } catch (cause) {
    throw new Error(`${name} is no picture that this browser can show: take a JPEG, PNG or WebP`, { cause });
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** Something to look at where there is no photo at hand: a sun over the sea. */
export function testPicture(): ImageBitmap {
  const canvas = new OffscreenCanvas(640, 480);
  const context = canvas.getContext("2d", IN_MEMORY) as OffscreenCanvasRenderingContext2D;
  const band = (top: number, bottom: number, from: string, to: string) => {
    const gradient = context.createLinearGradient(0, top, 0, bottom);
    gradient.addColorStop(0, from);
    gradient.addColorStop(1, to);
    context.fillStyle = gradient;
    context.fillRect(0, top, 640, bottom - top);
  };
  band(0, 300, "#1b2a57", "#f4a261");
  band(300, 480, "#c8704a", "#0d1b3a");
  context.fillStyle = "#ffe8b0";
  context.beginPath();
  context.arc(320, 285, 62, Math.PI, 2 * Math.PI);
  context.fill();
  for (let i = 0; i < 12; i++) {
    context.globalAlpha = 0.8 - 0.06 * i;
    context.fillRect(320 - 62 + 4 * i, 304 + 14 * i, 124 - 8 * i, 6);
  }
  context.globalAlpha = 1;
  context.fillStyle = "#14213d";
  context.beginPath();
  context.moveTo(430, 330);
  context.lineTo(580, 330);
  context.lineTo(556, 362);
  context.lineTo(452, 362);
  context.fill();
  context.fillStyle = "#f8f4e8";
  context.beginPath();
  context.moveTo(508, 160);
  context.lineTo(508, 320);
  context.lineTo(570, 320);
  context.moveTo(500, 190);
  context.lineTo(500, 320);
  context.lineTo(446, 320);
  context.fill();
  return canvas.transferToImageBitmap();
}
