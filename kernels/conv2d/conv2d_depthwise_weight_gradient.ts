import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { AnyVariant, Variants } from "../../engine/graph/variant.ts";
import { NCHW, permute, permuteShape, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { asNhwc, isNhwc, NO_IMAGES, wholeVectors } from "../layout/layout.ts";
import { sum } from "../sum.ts";
import { partOnGpu } from "../training/parts.ts";
import { wgsl } from "./conv2d_depthwise_weight_gradient.wgsl.ts";
import { conv2dStemWeightGradientVariant } from "./conv2d_stem_weight_gradient.ts";
import {
  conv2dWeightGradient,
  reference as plainReference,
  type WeightGradientOptions,
} from "./conv2d_weight_gradient.ts";
import { convolutionParams } from "./gradient_geometry.ts";

const WORKGROUP = 32;

/** Output channels of a workgroup. */
const CHANNELS = 16;

/** Rows that are worth a part of their own on a GPU: each thread has several. */
const LEAST = 64;

interface Options extends WeightGradientOptions {
  /** Rows of all of dy's images that are summed; those after them are another part. */
  part: number;
}

/** The plain kernel's call for one on NHWC images. */
const nchw = ({ shapes: { x, dy }, options, y }: Call<"x" | "dy", Options>) => ({
  shapes: { x: permuteShape(x, NCHW), dy: permuteShape(dy, NCHW) },
  options,
  y: y.slice(-4),
});

const linesOf = (dy: Shape): number => dy[0] * dy[1];
const partsOf = (dy: Shape, { part }: Readonly<Options>): number =>
  Math.ceil(linesOf(dy) / Math.min(part, linesOf(dy)));

/** For a part. */
const workgroupsOf = (w: Shape): number => Math.ceil(w[0] / CHANNELS) * w[2];

/**
 * The gradient by w of a depthwise y = conv2d(x, w) on NHWC images: x [N, H, W, C], dy [N, H', W', C] -> dw [C, 1, ...kernel], or
 * several parts of it to be added, [parts, C, 1, ...kernel]; C is a multiple of 4, and the number of groups. A variant of
 * conv2d_weight_gradient.
 */
export const conv2dDepthwiseWeightGradient = defineKernel({
  name: "conv2d_depthwise_weight_gradient",
  inputs: ["x", "dy"],
  options: { ...conv2dWeightGradient.options, part: Infinity } as Options,
  wgsl,

  shape({ x, dy }, options) {
    const w = conv2dWeightGradient.shape({ x: permuteShape(x, NCHW), dy: permuteShape(dy, NCHW) }, options);
    const parts = partsOf(dy, options);
    return parts > 1 ? [parts, ...w] : w;
  },
  cost: ({ shapes: { dy }, y }) => ({ flops: 2 * sizeOf(dy) * sizeOf(y.slice(-2)) }),
  consts: ({ y }) => ({ WORKGROUP, KERNEL_WIDTH: y[y.length - 1] }),
  params(call) {
    const { shapes, options, y } = nchw(call);
    const { x_channels, y_channels, group_in, group_out, kernel_width, ...windows } = convolutionParams(
      { x: shapes.x, w: y, y: shapes.dy },
      options,
    );
    const lines = linesOf(call.shapes.dy);
    return { ...windows, lines, part: Math.min(options.part, lines), channels: x_channels / 4 };
  },
  grid: ({ shapes: { dy }, y, options }) => linearGrid(partsOf(dy, options) * workgroupsOf(y.slice(-4)), 1),
});

export const reference: ReferenceOf<typeof conv2dDepthwiseWeightGradient> = {
  example: {
    shapes: { x: [2, 9, 7, 8], dy: [2, 5, 4, 8] },
    options: { stride: 2, padding: 1, groups: 8, kernel: 3 },
  },
  compute({ x, dy }, call) {
    const { shapes, options } = call;
    const row = sizeOf(shapes.dy.slice(2));
    const parts = Array.from({ length: partsOf(shapes.dy, options) }, (_, p) => {
      const isIn = (index: number) => Math.floor(index / row / options.part) === p;
      const images = {
        x: permute(x, shapes.x, NCHW),
        dy: permute(
          dy.map((d, i) => (isIn(i) ? d : 0)),
          shapes.dy,
          NCHW,
        ),
      };
      return [...plainReference.compute(images, nchw(call))];
    });
    return Float64Array.from(parts.flat());
  },
};

const variant: AnyVariant = {
  name: conv2dDepthwiseWeightGradient.name,
  nhwc: true,
  refuses({ shapes: { x }, options: { groups }, y }) {
    if (groups !== x[1] || y[0] !== x[1]) return "its channels are not filtered one by one";
    return wholeVectors(x) ? undefined : NO_IMAGES;
  },
  gains: (_call, _setting, { x, dy }) => isNhwc(x) || isNhwc(dy),
  build({ x, dy }, { options, y }, setting) {
    const image = asNhwc(dy);
    const lines = linesOf(image.shape);
    const part = setting.software ? lines : partOnGpu(lines, workgroupsOf(y), LEAST, setting);
    const result = conv2dDepthwiseWeightGradient(asNhwc(x), image, { ...options, part });
    return part < lines ? sum(result, { dims: [0] }) : result;
  },
};

export const variants: Variants = { conv2d_weight_gradient: [variant, conv2dStemWeightGradientVariant] };
