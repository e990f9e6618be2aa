import { defineKernel, linearGrid } from "../engine/kernel.ts";
import { type Shape, sizeOf } from "../engine/tensor.ts";
import { epilogue } from "./conv2d_subgroup.ts";
import { winograd_output as wgsl } from "./wgsl.ts";

const WORKGROUP = 64;

const [P, Q] = [Math.SQRT1_2, Math.SQRT2];

/** Rows of A^T of F(4x4, 3x3) at the points 0, ±P, ±Q and infinity. */
const A_TRANSPOSED = [
  [1, 1, 1, 1, 1, 0],
  [0, P, -P, Q, -Q, 0],
  [0, 0.5, 0.5, 2, 2, 0],
  [0, P / 2, -P / 2, 2 * Q, -2 * Q, 1],
];

/** A^T m A of every 6x6 matrix m of x [36, tiles, C] -> [N, H', W', C]. The last step of conv2d_winograd. */
export const winogradOutput = defineKernel({
  name: "winograd_output",
  inputs: ["x", "b?", "r?"],
  /** `size` is [N, H', W']. */
  options: { size: undefined as unknown as Shape, relu: false },
  wgsl,
  example: { shapes: { x: [36, 12, 8], b: [8] }, options: { size: [2, 9, 7] } },
  shape: ({ x }, { size }) => [...size, x[2]],
  cost: ({ shapes: { x } }) => ({ flops: sizeOf(x) * 5 }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x, b, r }, options, y }) => ({
    ...epilogue(b, r, options.relu),
    count: (x[1] * x[2]) / 4,
    tiles: x[1],
    tiles_height: Math.ceil(y[1] / 4),
    tiles_width: Math.ceil(y[2] / 4),
    y_height: y[1],
    y_width: y[2],
    channels: x[2] / 4,
  }),
  grid: ({ shapes: { x } }) => linearGrid((x[1] * x[2]) / 4, WORKGROUP),

  reference({ x, b, r }, { shapes, options, y: shape }) {
    const [, tiles, channels] = shapes.x;
    const [, height, width] = shape;
    const [tilesHeight, tilesWidth] = [Math.ceil(height / 4), Math.ceil(width / 4)];
    return Float64Array.from({ length: sizeOf(shape) }, (_, index) => {
      const c = index % channels;
      const column = Math.floor(index / channels) % width;
      const row = Math.floor(index / channels / width) % height;
      const n = Math.floor(index / channels / width / height);
      const tile = (n * tilesHeight + Math.floor(row / 4)) * tilesWidth + Math.floor(column / 4);
      let sum = (b ? b[c] : 0) + (r ? r[index] : 0);
      for (let i = 0; i < 6; i++) {
        for (let j = 0; j < 6; j++) {
          sum +=
            A_TRANSPOSED[row % 4][i] * A_TRANSPOSED[column % 4][j] * x[((i * 6 + j) * tiles + tile) * channels + c];
        }
      }
      return options.relu && sum < 0 ? 0 : sum;
    });
  },
});
