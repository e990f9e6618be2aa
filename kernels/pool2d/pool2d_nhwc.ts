import {
  type Call,
  defineKernel,
  type Kernel,
  type KernelSpec,
  linearGrid,
  type Variant,
} from "../../engine/graph/kernel.ts";
import { NCHW, NHWC, permute, permuteShape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc, isNhwc } from "../layout/layout.ts";
import type { Pair } from "../options.ts";
import { pool2d_nhwc as wgsl } from "../wgsl.ts";
import type { adaptiveAvgPool2d } from "./adaptive_avgpool2d.ts";
import { avgPool2d } from "./avgpool2d.ts";
import { maxPool2d } from "./maxpool2d.ts";

/** A pooling on NHWC images, which are the plain kernel's otherwise; `fields` are those of Params that it does not have. */
function nhwcVariant<O extends object>(
  name: string,
  plain: Kernel<O>,
  fields: Readonly<Record<string, number>>,
): Variant<"x", O> {
  const nchw = ({ shapes, options, y }: Call<"x", O>): Call<"x", O> => ({
    shapes: { x: permuteShape(shapes.x, NCHW) },
    options,
    y: permuteShape(y, NCHW),
  });
  const [n, , h, w] = plain.example.shapes.x;
  const kernel = defineKernel({
    ...(plain as unknown as KernelSpec<"x", O>),
    name,
    wgsl,
    example: { ...plain.example, shapes: { x: [n, h, w, 8] } },
    shape: ({ x }, options) => permuteShape(plain.shape({ x: permuteShape(x, NCHW) }, options), NHWC),
    cost: (call) => plain.cost(nchw(call)),
    params: (call, part) => ({
      ...fields,
      ...plain.params(nchw(call), part),
      count: sizeOf(call.y) / 4,
      channels: call.y[3] / 4,
    }),
    grid: (call) => linearGrid(sizeOf(call.y) / 4, plain.consts(nchw(call)).WORKGROUP as number),
    reference: ({ x }, call) =>
      permute(plain.reference({ x: permute(x, call.shapes.x, NCHW) }, nchw(call)), nchw(call).y, NHWC),
  });
  return {
    name,
    refuses: () => undefined,
    gains: (_call, _traits, { x }) => isNhwc(x),
    build: ({ x }, { options, y }) => asNchw(kernel(asNhwc(x), options), y[1]),
  };
}

export const maxPool2dNhwcVariant = nhwcVariant("maxpool2d_nhwc", maxPool2d, {
  mean: 0,
  divisor: 0,
  count_include_pad: 0,
});

export const avgPool2dNhwcVariant = nhwcVariant("avgpool2d_nhwc", avgPool2d, {
  mean: 1,
  dilation_height: 1,
  dilation_width: 1,
});

/** Where the windows are all of one size, as average pooling; where they are single elements, nothing at all. */
export const adaptiveAvgPool2dNhwcVariant: Variant<"x", typeof adaptiveAvgPool2d.options> = {
  name: "avgpool2d_nhwc",
  refuses: ({ shapes: { x }, y }) =>
    x[2] % y[2] === 0 && x[3] % y[3] === 0
      ? undefined
      : `its image of ${x[2]}x${x[3]} is no multiple of ${y[2]}x${y[3]}`,
  gains: (_call, _traits, { x }) => isNhwc(x),
  build(inputs, { shapes, y }, traits, plain) {
    if (sameShape(shapes.x, y)) return inputs.x;
    const kernel: Pair = [shapes.x[2] / y[2], shapes.x[3] / y[3]];
    const options = { ...avgPool2d.options, kernel };
    return avgPool2dNhwcVariant.build(inputs, { shapes, options, y }, traits, plain);
  },
};
