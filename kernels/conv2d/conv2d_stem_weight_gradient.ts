import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { AnyVariant } from "../../engine/graph/variant.ts";
import { NCHW, permute, permuteShape, type Shape, sizeOf, stridesOf } from "../../engine/ground/tensor.ts";
import { asNhwc, isNhwc } from "../layout/layout.ts";
import { wgsl } from "./conv2d_stem_weight_gradient.wgsl.ts";
import {
  conv2dWeightGradient,
  reference as plainReference,
  type WeightGradientOptions,
} from "./conv2d_weight_gradient.ts";
import { geometry } from "./geometry.ts";
import { convolutionParams, type WindowOptions } from "./gradient_geometry.ts";

const WORKGROUP = 32;

/** Taps in a row of a filter that a workgroup takes. */
const TAPS = 8;

interface StemWeightGradientOptions extends WeightGradientOptions {
  /** Output and input channels, without padding. */
  channels: readonly [number, number];
  /** Whether x is NHWC, too. */
  nhwc: boolean;
}

/** The plain kernel's call for it. */
function nchw({ shapes, options: { channels, nhwc, ...options }, y }: Call<"x" | "dy", StemWeightGradientOptions>) {
  const [batch, , ...size] = nhwc ? permuteShape(shapes.x, NCHW) : shapes.x;
  return {
    shapes: { x: [batch, channels[1], ...size], dy: permuteShape(shapes.dy, NCHW).with(1, channels[0]) },
    options,
    y,
  };
}

/**
 * The gradient by w of y = conv2d(x, w) where x has few channels: x [N, C, H, W], or [N, H, W, C] padded, dy [N, H', W', O] padded to
 * a multiple of 4 -> dw [O, C, ...kernel]. A variant of conv2d_weight_gradient.
 */
export const conv2dStemWeightGradient = defineKernel({
  name: "conv2d_stem_weight_gradient",
  inputs: ["x", "dy"],
  options: {
    ...conv2dWeightGradient.options,
    channels: undefined as unknown,
    nhwc: false,
  } as StemWeightGradientOptions,
  wgsl,

  shape(shapes, options) {
    const call = nchw({ shapes, options, y: [] });
    return conv2dWeightGradient.shape(call.shapes, call.options);
  },
  cost: ({ shapes: { dy }, y }) => ({ flops: 2 * sizeOf(dy) * sizeOf(y.slice(1)) }),
  consts({ y, options }) {
    const { kernel, stride } = geometry(y, options);
    const taps = Math.min(TAPS, kernel[1]);
    return { WORKGROUP, TAPS: taps, STRIDE: Math.min(taps, stride[1]) };
  },
  params(call) {
    const { shapes, options, y } = nchw(call);
    const { dilation_height, dilation_width, group_in, group_out, ...windows } = convolutionParams(
      { x: shapes.x, w: y, y: shapes.dy },
      options,
    );
    const strides = stridesOf(call.shapes.x);
    const [x_image, x_channel, x_line, x_column] = call.options.nhwc ? permuteShape(strides, NCHW) : strides;
    return {
      ...windows,
      x_image,
      x_channel,
      x_line,
      x_column,
      count: countOf(y),
      lines: shapes.dy[0] * shapes.dy[2],
      y_vectors: call.shapes.dy[3] / 4,
    };
  },
  grid: ({ y }) => linearGrid(countOf(y), 1),
});

/** Parts of rows of the filters of 8 output channels. */
const countOf = ([outChannels, channels, height, width]: Shape): number =>
  Math.ceil(outChannels / 8) * channels * height * Math.ceil(width / TAPS);

export const reference: ReferenceOf<typeof conv2dStemWeightGradient> = {
  example: {
    shapes: { x: [2, 3, 9, 7], dy: [2, 5, 4, 12] },
    options: { stride: 2, padding: 1, kernel: 3, channels: [10, 3] },
  },
  compute({ x, dy }, call) {
    const plain = nchw(call);
    const cut = (data: Float32Array, shape: Shape, channels: number) =>
      data.filter((_, i) => Math.floor(i / (shape[2] * shape[3])) % shape[1] < channels);
    const image = (data: Float32Array, shape: Shape, channels: number) =>
      cut(permute(data, shape, NCHW), permuteShape(shape, NCHW), channels);
    const [outChannels, channels] = call.options.channels;
    return plainReference.compute(
      {
        x: call.options.nhwc ? image(x, call.shapes.x, channels) : x,
        dy: image(dy, call.shapes.dy, outChannels),
      },
      plain,
    );
  },
};

/** Why the gradient by a w [O, C/groups, KH, KW] is none for it; undefined if it is one. */
export function refusesStem(w: Shape, options: WindowOptions): string | undefined {
  const { groups, dilation } = geometry(w, options);
  if (groups !== 1) return "it has more than one group";
  return Math.max(...dilation) > 1 ? "its filters are dilated" : undefined;
}

export const conv2dStemWeightGradientVariant: AnyVariant = {
  name: conv2dStemWeightGradient.name,
  nhwc: true,
  refuses: ({ options, y }) => refusesStem(y, options as WindowOptions),
  build({ x, dy }, { options, y }) {
    const nhwc = isNhwc(x);
    return conv2dStemWeightGradient(nhwc ? asNhwc(x) : x, asNhwc(dy), { ...options, channels: [y[0], y[1]], nhwc });
  },
};
