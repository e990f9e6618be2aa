import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { nchw, type Pair, pair } from "../options.ts";

export interface PoolOptions {
  kernel: Pair;
  /** The kernel's size if null. */
  stride: Pair | null;
  padding: Pair;
  /** Rounds the output's size up, but drops a window that would start in the right or bottom padding. */
  ceilMode: boolean;
}

/** Kernel, stride, padding and dilation of a pooling as [height, width]. */
export function poolGeometry(name: string, options: Readonly<PoolOptions & { dilation?: Pair }>) {
  const kernel = pair(`${name}: kernel`, options.kernel);
  return {
    kernel,
    stride: options.stride === null ? kernel : pair(`${name}: stride`, options.stride),
    padding: pair(`${name}: padding`, options.padding, 0),
    dilation: pair(`${name}: dilation`, options.dilation ?? 1),
  };
}

/** [N, C, H', W'] of a pooling; PyTorch's pooling_output_shape. */
export function poolShape(name: string, x: Shape, options: Readonly<PoolOptions & { dilation?: Pair }>): Shape {
  const [batch, channels, ...size] = nchw(name, x);
  const { kernel, stride, padding, dilation } = poolGeometry(name, options);
  const round = options.ceilMode ? Math.ceil : Math.floor;
  const out = size.map((input, d) => {
    const window = dilation[d] * (kernel[d] - 1) + 1;
    if (padding[d] > window / 2) {
      throw new ShapeError(`${name}: padding ${padding[d]} is more than half of the window of ${window}`);
    }
    const windows = round((input + 2 * padding[d] - window) / stride[d]) + 1;
    return options.ceilMode && (windows - 1) * stride[d] >= input + padding[d] ? windows - 1 : windows;
  });
  if (out.some((windows) => windows < 1)) {
    throw new ShapeError(
      `${name}: a ${kernel.join("x")} window does not fit x ${formatShape(x)} with padding ${padding.join(", ")}`,
    );
  }
  return [batch, channels, ...out];
}

/** The fields of `struct Params` that all poolings have. */
export function poolParams(name: string, x: Shape, y: Shape, options: Readonly<PoolOptions & { dilation?: Pair }>) {
  const { kernel, stride, padding } = poolGeometry(name, options);
  return {
    count: sizeOf(y),
    x_height: x[2],
    x_width: x[3],
    y_height: y[2],
    y_width: y[3],
    kernel_height: kernel[0],
    kernel_width: kernel[1],
    stride_height: stride[0],
    stride_width: stride[1],
    pad_height: padding[0],
    pad_width: padding[1],
  };
}
