import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { ShapeError, show } from "../../engine/ground/errors.ts";
import { formatShape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import {
  activate,
  activationCode,
  activationConsts,
  activationFlops,
  checkActivation,
  SHORTHANDS,
} from "../activation.ts";
import { nchw } from "../options.ts";
import { wgsl } from "./conv2d.wgsl.ts";
import { type Conv2dOptions, geometry, outputSize } from "./geometry.ts";

const WORKGROUP = 64;

export type { Conv2dOptions } from "./geometry.ts";

/**
 * 2D convolution (cross-correlation): x [N, C, H, W], w [O, C/groups, KH, KW], b [O] -> y [N, O, H', W'], with
 * H' = floor((H + top + bottom - dilation (KH - 1) - 1) / stride) + 1. An optional r of y's shape is added before the activation.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.Conv2d.html, with a padding per side.
 */
export const conv2d = defineKernel({
  name: "conv2d",
  inputs: ["x", "w", "b?", "r?"],
  options: { stride: 1, padding: 0, dilation: 1, groups: 1, activation: "none" } as Conv2dOptions,
  wgsl,
  split: "w",
  fuses: { activation: "activation", sum: "r", affine: { weight: "w", bias: "b" } },
  shorthands: SHORTHANDS,

  shape({ x, w, b, r }, options) {
    checkActivation("conv2d", options.activation);
    const [n, channels, height, width] = nchw("conv2d", x);
    const g = geometry(w, options);
    if (!Number.isInteger(g.groups) || g.groups < 1 || channels % g.groups || g.outChannels % g.groups) {
      throw new ShapeError(
        `conv2d: groups is ${show(g.groups)}; it must divide the ${channels} input and ${g.outChannels} output channels`,
      );
    }
    if (channels !== g.groupIn * g.groups) {
      const wanted = g.groupIn * g.groups;
      throw new ShapeError(`conv2d: x ${formatShape(x)} has ${channels} channels; w ${formatShape(w)} wants ${wanted}`);
    }
    if (b && !sameShape(b, [g.outChannels])) {
      throw new ShapeError(`conv2d: b is ${formatShape(b)}; w ${formatShape(w)} wants [${g.outChannels}]`);
    }
    const [top, left, bottom, right] = g.padding;
    const y = [
      n,
      g.outChannels,
      outputSize(height, top + bottom, g.kernel[0], g.stride[0], g.dilation[0]),
      outputSize(width, left + right, g.kernel[1], g.stride[1], g.dilation[1]),
    ];
    if (y[2] < 1 || y[3] < 1) {
      throw new ShapeError(
        `conv2d: a ${g.kernel.join("x")} kernel with dilation ${g.dilation.join("x")} does not fit x ${formatShape(x)} with padding ${g.padding.join(", ")}`,
      );
    }
    if (r && !sameShape(r, y))
      throw new ShapeError(`conv2d: r is ${formatShape(r)} and y ${formatShape(y)}; they must agree`);
    return y;
  },

  cost({ shapes: { w, b, r }, y, options }) {
    const perOutput = 2 * sizeOf(w.slice(1)) + (b ? 1 : 0) + (r ? 1 : 0) + activationFlops(options.activation);
    return { flops: sizeOf(y) * perOutput };
  },

  consts: ({ options }) => ({ WORKGROUP, ...activationConsts(options) }),

  params({ shapes: { x, w, b, r }, options, y }, { start, count }) {
    const g = geometry(w, options);
    return {
      count: y[0] * count * y[2] * y[3],
      first: start,
      channels: count,
      x_channels: x[1],
      x_height: x[2],
      x_width: x[3],
      y_channels: y[1],
      y_height: y[2],
      y_width: y[3],
      group_in: g.groupIn,
      group_out: g.outChannels / g.groups,
      kernel_height: g.kernel[0],
      kernel_width: g.kernel[1],
      stride_height: g.stride[0],
      stride_width: g.stride[1],
      dilation_height: g.dilation[0],
      dilation_width: g.dilation[1],
      pad_top: g.padding[0],
      pad_left: g.padding[1],
      bias: Number(b !== undefined),
      residual: Number(r !== undefined),
      activation: activationCode(options.activation),
    };
  },

  grid: ({ y }, { count }) => linearGrid(y[0] * count * y[2] * y[3], WORKGROUP),
});

export const reference: ReferenceOf<typeof conv2d> = {
  example: {
    shapes: { x: [2, 4, 9, 7], w: [8, 4, 3, 3], b: [8], r: [2, 8, 9, 7] },
    options: { padding: 1, activation: "relu" },
  },

  compute({ x, w, b, r }, { shapes, options, y: shape }) {
    const [batch, outChannels, outHeight, outWidth] = shape;
    const [, channels, height, width] = shapes.x;
    const { groupIn, groups, kernel, stride, dilation, padding } = geometry(shapes.w, options);
    const y = new Float64Array(sizeOf(shape));
    let out = 0;
    for (let n = 0; n < batch; n++) {
      for (let o = 0; o < outChannels; o++) {
        const firstIn = Math.floor(o / (outChannels / groups)) * groupIn;
        for (let i = 0; i < outHeight; i++) {
          for (let j = 0; j < outWidth; j++) {
            let sum = b ? b[o] : 0;
            for (let c = 0; c < groupIn; c++) {
              for (let k = 0; k < kernel[0]; k++) {
                const row = i * stride[0] - padding[0] + k * dilation[0];
                if (row < 0 || row >= height) continue;
                for (let l = 0; l < kernel[1]; l++) {
                  const column = j * stride[1] - padding[1] + l * dilation[1];
                  if (column < 0 || column >= width) continue;
                  sum +=
                    x[((n * channels + firstIn + c) * height + row) * width + column] *
                    w[((o * groupIn + c) * kernel[0] + k) * kernel[1] + l];
                }
              }
            }
            if (r) sum += r[out];
            y[out++] = activate[options.activation](sum);
          }
        }
      }
    }
    return y;
  },
};
