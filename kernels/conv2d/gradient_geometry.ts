import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sameShape } from "../../engine/ground/tensor.ts";
import { conv2d } from "./conv2d.ts";
import { type Conv2dOptions, geometry } from "./geometry.ts";

/** The options of a convolution that its gradients have. */
export type WindowOptions = Pick<Conv2dOptions, "stride" | "padding" | "dilation" | "groups">;

/** x, w and y of a convolution. */
interface Shapes {
  readonly x: Shape;
  readonly w: Shape;
  readonly y: Shape;
}

/** Throws a ShapeError unless y is what the convolution of x and w gives, or a UsageError for options that are none of its. */
export function checkConvolution(kernel: string, { x, w, y }: Shapes, options: Readonly<WindowOptions>): void {
  const wanted = conv2d.shape({ x, w }, { ...options, activation: "none" });
  if (sameShape(y, wanted)) return;
  const call = `x ${formatShape(x)} with w ${formatShape(w)}`;
  throw new ShapeError(`${kernel}: dy is ${formatShape(y)}; the convolution of ${call} gives ${formatShape(wanted)}`);
}

/** The fields of `struct Params` that both gradients have. */
export function convolutionParams({ x, w, y }: Shapes, options: Readonly<WindowOptions>) {
  const { groups, groupIn, outChannels, kernel, stride, dilation, padding } = geometry(w, options);
  return {
    x_channels: x[1],
    x_height: x[2],
    x_width: x[3],
    y_channels: y[1],
    y_height: y[2],
    y_width: y[3],
    group_in: groupIn,
    group_out: outChannels / groups,
    kernel_height: kernel[0],
    kernel_width: kernel[1],
    stride_height: stride[0],
    stride_width: stride[1],
    dilation_height: dilation[0],
    dilation_width: dilation[1],
    pad_top: padding[0],
    pad_left: padding[1],
  };
}

/** Calls `visit` with the places in x, w and y of every product that a convolution adds up. */
export function eachProduct(
  { x, w, y }: Shapes,
  options: Readonly<WindowOptions>,
  visit: (x: number, w: number, y: number) => void,
): void {
  const { groups, groupIn, kernel, stride, dilation, padding } = geometry(w, options);
  const [, channels, height, width] = x;
  const [batch, outChannels, outHeight, outWidth] = y;
  let out = 0;
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outChannels; o++) {
      const firstIn = Math.floor(o / (outChannels / groups)) * groupIn;
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++, out++) {
          for (let c = 0; c < groupIn; c++) {
            for (let k = 0; k < kernel[0]; k++) {
              const row = i * stride[0] - padding[0] + k * dilation[0];
              if (row < 0 || row >= height) continue;
              for (let l = 0; l < kernel[1]; l++) {
                const column = j * stride[1] - padding[1] + l * dilation[1];
                if (column < 0 || column >= width) continue;
                const from = ((n * channels + firstIn + c) * height + row) * width + column;
                visit(from, ((o * groupIn + c) * kernel[0] + k) * kernel[1] + l, out);
              }
            }
          }
        }
      }
    }
  }
}
