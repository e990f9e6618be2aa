import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import type { Pair } from "../options.ts";
import { type PoolOptions, poolGeometry, poolParams } from "./geometry.ts";

type Options = Readonly<PoolOptions & { dilation?: Pair }>;

/** The constants of the gradients of poolings on NCHW images, but for their workgroups. */
export function windowConsts(name: string, options: Options) {
  const { stride } = poolGeometry(name, options);
  return { STRIDE_HEIGHT: stride[0], STRIDE_WIDTH: stride[1], CHANNELS: false };
}

/** The fields of `struct Params` that they have. */
export function imageParams(name: string, x: Shape, y: Shape, options: Options) {
  const { stride_height, stride_width, ...image } = poolParams(name, x, y, options);
  return { ...image, count: sizeOf(x), channels: 1 };
}
