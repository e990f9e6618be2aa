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
  const image = new ImageData(SIDE, SIDE);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = shades(getComputedStyle(canvas));
  const perShade = high > low ? (colours.length - 1) / (high - low) : 0;
  const columns = Array.from({ length: SIDE }, (_, i) => neighbours(i, width));
  for (let y = 0; y < SIDE; y++) {
    const [above, below, down] = neighbours(y, height);
    for (let x = 0; x < SIDE; x++) {
      const [left, right, across] = columns[x];
      const upper = values[above * width + left] * (1 - across) + values[above * width + right] * across;
      const lower = values[below * width + left] * (1 - across) + values[below * width + right] * across;
      const shade = Math.round((upper * (1 - down) + lower * down - low) * perShade);
      pixels[y * SIDE + x] = colours[Math.min(colours.length - 1, Math.max(0, shade))];
    }
  }
  canvas.getContext("2d", IN_MEMORY)?.putImageData(image, 0, 0);
}

/** The places before and after a pixel, and how near it is to the second one. */
function neighbours(pixel: number, count: number): readonly [number, number, number] {
  const place = ((pixel + 0.5) / SIDE) * count - 0.5;
  const first = Math.floor(place);
  const within = (i: number) => Math.min(count - 1, Math.max(0, i));
  return [within(first), within(first + 1), place - first];
}

/** The colours from the lowest value to the highest, as pixels of ImageData. */
function shades(style: CSSStyleDeclaration): Uint32Array {
  const stops = STOPS.map((name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number));
  const colours = new Uint8ClampedArray(4 * 256);
  for (let shade = 0; shade < 256; shade++) {
    const place = (shade / 255) * (stops.length - 1);
    const first = Math.min(stops.length - 2, Math.floor(place));
    for (let i = 0; i < 3; i++) {
      colours[4 * shade + i] = stops[first][i] + (stops[first + 1][i] - stops[first][i]) * (place - first);
    }
    const rise = Math.min(1, shade / 255 / 0.6);
    colours[4 * shade + 3] = 255 * rise * rise * (3 - 2 * rise);
  }
  return new Uint32Array(colours.buffer);
}
