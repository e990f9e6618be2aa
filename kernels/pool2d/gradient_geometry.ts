import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import type { Pair } from "../options.ts";
import { type PoolOptions, poolGeometry, poolParams } from "./geometry.ts";

type Options = Readonly<PoolOptions & { dilation?: Pair }>;

/** The constants of the gradients of poolings on NCHW images, but for their workgroups. */
export function windowConsts(name: string, options: Options) {
  const { kernel, stride } = poolGeometry(name, options);
  return {
    KERNEL_HEIGHT: kernel[0],
    KERNEL_WIDTH: kernel[1],
    STRIDE_HEIGHT: stride[0],
    STRIDE_WIDTH: stride[1],
    CHANNELS: false,
  };
}

/** The fields of `struct Params` that they have. */
export function imageParams(name: string, x: Shape, y: Shape, options: Options) {
  const { kernel_height, kernel_width, stride_height, stride_width, ...image } = poolParams(name, x, y, options);
  return { ...image, count: sizeOf(x), channels: 1 };
}
