import { IN_MEMORY } from "./dom.ts";

/** A picture of a class. */
export interface Sample {
  /** Never used twice: what a worker knows it by. */
  readonly id: number;
  readonly picture: ImageData;
}

/** Of photos: what nets for ImageNet cut 224 pixels out of. */
const PHOTO = 256;

/** Side of a thumbnail's pixels. */
const THUMBNAIL = 64;

let made = 0;

export const sampleOf = (picture: ImageData): Sample => ({ id: made++, picture });

/** What was drawn as black ink on white paper, whatever the page's colours are. */
export function drawingOf({ data, width, height }: ImageData): ImageData {
  const picture = new ImageData(width, height);
  for (let i = 0; i < data.length; i += 4) {
    picture.data.fill(255 - data[i + 3], i, i + 3);
    picture.data[i + 3] = 255;
  }
  return picture;
}

/** One of MNIST's digits, bytes of ink, in the same way. */
export function digitOf(ink: Uint8Array): ImageData {
  const side = Math.sqrt(ink.length);
  const picture = new ImageData(side, side);
  for (const [i, value] of ink.entries()) picture.data.set([255 - value, 255 - value, 255 - value, 255], 4 * i);
  return picture;
}

/** The square in the middle of a photo, or of a camera's frame, which is closed. */
export async function squareOf(photo: ImageBitmap): Promise<ImageData> {
  const side = Math.min(photo.width, photo.height);
  const [left, top] = [(photo.width - side) / 2, (photo.height - side) / 2];
  const size = { resizeWidth: PHOTO, resizeHeight: PHOTO, resizeQuality: "high" } as const;
  const square = await createImageBitmap(photo, left, top, side, side, size);
  photo.close();
  const context = new OffscreenCanvas(PHOTO, PHOTO).getContext("2d", IN_MEMORY) as OffscreenCanvasRenderingContext2D;
  // What is transparent is paper.
  context.fillStyle = "white";
  context.fillRect(0, 0, PHOTO, PHOTO);
  context.drawImage(square, 0, 0);
  square.close();
  return context.getImageData(0, 0, PHOTO, PHOTO);
}

/** A sample as small as it is shown. */
export function thumbnail({ picture }: Sample, canvas: HTMLCanvasElement): HTMLCanvasElement {
  const { width, height } = picture;
  const whole = new OffscreenCanvas(width, height);
  (whole.getContext("2d", IN_MEMORY) as OffscreenCanvasRenderingContext2D).putImageData(picture, 0, 0);
  canvas.width = canvas.height = Math.min(width, THUMBNAIL);
  const context = canvas.getContext("2d", IN_MEMORY) as CanvasRenderingContext2D;
  context.imageSmoothingQuality = "high";
  context.drawImage(whole, 0, 0, canvas.width, canvas.height);
  return canvas;
}
