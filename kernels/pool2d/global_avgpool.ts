import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel } from "../../engine/graph/kernel.ts";
import type { Variant } from "../../engine/graph/variant.ts";
import { sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { asNhwc, isNhwc, wholeVectors } from "../layout/layout.ts";
import type { mean } from "../mean.ts";
import type { adaptiveAvgPool2d } from "./adaptive_avgpool2d.ts";
import { wgsl } from "./global_avgpool.wgsl.ts";

/** vec4s of channels of a workgroup, and the threads that share the pixels of each. */
const [COLUMNS, SLICES] = [4, 64];

/** The mean over the pixels of NHWC images x [N, pixels, C] -> y [N, C]; C is a multiple of 4. For GPUs. */
export const globalAvgPool = defineKernel({
  name: "global_avgpool",
  inputs: ["x"],
  options: {},
  wgsl,

  shape: ({ x }) => [x[0], x[2]],
  cost: ({ shapes: { x }, y }) => ({ flops: sizeOf(x) + sizeOf(y) }),
  consts: () => ({ COLUMNS, SLICES }),
  params: ({ shapes: { x } }) => ({ pixels: x[1], channels: x[2] / 4 }),
  grid: ({ y }) => [Math.ceil(y[1] / 4 / COLUMNS), y[0], 1],
});

export const reference: ReferenceOf<typeof globalAvgPool> = {
  example: { shapes: { x: [2, 35, 8] } },

  compute({ x }, { shapes, y: [batch, channels] }) {
    const pixels = shapes.x[1];
    const y = new Float64Array(batch * channels);
    for (let i = 0; i < x.length; i++) {
      y[Math.floor(i / channels / pixels) * channels + (i % channels)] += x[i] / pixels;
    }
    return y;
  },
};

/** An average of whole images, on GPUs. */
const wholeImages = <O extends object>(isWhole: (call: Call<"x", O>) => boolean): Variant<"x", O> => ({
  name: "global_avgpool",
  nhwc: true,
  refuses: (call) =>
    call.shapes.x.length === 4 && wholeVectors(call.shapes.x) && isWhole(call)
      ? undefined
      : "it is no average of whole images of whole vec4s of channels",
  gains: (_call, { software }, { x }) => !software && isNhwc(x),
  build({ x }, { shapes: { x: image }, y }) {
    const [batch, channels, height, width] = image;
    return x.graph.reshape(globalAvgPool(x.graph.reshape(asNhwc(x), [batch, height * width, channels])), y);
  },
});

export const globalAvgPoolVariant = wholeImages<typeof adaptiveAvgPool2d.options>(({ y }) => y[2] * y[3] === 1);

export const globalMeanVariant = wholeImages<typeof mean.options>(({ options: { dims } }) =>
  sameShape(dims.map((dim) => (dim + 4) % 4).sort(), [2, 3]),
);
