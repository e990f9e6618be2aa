import type { Tensor } from "../../engine/ground/tensor.ts";
import { IN_MEMORY, nextTask } from "./dom.ts";

/** Maps of one size, one after the other. */
export interface Maps {
  readonly data: Float32Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
}

/** A layer's output for one image, as maps: [1, C, H, W], or [1, C] as C maps of one value. */
export const mapsOf = ({ shape: [, count, height = 1, width = 1], data }: Tensor): Maps => ({
  data,
  count,
  height,
  width,
});

export interface Layout {
  /** Side of a map on the page, in CSS pixels; small maps come as close to it as whole pixels allow. */
  readonly tile: number;
  readonly columns: number;
  /** What is shown in full colour; what is beyond it is, too. */
  readonly range: number;
  /** The maps to draw: `count` from `first` on. */
  readonly first?: number;
  readonly count?: number;
  /** Which colours of the style sheet are meant. */
  readonly scale?: Scale;
}

/** A pair of colours, one meaning: what a net computes, and what it has learned. */
export type Scale = "map" | "weight";

/** Where maps are on a canvas, in CSS pixels. */
export interface Grid {
  readonly columns: number;
  readonly count: number;
  /** Of one map. */
  readonly width: number;
  readonly height: number;
  /** From one map to the next. */
  readonly across: number;
  readonly down: number;
}

/** Values that are painted at a time: a few milliseconds. */
const AT_A_TIME = 50_000;

/**
 * Draws maps as a grid, every value a square of whole device pixels: zero is the page's ground, negative and positive
 * values take the two colours of the style sheet.
 */
export function drawMaps(canvas: HTMLCanvasElement, maps: Maps, layout: Layout): Grid {
  const { grid, strips, drawStrip } = begin(canvas, maps, layout);
  for (let strip = 0; strip < strips; strip++) drawStrip(strip);
  return grid;
}

/** The same for maps of a million values: some at a time, and between them whatever else the page has to do. */
export async function drawMapsInTurn(
  canvas: HTMLCanvasElement,
  maps: Maps,
  layout: Layout,
  isCurrent: () => boolean,
): Promise<void> {
  const { strips, drawStrip } = begin(canvas, maps, layout);
  for (let strip = 0; strip < strips; strip++) {
    if (strip > 0) await nextTask();
    if (!isCurrent()) return;
    drawStrip(strip);
  }
}

/** Clears a canvas for a grid of maps, and gives what draws them, some at a time. */
function begin(canvas: HTMLCanvasElement, maps: Maps, layout: Layout) {
  const { tile, columns, range, first = 0, count = maps.count - first, scale: colours = "map" } = layout;
  const { height, width, data } = maps;
  const density = devicePixelRatio;
  const scale = (tile * density) / Math.max(height, width);
  const cell = scale >= 1 ? Math.round(scale) : scale;
  const [tileWidth, tileHeight] = [Math.round(cell * width), Math.round(cell * height)];
  const gap = Math.max(1, Math.round((height * width === 1 ? 1 : 3) * density));
  const used = Math.min(columns, count);
  canvas.width = used * (tileWidth + gap) - gap;
  canvas.height = Math.ceil(count / used) * (tileHeight + gap) - gap;
  canvas.style.width = `${canvas.width / density}px`;
  const context = canvas.getContext("2d", IN_MEMORY) as CanvasRenderingContext2D;
  context.imageSmoothingEnabled = cell < 1;
  // Maps side by side in one picture, pixel by pixel, from which each is drawn as large as it is shown.
  const perStrip = Math.min(count, Math.max(1, Math.floor(AT_A_TIME / (height * width))));
  const sheet = new OffscreenCanvas(perStrip * width, height);
  const image = new ImageData(sheet.width, sheet.height);
  const pixels = new Uint32Array(image.data.buffer);
  const color = palette(getComputedStyle(canvas), range, colours);
  const drawStrip = (strip: number): void => {
    const start = strip * perStrip;
    const inStrip = Math.min(perStrip, count - start);
    for (let i = 0; i < inStrip; i++) {
      let from = (first + start + i) * height * width;
      for (let y = 0; y < height; y++) {
        let at = y * image.width + i * width;
        for (const end = at + width; at < end; at++) pixels[at] = color(data[from++]);
      }
    }
    sheet.getContext("2d", IN_MEMORY)?.putImageData(image, 0, 0);
    for (let i = 0; i < inStrip; i++) {
      const [column, row] = [(start + i) % used, Math.floor((start + i) / used)];
      const [x, y] = [column * (tileWidth + gap), row * (tileHeight + gap)];
      context.drawImage(sheet, i * width, 0, width, height, x, y, tileWidth, tileHeight);
    }
  };
  const grid: Grid = {
    columns: used,
    count,
    width: tileWidth / density,
    height: tileHeight / density,
    across: (tileWidth + gap) / density,
    down: (tileHeight + gap) / density,
  };
  return { grid, strips: Math.ceil(count / perStrip), drawStrip };
}

/** Shades of each of the two colours. */
const SHADES = 255;

/** Colours of the style sheet, as "red green blue": of values, as pixels of ImageData. A NaN has one that no number has. */
export function palette(style: CSSStyleDeclaration, range: number, scale: Scale = "map"): (value: number) => number {
  const names = ["--map-zero", `--${scale}-low`, `--${scale}-high`, "--map-nan"];
  const pixels = shadesOf(names.map((name) => style.getPropertyValue(name).trim()));
  const perShade = SHADES / range;
  return (value) => {
    const shade = Math.round(value * perShade);
    if (shade >= -SHADES && shade <= SHADES) return pixels[shade + SHADES];
    return pixels[Number.isNaN(value) ? 2 * SHADES + 1 : value < 0 ? 0 : value > 0 ? 2 * SHADES : SHADES];
  };
}

const shades = new Map<string, Uint32Array>();

/** From the lowest by zero to the highest, and then NaN; of the same colours only once, for a view has a dozen canvases. */
function shadesOf(texts: readonly string[]): Uint32Array {
  const key = texts.join();
  const known = shades.get(key);
  if (known) return known;
  const [ground, low, high, wrong] = texts.map((text) => text.split(/\s+/).map(Number));
  const colours = new Uint8ClampedArray(4 * (2 * SHADES + 2)).fill(255);
  for (let shade = -SHADES; shade <= SHADES + 1; shade++) {
    const to = shade > SHADES ? wrong : shade < 0 ? low : high;
    const part = Math.min(Math.abs(shade) / SHADES, 1);
    for (let i = 0; i < 3; i++) colours[4 * (shade + SHADES) + i] = ground[i] + (to[i] - ground[i]) * part;
  }
  const pixels = new Uint32Array(colours.buffer);
  shades.set(key, pixels);
  return pixels;
}

/** The largest magnitude but for one value in 500, so that a single one does not make all others pale. */
export function robustRange(data: Float32Array): number {
  const step = Math.max(1, Math.floor(data.length / 5_000));
  const sample = new Float32Array(Math.ceil(data.length / step));
  for (let i = 0; i < sample.length; i++) sample[i] = Math.abs(data[i * step]);
  const sorted = sample.filter(Number.isFinite).sort();
  return sorted[Math.floor(0.998 * (sorted.length - 1))] || sorted.at(-1) || 1;
}
