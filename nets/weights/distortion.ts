import { DIGIT } from "../../engine/image/image.ts";
import type { Draw } from "../../engine/training/augmentation.ts";

const { side: SIDE, padding } = DIGIT;
const INPUT = SIDE + 2 * padding;

/** The side of an image with a border of ground, so that no pixel lacks a neighbour. */
const FRAMED = SIDE + 2;

/**
 * A digit [28, 28] as another hand and pen would have written it, on [32, 32], ink from 0 to 255: its strokes grow or shrink,
 * and its plane is scaled, sheared, rotated and shifted about the centre and bent by a coarse random field.
 */
export function distorted(digit: Uint8Array, draw: Draw): Float32Array {
  const random = (most: number, least = -most) => least + (most - least) * draw();
  const strokes = withStrokes(digit, random(0.6, -0.4));
  const angle = (random(12) * Math.PI) / 180;
  const [cos, sin, shear] = [Math.cos(angle), Math.sin(angle), random(0.15)];
  const [scaleX, scaleY] = [random(1.15, 0.85), random(1.15, 0.85)];
  const [shiftX, shiftY] = [random(2), random(2)];
  const [bendX, bendY] = [0, 1].map(() => Float32Array.from({ length: 25 }, () => random(1.2)));
  const centre = (INPUT - 1) / 2;
  const input = new Float32Array(INPUT * INPUT);
  for (let v = 0; v < INPUT; v++) {
    for (let u = 0; u < INPUT; u++) {
      const dx = (u - centre) / scaleX + (shear * (v - centre)) / scaleY;
      const dy = (v - centre) / scaleY;
      const x = (FRAMED - 1) / 2 + shiftX + cos * dx - sin * dy + bilinear(bendX, 5, u / 8, v / 8);
      const y = (FRAMED - 1) / 2 + shiftY + sin * dx + cos * dy + bilinear(bendY, 5, u / 8, v / 8);
      const isInside = x >= 0 && y >= 0 && x < FRAMED - 1 && y < FRAMED - 1;
      if (isInside) input[v * INPUT + u] = bilinear(strokes, FRAMED, x, y);
    }
  }
  return input;
}

/** A digit in its frame, every pixel moved by a share of the way to its darkest neighbour, or to the lightest below 0. */
function withStrokes(digit: Uint8Array, growth: number): Float32Array {
  const plain = new Float32Array(FRAMED * FRAMED);
  for (let y = 0; y < SIDE; y++) plain.set(digit.subarray(y * SIDE, (y + 1) * SIDE), (y + 1) * FRAMED + 1);
  const extreme = growth > 0 ? Math.max : Math.min;
  const strokes = plain.slice();
  for (let i = FRAMED; i < FRAMED * (FRAMED - 1); i++) {
    const next = extreme(plain[i], plain[i - 1], plain[i + 1], plain[i - FRAMED], plain[i + FRAMED]);
    strokes[i] += Math.abs(growth) * (next - plain[i]);
  }
  return strokes;
}

/** The value at (x, y) of a square grid of samples. */
function bilinear(grid: Float32Array, side: number, x: number, y: number): number {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const i = top * side + left;
  const upper = grid[i] + (x - left) * (grid[i + 1] - grid[i]);
  const lower = grid[i + side] + (x - left) * (grid[i + side + 1] - grid[i + side]);
  return upper + (y - top) * (lower - upper);
}
