// Sketches for those who have nothing at hand to teach: a few drawings of each subject by us, as strokes; what is made of
// them is bent, turned, stretched and shaken, as no hand draws a thing twice the same.
import { IN_MEMORY } from "./dom.ts";

/**
 * A stroke on a field of 100 x 100: "x y x y ..." is a line through these points, "o x y rx ry" an ellipse around a point.
 */
type Stroke = string;

/** Subjects, each in several drawings. */
const DRAWINGS: Readonly<Record<string, readonly (readonly Stroke[])[]>> = {
  house: [
    ["20 50 20 90 80 90 80 50", "8 54 50 14 92 54", "42 90 42 64 60 64 60 90"],
    ["15 45 15 88 85 88 85 45 15 45 50 12 85 45", "28 56 42 56 42 70 28 70 28 56", "58 88 58 60 72 60 72 88"],
  ],
  fish: [
    ["o 42 50 32 20", "72 44 94 28 94 72 72 56", "o 26 45 3 3"],
    ["10 50 28 33 52 31 78 50 52 69 28 67 10 50", "78 50 94 34 92 50 94 66 78 50", "o 28 45 2 2", "44 40 50 50 44 60"],
  ],
  sun: [
    [
      "o 50 50 20 20",
      "50 22 50 6",
      "50 78 50 94",
      "22 50 6 50",
      "78 50 94 50",
      "30 30 18 18",
      "70 30 82 18",
      "30 70 18 82",
      "70 70 82 82",
    ],
    [
      "o 50 50 25 25",
      "50 17 50 7",
      "50 83 50 93",
      "17 50 7 50",
      "83 50 93 50",
      "27 27 19 19",
      "73 27 81 19",
      "27 73 19 81",
      "73 73 81 81",
      "o 42 44 2 2",
      "o 58 44 2 2",
      "39 57 50 64 61 57",
    ],
  ],
  tree: [
    ["44 92 44 60", "56 92 56 60", "o 50 36 30 27"],
    ["45 92 45 76", "55 92 55 76", "50 8 22 42 36 42 14 76 86 76 64 42 78 42 50 8"],
  ],
  cup: [
    ["20 30 26 88 68 88 74 30 20 30", "73 42 92 42 90 66 70 68"],
    [
      "18 40 18 70 28 86 62 86 72 70 72 40",
      "o 45 40 27 7",
      "72 48 90 46 90 66 71 68",
      "36 28 40 20 36 12",
      "54 28 58 20 54 12",
    ],
  ],
  star: [["50 8 62 38 94 38 68 58 78 90 50 70 22 90 32 58 6 38 38 38 50 8"], ["22 90 50 8 78 90 8 38 92 38 22 90"]],
  boat: [
    ["8 66 24 86 76 86 92 66 8 66", "50 66 50 10", "50 12 82 58 50 58"],
    ["10 70 90 70 76 88 24 88 10 70", "45 70 45 14", "45 16 20 60 45 60", "51 24 78 60 51 60"],
  ],
  flower: [
    [
      "o 50 34 9 9",
      "o 50 16 9 9",
      "o 67 29 9 9",
      "o 61 49 9 9",
      "o 39 49 9 9",
      "o 33 29 9 9",
      "50 58 50 94",
      "50 82 66 70",
    ],
    ["32 16 32 44 50 56 68 44 68 16 58 34 50 14 42 34 32 16", "50 56 50 94", "50 88 30 70", "50 88 70 70"],
  ],
  face: [
    ["o 50 50 40 40", "o 36 40 4 4", "o 64 40 4 4", "30 62 40 73 60 73 70 62"],
    [
      "o 50 52 36 42",
      "32 42 40 40",
      "60 40 68 42",
      "50 48 46 60 53 61",
      "36 72 50 79 64 72",
      "18 32 30 14 50 8 70 14 82 32",
    ],
  ],
  car: [
    ["8 72 8 54 28 50 40 30 68 30 80 50 92 56 92 72 8 72", "o 28 76 10 10", "o 72 76 10 10", "34 50 76 50"],
    ["10 68 10 40 56 40 56 68", "56 46 76 46 90 58 90 68 10 68", "o 28 74 9 9", "o 72 74 9 9"],
  ],
};

/** What there are sketches of. */
export const SUBJECTS: readonly string[] = Object.keys(DRAWINGS);

/** Side of a sketch, in pixels. */
const SIDE = 112;

/** No piece of a stroke is longer, so that all of it bends. */
const PIECE = 6;

type Point = readonly [x: number, y: number];

/** The points of a stroke, close enough to each other to be bent. */
function pointsOf(stroke: Stroke): Point[] {
  if (stroke.startsWith("o")) {
    const [x, y, rx, ry] = stroke.slice(2).split(" ").map(Number);
    const count = Math.max(8, Math.ceil((7 * Math.max(rx, ry)) / PIECE));
    return Array.from({ length: count + 1 }, (_, i) => {
      const angle = (2 * Math.PI * i) / count;
      return [x + rx * Math.sin(angle), y - ry * Math.cos(angle)];
    });
  }
  const numbers = stroke.split(" ").map(Number);
  const corners = Array.from({ length: numbers.length / 2 }, (_, i): Point => [numbers[2 * i], numbers[2 * i + 1]]);
  return corners.flatMap(([x, y], i) => {
    const [toX, toY] = corners[i + 1] ?? [x, y];
    const count = Math.max(1, Math.ceil(Math.hypot(toX - x, toY - y) / PIECE));
    return Array.from({ length: count }, (_, k): Point => [x + ((toX - x) * k) / count, y + ((toY - y) * k) / count]);
  });
}

const between = (least: number, most: number): number => least + (most - least) * Math.random();

/** Where a hand puts a point this time: turned, stretched and leaning, bent in waves as long as the field, and shaken. */
function drawHand(): (point: Point) => Point {
  const [turn, lean] = [between(-0.2, 0.2), between(-0.15, 0.15)];
  const [width, height] = [between(0.72, 1), between(0.72, 1)];
  const [left, top] = [between(-6, 6), between(-6, 6)];
  const waves = [0, 1].map(() => ({ size: between(0, 5), length: between(50, 110), phase: between(0, 7) }));
  const bend = ({ size, length, phase }: (typeof waves)[number], along: number) =>
    size * Math.sin((2 * Math.PI * along) / length + phase) + between(-0.6, 0.6);
  return ([x, y]) => {
    const [u, v] = [width * (x + bend(waves[0], y) - 50), height * (y + bend(waves[1], x) - 50)];
    const [sin, cos] = [Math.sin(turn), Math.cos(turn)];
    return [50 + left + cos * u - sin * v + lean * v, 50 + top + sin * u + cos * v];
  };
}

/** A sketch of a subject, in black on white, another one at each call. */
export function sketch(subject: string): ImageData {
  const context = new OffscreenCanvas(SIDE, SIDE).getContext("2d", IN_MEMORY) as OffscreenCanvasRenderingContext2D;
  context.fillStyle = "white";
  context.fillRect(0, 0, SIDE, SIDE);
  context.scale(SIDE / 100, SIDE / 100);
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = between(4, 7);
  const drawings = DRAWINGS[subject];
  const place = drawHand();
  context.beginPath();
  for (const stroke of drawings[Math.floor(between(0, drawings.length))])
    for (const [i, point] of pointsOf(stroke).entries()) context[i ? "lineTo" : "moveTo"](...place(point));
  context.stroke();
  return context.getImageData(0, 0, SIDE, SIDE);
}
