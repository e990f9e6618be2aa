import { defineKernel, type Grid, linearGrid } from "../engine/kernel.ts";
import { type Shape, sizeOf } from "../engine/tensor.ts";
import { outputSize } from "./convolution.ts";
import { conv2d_subgroup as wgsl } from "./wgsl.ts";

/** vec4s of output channels per tile. */
const CHANNELS = 8;

interface Tiling {
  /** Lanes of a subgroup: what the adapter has, between 4 and 64. */
  subgroup: number;
}

/** Pixels per lane: fewer where a tile would be half empty. */
const pixelsPerLane = (pixels: number, { subgroup }: Tiling): number =>
  subgroup >= 32 ? 1 : pixels <= 2 * subgroup ? 2 : 4;

const consts = (pixels: number, options: Tiling) => ({
  SUBGROUP: options.subgroup,
  PIXELS: pixelsPerLane(pixels, options),
  CHANNELS,
});

/** What a convolution's kernel adds and applies last, as fields of its `struct Params`. */
export const epilogue = (b: Shape | undefined, r: Shape | undefined, relu: boolean) => ({
  bias: Number(b !== undefined),
  residual: Number(r !== undefined),
  relu: Number(relu),
});

const channelTiles = (channels: number): number => Math.ceil(channels / 4 / CHANNELS);

function grid(pixels: number, channels: number, products: number, options: Tiling): Grid {
  const [x, y] = linearGrid(pixels, options.subgroup * pixelsPerLane(pixels, options));
  return [x, y, channelTiles(channels) * products];
}

/** Operations of the tiles that cover an output of this many pixels and channels, with sums of k terms. */
function work(pixels: number, channels: number, k: number, options: Tiling): number {
  const tile = options.subgroup * pixelsPerLane(pixels, options);
  return 2 * Math.ceil(pixels / tile) * tile * channelTiles(channels) * 4 * CHANNELS * k;
}

/**
 * The convolution on NHWC images with register tiles shared by subgroup shuffles: x [N, H, W, C], w [KH, KW, C, O],
 * b [O], r and y [N, H', W', O]; C and O are multiples of 4. A variant of conv2d, which see for the mathematics.
 */
export const conv2dSubgroup = defineKernel({
  name: "conv2d_subgroup",
  inputs: ["x", "w", "b?", "r?"],
  options: {
    subgroup: 8,
    stride: [1, 1] as readonly number[],
    dilation: [1, 1] as readonly number[],
    /** Top, left, bottom, right. */
    padding: [0, 0, 0, 0] as readonly number[],
    relu: false,
  },
  wgsl,
  example: { shapes: { x: [1, 5, 6, 8], w: [3, 3, 8, 12], b: [12] }, options: { padding: [1, 1, 1, 1] } },

  shape({ x, w }, { stride, dilation, padding }) {
    const size = (d: number) => outputSize(x[1 + d], padding[d] + padding[d + 2], w[d], stride[d], dilation[d]);
    return [x[0], size(0), size(1), w[3]];
  },

  cost({ shapes: { w }, options, y }) {
    const k = sizeOf(w.slice(0, 3));
    return { flops: 2 * sizeOf(y) * k, work: work(sizeOf(y.slice(0, 3)), y[3], k, options) };
  },
  consts: ({ options, y }) => consts(sizeOf(y.slice(0, 3)), options),
  params: ({ shapes: { x, w, b, r }, options, y }) => ({
    ...epilogue(b, r, options.relu),
    pixels: sizeOf(y.slice(0, 3)),
    x_height: x[1],
    x_width: x[2],
    x_channels: x[3] / 4,
    y_height: y[1],
    y_width: y[2],
    y_channels: y[3] / 4,
    kernel_height: w[0],
    kernel_width: w[1],
    stride_height: options.stride[0],
    stride_width: options.stride[1],
    dilation_height: options.dilation[0],
    dilation_width: options.dilation[1],
    pad_top: options.padding[0],
    pad_left: options.padding[1],
    channel_tiles: channelTiles(y[3]),
    x_stride: 0,
    w_stride: 0,
    y_stride: 0,
  }),
  grid: ({ options, y }) => grid(sizeOf(y.slice(0, 3)), y[3], 1, options),

  reference({ x, w, b, r }, { shapes, options, y: shape }) {
    const [batch, height, width, channels] = shapes.x;
    const [kernelHeight, kernelWidth] = shapes.w;
    const [, outHeight, outWidth, outChannels] = shape;
    const y = new Float64Array(sizeOf(shape));
    let out = 0;
    for (let n = 0; n < batch; n++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++) {
          for (let o = 0; o < outChannels; o++, out++) {
            let sum = (b ? b[o] : 0) + (r ? r[out] : 0);
            for (let k = 0; k < kernelHeight; k++) {
              for (let l = 0; l < kernelWidth; l++) {
                const row = i * options.stride[0] - options.padding[0] + k * options.dilation[0];
                const column = j * options.stride[1] - options.padding[1] + l * options.dilation[1];
                if (row < 0 || row >= height || column < 0 || column >= width) continue;
                for (let c = 0; c < channels; c++) {
                  sum +=
                    x[((n * height + row) * width + column) * channels + c] *
                    w[((k * kernelWidth + l) * channels + c) * outChannels + o];
                }
              }
            }
            y[out] = options.relu && sum < 0 ? 0 : sum;
          }
        }
      }
    }
    return y;
  },
});

/**
 * A batch of matrix products by the same WGSL, each a 1x1 convolution of one row of pixels:
 * a [batch, M, K], b [batch, K, N] -> y [batch, M, N]; K and N are multiples of 4.
 */
export const matmulSubgroup = defineKernel({
  name: "matmul_subgroup",
  inputs: ["x", "w"],
  options: { subgroup: 8 },
  wgsl,
  example: { shapes: { x: [3, 5, 8], w: [3, 8, 12] } },
  shape: ({ x, w }) => [x[0], x[1], w[2]],
  cost: ({ shapes: { x }, options, y }) => ({
    flops: 2 * sizeOf(y) * x[2],
    work: y[0] * work(y[1], y[2], x[2], options),
  }),
  consts: ({ options, y }) => consts(y[1], options),
  params: ({ shapes: { x }, y }) => ({
    ...epilogue(undefined, undefined, false),
    pixels: y[1],
    x_height: 1,
    x_width: x[1],
    x_channels: x[2] / 4,
    y_height: 1,
    y_width: y[1],
    y_channels: y[2] / 4,
    kernel_height: 1,
    kernel_width: 1,
    stride_height: 1,
    stride_width: 1,
    dilation_height: 1,
    dilation_width: 1,
    pad_top: 0,
    pad_left: 0,
    channel_tiles: channelTiles(y[2]),
    x_stride: (x[1] * x[2]) / 4,
    w_stride: (x[2] * y[2]) / 4,
    y_stride: (y[1] * y[2]) / 4,
  }),
  grid: ({ options, y }) => grid(y[1], y[2], y[0], options),

  reference({ x, w }, { shapes, y: shape }) {
    const [, m, n] = shape;
    const k = shapes.x[2];
    return Float64Array.from({ length: sizeOf(shape) }, (_, index) => {
      const batch = Math.floor(index / n / m);
      let sum = 0;
      for (let q = 0; q < k; q++) sum += x[Math.floor(index / n) * k + q] * w[(batch * k + q) * n + (index % n)];
      return sum;
    });
  },
});
