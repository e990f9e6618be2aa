import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { nchw, type Pair, pair } from "../options.ts";
import { wgsl } from "./conv2d_input_gradient.wgsl.ts";
import { geometry } from "./geometry.ts";
import { checkConvolution, convolutionParams, eachProduct, type WindowOptions } from "./gradient_geometry.ts";

const NAME = "conv2d_input_gradient";
const WORKGROUP = 64;

/** Channels of a group, and columns of each, that a thread computes. */
const BLOCK = 4;

export interface InputGradientOptions extends WindowOptions {
  /** [height, width] of x, which a stride leaves open. */
  size: Pair;
}

/** The gradient by x of y = conv2d(x, w): dy [N, O, H', W'], w [O, C/groups, KH, KW] -> dx [N, C, ...size]. */
export const conv2dInputGradient = defineKernel({
  name: NAME,
  inputs: ["dy", "w"],
  options: {
    stride: 1,
    padding: 0,
    dilation: 1,
    groups: 1,
    size: undefined as unknown as Pair,
  } as InputGradientOptions,
  wgsl,

  shape({ dy, w }, { size, ...options }) {
    const [batch] = nchw(NAME, dy);
    const { groups, groupIn } = geometry(w, options, NAME);
    const x = [batch, groups * groupIn, ...pair(`${NAME}: size`, size)];
    checkConvolution(NAME, { x, w, y: dy }, options);
    return x;
  },

  cost(call) {
    const flops = 2 * sizeOf(call.shapes.dy) * sizeOf(call.shapes.w.slice(1));
    return { flops, work: (flops * blocksOf(call) * BLOCK ** 2) / sizeOf(call.y) };
  },
  consts: () => ({ WORKGROUP }),
  params: (call) => ({ count: blocksOf(call), ...convolutionParams(shapesOf(call), call.options) }),
  grid: (call) => linearGrid(blocksOf(call), WORKGROUP),
});

export const reference: ReferenceOf<typeof conv2dInputGradient> = {
  example: {
    shapes: { dy: [2, 8, 5, 4], w: [8, 2, 3, 3] },
    options: { stride: 2, padding: 1, groups: 2, size: [9, 7] },
  },

  compute({ dy, w }, call) {
    const dx = new Float64Array(sizeOf(call.y));
    eachProduct(shapesOf(call), call.options, (from, weight, to) => {
      dx[from] += dy[to] * w[weight];
    });
    return dx;
  },
};

type GradientCall = Call<"dy" | "w", InputGradientOptions>;

/** Of the convolution. */
const shapesOf = ({ shapes: { dy, w }, y }: GradientCall) => ({ x: y, w, y: dy });

const blocksOf = ({ shapes: { w }, y, options: { groups } }: GradientCall): number =>
  y[0] * groups * Math.ceil(w[1] / BLOCK) * y[2] * Math.ceil(y[3] / BLOCK);
