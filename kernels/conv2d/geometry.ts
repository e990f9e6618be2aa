import { ShapeError } from "../../engine/ground/errors.ts";
import type { Shape } from "../../engine/ground/tensor.ts";
import type { Activated } from "../activation.ts";
import { type Padding, type Pair, pair, sides } from "../options.ts";

export interface Conv2dOptions extends Activated {
  stride: Pair;
  padding: Padding;
  dilation: Pair;
  /** Channels are split into this many groups that don't see each other; as many as there are is depthwise. */
  groups: number;
}

/** Sizes of a convolution as [height, width] and [top, left, bottom, right], from w [O, C/groups, KH, KW] and options. */
export function geometry(w: Shape, options: Readonly<Conv2dOptions>) {
  if (w.length !== 4) throw new ShapeError(`conv2d: w must be [O, C/groups, KH, KW], got [${w.join(", ")}]`);
  const [outChannels, groupIn, kernelHeight, kernelWidth] = w;
  return {
    outChannels,
    groupIn,
    groups: options.groups,
    kernel: [kernelHeight, kernelWidth] as const,
    stride: pair("conv2d: stride", options.stride),
    dilation: pair("conv2d: dilation", options.dilation),
    padding: sides("conv2d: padding", options.padding),
  };
}

/** Height or width of a convolution's output; `padding` is that of both sides together. */
export const outputSize = (input: number, padding: number, kernel: number, stride: number, dilation: number): number =>
  Math.floor((input + padding - dilation * (kernel - 1) - 1) / stride) + 1;

/**
 * Where the weights of column o of [terms, channels] are, by their row: row by row, or if they are cut into tiles of so
 * many columns, one tile after the other and each in matrices of 4x4, so that a kernel which computes a tile reads from
 * one end to the other.
 */
export function columnAt(o: number, terms: number, channels: number, tile?: number): (row: number) => number {
  if (!tile) return (row) => row * channels + o;
  const first = o - (o % tile);
  const width = Math.min(tile, channels - first);
  const start = first * terms + 4 * ((o % tile) - (o % 4)) + (o % 4);
  return (row) => start + (row - (row % 4)) * width + 4 * (row % 4);
}
