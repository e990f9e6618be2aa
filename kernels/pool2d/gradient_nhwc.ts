import type { Reference } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, type Kernel, type Named } from "../../engine/graph/kernel.ts";
import type { AnyVariant } from "../../engine/graph/variant.ts";
import { NCHW, NHWC, permute, permuteShape, type Shape } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc, NO_IMAGES, nhwc, wholeVectors } from "../layout/layout.ts";
import { onVectors } from "../vectors.ts";
import { avgPool2dGradient } from "./avgpool2d_gradient.ts";
import { maxPool2dGradient } from "./maxpool2d_gradient.ts";

const inNchw = <K extends string>(shapes: Named<K, Shape>) =>
  Object.fromEntries(
    Object.entries<Shape>(shapes).map(([name, shape]) => [name, permuteShape(shape, NCHW)]),
  ) as unknown as Named<K, Shape>;

/** The plain kernel's call for one on NHWC images. */
const nchw = <K extends string, O>({ shapes, options, y }: Call<K, O>): Call<K, O> => ({
  shapes: inNchw(shapes),
  options,
  y: permuteShape(y, NCHW),
});

/** The gradient of a pooling by the same WGSL on NHWC images. */
const onNhwc = <K extends string, O extends object>(plain: Kernel<K, O>): Kernel<K, O> =>
  defineKernel({
    ...plain,
    name: `${plain.name}_nhwc`,
    shape: (shapes, options) => permuteShape(plain.shape(inNchw(shapes), options), NHWC),
    cost: (call) => plain.cost(nchw(call)),
    consts: (call) => ({ ...plain.consts(nchw(call)), CHANNELS: true }),
    params: (call, part) => ({ ...plain.params(nchw(call), part), channels: call.y[3] }),
    grid: (call, part) => plain.grid(nchw(call), part),
  });

/** The reference of such a kernel. */
export const nhwcReference = <K extends string, O>({ example, compute }: Reference<K, O>): Reference<K, O> => ({
  example: {
    ...example,
    shapes: Object.fromEntries(
      Object.entries(example.shapes).map(([name, shape]) => [name, permuteShape(shape, NHWC)]),
    ),
  },
  compute(inputs, call) {
    const images = Object.entries<Float32Array>(inputs).map(([name, data]) => [
      name,
      permute(data, call.shapes[name as keyof typeof call.shapes] as Shape, NCHW),
    ]);
    return permute(compute(Object.fromEntries(images), nchw(call)), nchw(call).y, NHWC);
  },
});

const variant = (kernel: Kernel<"dy", never> | Kernel<"x" | "dy", never>): AnyVariant => ({
  ...nhwc({
    refuses: ({ y }) => (wholeVectors(y) ? undefined : NO_IMAGES),
    build: (inputs, { options, y }) =>
      asNchw(onVectors(kernel, ...kernel.inputs.map((name) => asNhwc(inputs[name])))(options), y[1]),
  }),
  name: kernel.name,
});

export const maxPool2dGradientNhwc = onNhwc(maxPool2dGradient);
export const avgPool2dGradientNhwc = onNhwc(avgPool2dGradient);

export const maxPool2dGradientNhwcVariant = variant(maxPool2dGradientNhwc);
export const avgPool2dGradientNhwcVariant = variant(avgPool2dGradientNhwc);
