import { defineKernel, linearGrid } from "../../../engine/graph/kernel.ts";
import { type Shape, sizeOf } from "../../../engine/ground/tensor.ts";
import { type Activation, activationConsts } from "../../activation.ts";
import { columnAt } from "../gemm.ts";
import { epilogue } from "../nhwc.ts";

/**
 * Winograd's convolution of 3x3 filters in tiles of T x T outputs, from patches of T + 2: Y = A^T ((G g G^T) * (B^T d B)) A,
 * where * multiplies element by element. A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", 2015.
 */
export interface Winograd {
  readonly tile: number;
  /** B^T. */
  readonly input: readonly (readonly number[])[];
  /** G. */
  readonly filter: readonly (readonly number[])[];
  /** A^T. */
  readonly output: readonly (readonly number[])[];
}

/** F(2x2, 3x3), interpolated at 0, 1, -1 and infinity. */
export const F2: Winograd = {
  tile: 2,
  input: [
    [1, 0, -1, 0],
    [0, 1, 1, 0],
    [0, -1, 1, 0],
    [0, -1, 0, 1],
  ],
  filter: [
    [1, 0, 0],
    [0.5, 0.5, 0.5],
    [0.5, -0.5, 0.5],
    [0, 0, 1],
  ],
  output: [
    [1, 1, 1, 0],
    [0, 1, -1, 1],
  ],
};

const [P, Q] = [Math.SQRT1_2, Math.SQRT2];

/** F(4x4, 3x3), interpolated at 0, ±P, ±Q and infinity: half the error of the usual 0, ±1, ±2, a seventh at worst. */
export const F4: Winograd = {
  tile: 4,
  input: [
    [1, 0, -2.5, 0, 1, 0],
    [0, -2 * P, -2, P, 1, 0],
    [0, 2 * P, -2, -P, 1, 0],
    [0, -Q / 2, -0.5, Q, 1, 0],
    [0, Q / 2, -0.5, -Q, 1, 0],
    [0, 1, 0, -2.5, 0, 1],
  ],
  filter: [
    [1, 0, 0],
    [-2 / 3, -Q / 3, -1 / 3],
    [-2 / 3, Q / 3, -1 / 3],
    [1 / 6, Q / 6, 1 / 3],
    [1 / 6, -Q / 6, 1 / 3],
    [0, 0, 1],
  ],
  output: [
    [1, 1, 1, 1, 1, 0],
    [0, P, -P, Q, -Q, 0],
    [0, 0.5, 0.5, 2, 2, 0],
    [0, P / 2, -P / 2, 2 * Q, -2 * Q, 1],
  ],
};

/** Matrices of the transformed patches, which are as many products. */
export const productsOf = ({ tile }: Winograd): number => (tile + 2) ** 2;

/** Tiles down and across for an output of this height and width. */
export const tilesOf = ({ tile }: Winograd, [height, width]: Shape): number[] => [
  Math.ceil(height / tile),
  Math.ceil(width / tile),
];

/** Tiles of a batch of outputs [N, H, W]. */
export const tileCount = (algorithm: Winograd, [batch, ...size]: Shape): number =>
  batch * sizeOf(tilesOf(algorithm, size));

