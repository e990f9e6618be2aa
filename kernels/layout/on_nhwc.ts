import type { Reference } from "../../engine/graph/evaluate.ts";
import { type AnyCall, type AnyKernel, defineKernel } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { AnyVariant } from "../../engine/graph/variant.ts";
import { mapValues } from "../../engine/ground/records.ts";
import { NCHW, NHWC, permute, permuteShape, type Shape } from "../../engine/ground/tensor.ts";
import { onVectors } from "../vectors.ts";
import { asNchw, asNhwc, nhwc } from "./layout.ts";

const reordered = (shapes: Readonly<Record<string, Shape>>, order: readonly number[]): Record<string, Shape> =>
  mapValues(shapes, (shape) => permuteShape(shape, order));

/** The plain kernel's call for one on NHWC images. */
const nchw = ({ shapes, options, y }: AnyCall): AnyCall => ({
  shapes: reordered(shapes, NCHW),
  options,
  y: permuteShape(y, NCHW),
});

/** The gradient of a pooling, or what that is computed from, by the same WGSL on NHWC images. */
export const onNhwc = (plain: AnyKernel): AnyKernel =>
  defineKernel({
    ...plain,
    name: `${plain.name}_nhwc`,
    shape: (shapes, options) => permuteShape(plain.shape(reordered(shapes, NCHW), options), NHWC),
    cost: (call) => plain.cost(nchw(call)),
    consts: (call) => ({ ...plain.consts(nchw(call)), CHANNELS: true }),
    params: (call, part) => ({ ...plain.params(nchw(call), part), channels: call.y[3] }),
    grid: (call, part) => plain.grid(nchw(call), part),
  });

/** The reference of such a kernel. */
// biome-ignore lint/suspicious/noExplicitAny: it stands in a table for kernels of any inputs and options
export const nhwcReference = ({ example, compute }: Reference<any, any>): Reference<any, any> => ({
  example: { ...example, shapes: reordered(example.shapes, NHWC) },
  compute(inputs, call) {
    const images = Object.entries<Float32Array>(inputs).map(([name, data]) => [
      name,
      permute(data, call.shapes[name] as Shape, NCHW),
    ]);
    const { shapes, options, y } = nchw(call);
    return permute(compute(Object.fromEntries(images), { shapes, options, y }), y, NHWC);
  },
});

const given = (x?: Value): Value | undefined => x && asNhwc(x);

/** The variant that takes such a kernel, on vec4s. */
export const nhwcVariant = (kernel: AnyKernel): AnyVariant => ({
  ...nhwc({
    refuses: () => undefined,
    build: (inputs, { options, y }) =>
      asNchw(onVectors(kernel, ...kernel.inputs.map((name) => given(inputs[name.replace("?", "")])))(options), y[1]),
  }),
  name: kernel.name,
});
