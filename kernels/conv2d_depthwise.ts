import { defineKernel, linearGrid } from "../engine/kernel.ts";
import { type Shape, sizeOf } from "../engine/tensor.ts";
import { epilogue } from "./conv2d_subgroup.ts";
import { outputSize } from "./convolution.ts";
import { conv2d_depthwise as wgsl } from "./wgsl.ts";

const WORKGROUP = 64;

/** Pixels of a row that one thread computes. */
const COLUMNS = 4;

/** Threads for an output [N, H, W, C]. */
const threads = ([n, height, width, channels]: Shape): number =>
  n * height * Math.ceil(width / COLUMNS) * (channels / 4);

/**
 * The depthwise convolution on NHWC images: x [N, H, W, C], w [KH, KW, C], b [C], r and y [N, H', W', C]; C is a multiple
 * of 4. A variant of conv2d with as many groups as channels, which see for the mathematics.
 */
export const conv2dDepthwise = defineKernel({
  name: "conv2d_depthwise",
  inputs: ["x", "w", "b?", "r?"],
  options: {
    stride: [1, 1] as readonly number[],
    dilation: [1, 1] as readonly number[],
    /** Top, left, bottom, right. */
    padding: [0, 0, 0, 0] as readonly number[],
    relu: false,
  },
  wgsl,
  example: { shapes: { x: [1, 5, 6, 8], w: [3, 3, 8], b: [8] }, options: { padding: [1, 1, 1, 1] } },

  shape({ x, w }, { stride, dilation, padding }) {
    const size = (d: number) => outputSize(x[1 + d], padding[d] + padding[d + 2], w[d], stride[d], dilation[d]);
    return [x[0], size(0), size(1), x[3]];
  },

  cost: ({ shapes: { w }, y }) => ({ flops: 2 * sizeOf(y) * w[0] * w[1] }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { x, w, b, r }, options, y }) => ({
    ...epilogue(b, r, options.relu),
    count: threads(y),
    strips: Math.ceil(y[2] / COLUMNS),
    channels: y[3] / 4,
    x_height: x[1],
    x_width: x[2],
    y_height: y[1],
    y_width: y[2],
    kernel_height: w[0],
    kernel_width: w[1],
    stride_height: options.stride[0],
    stride_width: options.stride[1],
    dilation_height: options.dilation[0],
    dilation_width: options.dilation[1],
    pad_top: options.padding[0],
    pad_left: options.padding[1],
  }),
  grid: ({ y }) => linearGrid(threads(y), WORKGROUP),

  reference({ x, w, b, r }, { shapes, options, y: shape }) {
    const [, height, width, channels] = shapes.x;
    const [kernelHeight, kernelWidth] = shapes.w;
    return Float64Array.from({ length: sizeOf(shape) }, (_, index) => {
      const c = index % channels;
      const j = Math.floor(index / channels) % shape[2];
      const i = Math.floor(index / channels / shape[2]) % shape[1];
      const n = Math.floor(index / channels / shape[2] / shape[1]);
      let sum = (b ? b[c] : 0) + (r ? r[index] : 0);
      for (let k = 0; k < kernelHeight; k++) {
        for (let l = 0; l < kernelWidth; l++) {
          const row = i * options.stride[0] - options.padding[0] + k * options.dilation[0];
          const column = j * options.stride[1] - options.padding[1] + l * options.dilation[1];
          if (row < 0 || row >= height || column < 0 || column >= width) continue;
          sum += x[((n * height + row) * width + column) * channels + c] * w[(k * kernelWidth + l) * channels + c];
        }
      }
      return options.relu && sum < 0 ? 0 : sum;
    });
  },
});