/** G g G^T of every filter g of w [O, C, 3, 3] -> [(T + 2)^2, C, O], each [C, O] cut by `tile`: see columnAt. */
export function transformFilters(
  { filter }: Winograd,
  weights: Float32Array,
  [outChannels, channels]: Shape,
  tile?: number,
): Float32Array {
  const G = Float64Array.from(filter.flat());
  const size = channels * outChannels;
  const result = new Float32Array(filter.length ** 2 * size);
  const columns = Array.from({ length: outChannels }, (_, o) => columnAt(o, channels, outChannels, tile));
  // Output channels last, so that what is written lies side by side: several times faster.
  for (let c = 0; c < channels; c++) {
    for (let o = 0; o < outChannels; o++) {
      const g = (o * channels + c) * 9;
      let at = columns[o](c);
      for (let i = 0; i < G.length; i += 3) {
        // A row of G g, then its products with the rows of G.
        const a = G[i] * weights[g] + G[i + 1] * weights[g + 3] + G[i + 2] * weights[g + 6];
        const b = G[i] * weights[g + 1] + G[i + 1] * weights[g + 4] + G[i + 2] * weights[g + 7];
        const d = G[i] * weights[g + 2] + G[i + 1] * weights[g + 5] + G[i + 2] * weights[g + 8];
        for (let j = 0; j < G.length; j += 3, at += size) result[at] = a * G[j] + b * G[j + 1] + d * G[j + 2];
      }
    }
  }
  return result;
}

const WORKGROUP = 64;

/** Height and width of the output for x [N, H, W, C] and padding at the top, left, bottom and right. */
export const outputSize = (x: Shape, padding: readonly number[]): number[] =>
  [0, 1].map((d) => x[1 + d] + padding[d] + padding[d + 2] - 2);

/** A kernel for B^T d B of every patch d of x [N, H, W, C] -> [(T + 2)^2, tiles, C]. */
export function winogradInputKernel(name: string, wgsl: string, algorithm: Winograd) {
  const side = algorithm.tile + 2;
  return defineKernel({
    name,
    inputs: ["x"],
    /** Padding is top, left, bottom, right; loops are unrolled for GPUs, while software adapters would compile for seconds. */
    options: { padding: [1, 1, 1, 1] as readonly number[], unroll: false },
    wgsl,
    shape: ({ x }, { padding }) => [side * side, tileCount(algorithm, [x[0], ...outputSize(x, padding)]), x[3]],
    cost: ({ y }) => ({ flops: sizeOf(y) * 5 }),
    consts: ({ options }) => ({ WORKGROUP, UNROLL: options.unroll }),
    params({ shapes: { x }, options: { padding }, y }) {
      const [tiles_height, tiles_width] = tilesOf(algorithm, outputSize(x, padding));
      const channels = x[3] / 4;
      const size = { x_height: x[1], x_width: x[2], channels, pad_top: padding[0], pad_left: padding[1] };
      return { count: y[1] * channels, side, tiles: y[1], tiles_height, tiles_width, ...size };
    },
    grid: ({ y }) => linearGrid((y[1] * y[2]) / 4, WORKGROUP),
  });
}

/** A kernel for A^T m A of every matrix m of x [(T + 2)^2, tiles, C], + b [C], + r, activation -> [N, H', W', C]. */
export function winogradOutputKernel(name: string, wgsl: string, algorithm: Winograd) {
  const side = algorithm.tile + 2;
  return defineKernel({
    name,
    inputs: ["x", "b?", "r?"],
    /** `size` is [N, H', W']. */
    options: { size: undefined as unknown as Shape, activation: "none" as Activation, unroll: false },
    wgsl,
    shape: ({ x }, { size }) => [...size, x[2]],
    cost: ({ shapes: { x } }) => ({ flops: sizeOf(x) * 5 }),
    consts: ({ options }) => ({ WORKGROUP, UNROLL: options.unroll, ...activationConsts(options) }),
    params({ shapes: { x, b, r }, options, y }) {
      const [tiles_height, tiles_width] = tilesOf(algorithm, [y[1], y[2]]);
      return {
        ...epilogue(b, r, options.activation),
        count: (x[1] * x[2]) / 4,
        side,
        tiles: x[1],
        tiles_height,
        tiles_width,
        y_height: y[1],
        y_width: y[2],
        channels: x[2] / 4,
        y_pitch: y[y.length - 1] / 4,
        y_first: 0,
      };
    },
    grid: ({ shapes: { x } }) => linearGrid((x[1] * x[2]) / 4, WORKGROUP),
  });
}
