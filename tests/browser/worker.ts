// A worker with methods of its own, as a page may write one.
import { openGpu, serveGpu } from "../../browser.ts";
import { trainOnNoise } from "./training.ts";

serveGpu(openGpu, {
  /** Paints a canvas that the page has transferred, and counts up. */
  paint({ onProgress }, canvas: OffscreenCanvas | undefined, colour: string) {
    for (let i = 1; i <= 3; i++) onProgress(i);
    const context = canvas?.getContext("2d");
    if (!canvas || !context) return;
    context.fillStyle = colour;
    context.fillRect(0, 0, canvas.width, canvas.height);
  },
  shapeOf: ({ net }) => net?.inputShape,
  train: ({ gpu, onProgress }) => trainOnNoise(gpu, onProgress),
  loseDevice: ({ gpu }) => gpu.device.destroy(),
  waitForEnd: ({ signal }) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    }),
  fail: () => Promise.reject({ odd: () => {} }),
  giveFunction: () => () => {},
});
