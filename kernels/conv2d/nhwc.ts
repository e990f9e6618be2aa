import type { Call, Named } from "../../engine/graph/kernel.ts";
import { NCHW, NHWC, permute, permuteShape, type Shape } from "../../engine/ground/tensor.ts";
import { type Activation, activationCode } from "../activation.ts";
import { reference } from "./conv2d.ts";
import { outputSize } from "./geometry.ts";

// What the kernels for convolutions of NHWC images share.

export interface NhwcOptions {
  stride: readonly [number, number];
  dilation: readonly [number, number];
  /** Top, left, bottom, right. */
  padding: readonly [number, number, number, number];
  activation: Activation;
}

export const NHWC_OPTIONS: NhwcOptions = {
  stride: [1, 1],
  dilation: [1, 1],
  padding: [0, 0, 0, 0],
  activation: "none",
};

export type Inputs = "x" | "w" | "b?" | "r?";

/** Height and width of the output for x [N, H, W, C] and w [KH, KW, ...]. */
export const imageSize = (x: Shape, w: Shape, { stride, dilation, padding }: NhwcOptions): number[] =>
  [0, 1].map((d) => outputSize(x[1 + d], padding[d] + padding[d + 2], w[d], stride[d], dilation[d]));

/** Where the windows are, as fields of `struct Params`. */
export const windows = (x: Shape, w: Shape, { stride, dilation, padding }: NhwcOptions, y: Shape) => ({
  x_height: x[1],
  x_width: x[2],
  y_height: y[1],
  y_width: y[2],
  kernel_height: w[0],
  kernel_width: w[1],
  stride_height: stride[0],
  stride_width: stride[1],
  dilation_height: dilation[0],
  dilation_width: dilation[1],
  pad_top: padding[0],
  pad_left: padding[1],
});

/** What is added and applied last, as fields of `struct Params`. */
export const epilogue = (b?: Shape, r?: Shape, activation: Activation = "none") => ({
  bias: Number(b !== undefined),
  residual: Number(r !== undefined),
  activation: activationCode(activation),
});

/** The reference: conv2d's for x [N, H, W, C], w [KH, KW, C/groups, O], b [O] and r [N, H', W', O] -> [N, H', W', O]. */
export function convolve(
  { x, w, b, r }: Named<Inputs, Float32Array>,
  { shapes, options, y }: Call<Inputs, NhwcOptions>,
): Float64Array {
  const filters = [3, 2, 0, 1];
  const call = {
    shapes: { ...shapes, x: permuteShape(shapes.x, NCHW), w: permuteShape(shapes.w, filters) },
    options: { ...options, groups: shapes.x[3] / shapes.w[2] },
    y: permuteShape(y, NCHW),
  };
  const inputs = { x: permute(x, shapes.x, NCHW), w: permute(w, shapes.w, filters), b, r: r && permute(r, y, NCHW) };
  return permute(reference.compute(inputs, call), call.y, NHWC);
}

/** The reference of matrix products: x [batch, M, K], w [batch, K, N] -> [batch, M, N]. */
export function multiply(
  { x, w }: Named<"x" | "w", Float32Array>,
  { shapes, y: [batch, m, n] }: Call<"x" | "w", object>,
): Float64Array {
  const k = shapes.x[2];
  return Float64Array.from({ length: batch * m * n }, (_, index) => {
    const row = Math.floor(index / n);
    const b = Math.floor(row / m);
    let sum = 0;
    for (let q = 0; q < k; q++) sum += x[row * k + q] * w[(b * k + q) * n + (index % n)];
    return sum;
  });
}
