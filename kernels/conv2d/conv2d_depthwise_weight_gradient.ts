import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { AnyVariant, Variants } from "../../engine/graph/variant.ts";
import { NCHW, permute, permuteShape, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { asNhwc, isNhwc, NO_IMAGES, wholeVectors } from "../layout/layout.ts";
import { wgsl } from "./conv2d_depthwise_weight_gradient.wgsl.ts";
import { conv2dStemWeightGradientVariant } from "./conv2d_stem_weight_gradient.ts";
import {
  conv2dWeightGradient,
  reference as plainReference,
  type WeightGradientOptions,
} from "./conv2d_weight_gradient.ts";
import { convolutionParams } from "./gradient_geometry.ts";

const WORKGROUP = 32;

/** The plain kernel's call for one on NHWC images. */
const nchw = ({ shapes: { x, dy }, options, y }: Call<"x" | "dy", WeightGradientOptions>) => ({
  shapes: { x: permuteShape(x, NCHW), dy: permuteShape(dy, NCHW) },
  options,
  y,
});

/**
 * The gradient by w of a depthwise y = conv2d(x, w) on NHWC images: x [N, H, W, C], dy [N, H', W', C] -> dw [C, 1, ...kernel]; C
 * is a multiple of 4, and the number of groups. A variant of conv2d_weight_gradient.
 */
export const conv2dDepthwiseWeightGradient = defineKernel({
  name: "conv2d_depthwise_weight_gradient",
  inputs: ["x", "dy"],
  options: conv2dWeightGradient.options,
  wgsl,

  shape: ({ x, dy }, options) =>
    conv2dWeightGradient.shape({ x: permuteShape(x, NCHW), dy: permuteShape(dy, NCHW) }, options),
  cost: ({ shapes: { dy }, y }) => ({ flops: 2 * sizeOf(dy) * sizeOf(y.slice(2)) }),
  consts: () => ({ WORKGROUP }),
  params(call) {
    const { shapes, options, y } = nchw(call);
    const { x_channels, y_channels, group_in, group_out, ...windows } = convolutionParams(
      { x: shapes.x, w: y, y: shapes.dy },
      options,
    );
    return { ...windows, count: countOf(y), lines: shapes.dy[0] * shapes.dy[2], channels: x_channels / 4 };
  },
  grid: ({ y }) => linearGrid(countOf(y), 1),
});

/** Weights of four channels. */
const countOf = (w: Shape): number => sizeOf(w) / 4;

export const reference: ReferenceOf<typeof conv2dDepthwiseWeightGradient> = {
  example: {
    shapes: { x: [2, 9, 7, 8], dy: [2, 5, 4, 8] },
    options: { stride: 2, padding: 1, groups: 8, kernel: 3 },
  },
  compute: ({ x, dy }, call) =>
    plainReference.compute({ x: permute(x, call.shapes.x, NCHW), dy: permute(dy, call.shapes.dy, NCHW) }, nchw(call)),
};

const variant: AnyVariant = {
  name: conv2dDepthwiseWeightGradient.name,
  nhwc: true,
  refuses({ shapes: { x }, options: { groups }, y }) {
    if (groups !== x[1] || y[0] !== x[1]) return "its channels are not filtered one by one";
    return wholeVectors(x) ? undefined : NO_IMAGES;
  },
  gains: (_call, _setting, { x, dy }) => isNhwc(x) || isNhwc(dy),
  build: ({ x, dy }, { options }) => conv2dDepthwiseWeightGradient(asNhwc(x), asNhwc(dy), options),
};

export const variants: Variants = { conv2d_weight_gradient: [variant, conv2dStemWeightGradientVariant] };
