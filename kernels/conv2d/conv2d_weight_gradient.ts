import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nchw, type Pair, pair } from "../options.ts";
import { wgsl } from "./conv2d_weight_gradient.wgsl.ts";
import { checkConvolution, convolutionParams, eachProduct, type WindowOptions } from "./gradient_geometry.ts";

const NAME = "conv2d_weight_gradient";
const WORKGROUP = 32;

/** Output channels, and weights of each, that a workgroup computes. */
const BLOCK = 4;

export interface WeightGradientOptions extends WindowOptions {
  /** [height, width] of w, which a stride leaves open. */
  kernel: Pair;
}

/** The gradient by w of y = conv2d(x, w): x [N, C, H, W], dy [N, O, H', W'] -> dw [O, C/groups, ...kernel]. */
export const conv2dWeightGradient = defineKernel({
  name: NAME,
  inputs: ["x", "dy"],
  options: {
    stride: 1,
    padding: 0,
    dilation: 1,
    groups: 1,
    kernel: undefined as unknown as Pair,
  } as WeightGradientOptions,
  wgsl,

  shape({ x, dy }, { kernel, ...options }) {
    const [, channels] = nchw(NAME, x);
    const [, outChannels] = nchw(NAME, dy);
    const w = [outChannels, channels / options.groups, ...pair(`${NAME}: kernel`, kernel)];
    checkConvolution(NAME, { x, w, y: dy }, options);
    return w;
  },

  cost: (call) => ({
    flops: 2 * sizeOf(call.shapes.dy) * sizeOf(call.y.slice(1)),
    work: 2 * blocksOf(call) * BLOCK ** 2 * (sizeOf(call.shapes.dy) / call.y[0]),
  }),
  consts: () => ({ WORKGROUP }),
  params: (call) => ({
    count: blocksOf(call),
    lines: call.shapes.dy[0] * call.shapes.dy[2],
    ...convolutionParams(shapesOf(call), call.options),
  }),
  grid: (call) => linearGrid(blocksOf(call), 1),
});

export const reference: ReferenceOf<typeof conv2dWeightGradient> = {
  example: { shapes: { x: [2, 4, 9, 7], dy: [2, 8, 5, 4] }, options: { stride: 2, padding: 1, groups: 2, kernel: 3 } },

  compute({ x, dy }, call) {
    const dw = new Float64Array(sizeOf(call.y));
    eachProduct(shapesOf(call), call.options, (from, weight, to) => {
      dw[weight] += x[from] * dy[to];
    });
    return dw;
  },
};

type GradientCall = Call<"x" | "dy", WeightGradientOptions>;

/** Of the convolution. */
const shapesOf = ({ shapes: { x, dy }, y }: GradientCall) => ({ x, w: y, y: dy });

const blocksOf = ({ y, options: { groups } }: GradientCall): number =>
  groups * Math.ceil(y[0] / groups / BLOCK) * Math.ceil(sizeOf(y.slice(1)) / BLOCK);
