import { defineKernel, linearGrid } from "../engine/kernel.ts";
import { type Shape, sizeOf } from "../engine/tensor.ts";
import { winograd_input as wgsl } from "./wgsl.ts";

const WORKGROUP = 64;

const [P, Q] = [Math.SQRT1_2, Math.SQRT2];

/** Rows of B^T of F(4x4, 3x3) at the points 0, ±P, ±Q and infinity. */
const B_TRANSPOSED = [
  [1, 0, -2.5, 0, 1, 0],
  [0, -2 * P, -2, P, 1, 0],
  [0, 2 * P, -2, -P, 1, 0],
  [0, -Q / 2, -0.5, Q, 1, 0],
  [0, Q / 2, -0.5, -Q, 1, 0],
  [0, 1, 0, -2.5, 0, 1],
];

/** B^T d B of every 6x6 patch d of x [N, H, W, C] -> [36, tiles, C]. The first step of conv2d_winograd. */
export const winogradInput = defineKernel({
  name: "winograd_input",
  inputs: ["x"],
  /** Top, left, bottom, right. */
  options: { padding: [1, 1, 1, 1] as readonly number[] },
  wgsl,
  example: { shapes: { x: [2, 9, 7, 8] } },
  shape: ({ x }, { padding }) => [36, x[0] * sizeOf(tilesOf(x, padding)), x[3]],
  cost: ({ y }) => ({ flops: sizeOf(y) * 5 }),
  consts: () => ({ WORKGROUP }),
  params({ shapes: { x }, options: { padding }, y }) {
    const [tiles_height, tiles_width] = tilesOf(x, padding);
    const channels = x[3] / 4;
    const size = { x_height: x[1], x_width: x[2], channels, pad_top: padding[0], pad_left: padding[1] };
    return { count: y[1] * channels, tiles: y[1], tiles_height, tiles_width, ...size };
  },
  grid: ({ y }) => linearGrid((y[1] * y[2]) / 4, WORKGROUP),

  reference({ x }, { shapes, options: { padding }, y: shape }) {
    const [, height, width, channels] = shapes.x;
    const [tilesHeight, tilesWidth] = tilesOf(shapes.x, padding);
    const [, tiles] = shape;
    const y = new Float64Array(sizeOf(shape));
    for (let tile = 0; tile < tiles; tile++) {
      const left = (tile % tilesWidth) * 4 - padding[1];
      const top = (Math.floor(tile / tilesWidth) % tilesHeight) * 4 - padding[0];
      const n = Math.floor(tile / tilesWidth / tilesHeight);
      const at = (row: number, column: number, c: number) =>
        row >= 0 && row < height && column >= 0 && column < width
          ? x[((n * height + row) * width + column) * channels + c]
          : 0;
      for (let c = 0; c < channels; c++) {
        for (let i = 0; i < 6; i++) {
          for (let j = 0; j < 6; j++) {
            let sum = 0;
            for (let k = 0; k < 6; k++) {
              for (let l = 0; l < 6; l++) sum += B_TRANSPOSED[i][k] * B_TRANSPOSED[j][l] * at(top + k, left + l, c);
            }
            y[((i * 6 + j) * tiles + tile) * channels + c] = sum;
          }
        }
      }
    }
    return y;
  },
});

/** Tiles of 4x4 outputs down and across, for an image [N, H, W, C] and a 3x3 kernel. */
export const tilesOf = (x: Shape, padding: readonly number[]): [number, number] => [
  Math.ceil((x[1] + padding[0] + padding[2] - 2) / 4),
  Math.ceil((x[2] + padding[1] + padding[3] - 2) / 4),
];
