import { IN_MEMORY } from "./dom.ts";
import type { Heat } from "./worker/heat_map.ts";

/** Pixels of the canvas per side: maps have a tenth of them, and browsers smooth what they enlarge. */
const SIDE = 112;

/** Colours of the style sheet: from where nothing is to where most is. */
const STOPS = ["--heat-0", "--heat-1", "--heat-2", "--heat-3", "--heat-4"];

/** The range of values that the colours stand for. */
export interface HeatRange {
  readonly low: number;
  readonly high: number;
}

/** From the least of a map to the most; from zero where what is below speaks against nothing. */
export function rangeOf({ values }: Heat, fromZero: boolean): HeatRange {
  const low = fromZero ? 0 : Math.min(...values);
  return { low, high: Math.max(low, ...values) };
}

/** Draws a map over the image, bilinear between the middles of its places: clear where it is lowest. */
export function drawHeat(canvas: HTMLCanvasElement, { values, height, width }: Heat, { low, high }: HeatRange): void {
  canvas.width = canvas.height = SIDE;
  const pixels = new ImageData(SIDE, SIDE);
  const style = getComputedStyle(canvas);
  const stops = STOPS.map((name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number));
  const rows = Array.from({ length: SIDE }, (_, i) => neighbours(i, height));
  const columns = Array.from({ length: SIDE }, (_, i) => neighbours(i, width));
  for (const [y, [above, below, down]] of rows.entries()) {
    for (const [x, [left, right, across]] of columns.entries()) {
      const upper = values[above * width + left] * (1 - across) + values[above * width + right] * across;
      const lower = values[below * width + left] * (1 - across) + values[below * width + right] * across;
      const value = upper * (1 - down) + lower * down;
      paint(high > low ? (value - low) / (high - low) : 0, stops, pixels.data, 4 * (y * SIDE + x));
    }
  }
  canvas.getContext("2d", IN_MEMORY)?.putImageData(pixels, 0, 0);
}

/** The places before and after a pixel, and how near it is to the second one. */
function neighbours(pixel: number, count: number): readonly [number, number, number] {
  const place = ((pixel + 0.5) / SIDE) * count - 0.5;
  const first = Math.floor(place);
  const within = (i: number) => Math.min(count - 1, Math.max(0, i));
  return [within(first), within(first + 1), place - first];
}

function paint(value: number, stops: readonly number[][], pixels: Uint8ClampedArray, at: number): void {
  const part = Math.min(1, Math.max(0, value));
  const place = part * (stops.length - 1);
  const first = Math.min(stops.length - 2, Math.floor(place));
  for (let i = 0; i < 3; i++) {
    pixels[at + i] = stops[first][i] + (stops[first + 1][i] - stops[first][i]) * (place - first);
  }
  const rise = Math.min(1, part / 0.6);
  pixels[at + 3] = 255 * rise * rise * (3 - 2 * rise);
}
