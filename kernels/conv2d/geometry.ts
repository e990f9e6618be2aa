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
export function geometry(w: Shape, options: Readonly<Omit<Conv2dOptions, keyof Activated>>, kernel = "conv2d") {
  if (w.length !== 4) throw new ShapeError(`${kernel}: w must be [O, C/groups, KH, KW], got [${w.join(", ")}]`);
  const [outChannels, groupIn, kernelHeight, kernelWidth] = w;
  return {
    outChannels,
    groupIn,
    groups: options.groups,
    kernel: [kernelHeight, kernelWidth] as const,
    stride: pair(`${kernel}: stride`, options.stride),
    dilation: pair(`${kernel}: dilation`, options.dilation),
    padding: sides(`${kernel}: padding`, options.padding),
  };
}

/** Height or width of a convolution's output; `padding` is that of both sides together. */
export const outputSize = (input: number, padding: number, kernel: number, stride: number, dilation: number): number =>
  Math.floor((input + padding - dilation * (kernel - 1) - 1) / stride) + 1;
