import type { AnyKernel, Call, Kernel } from "../engine/graph/kernel.ts";
import {
  floats,
  integers,
  type OnnxConversion,
  type OnnxOperand,
  type OnnxOperation,
  type OnnxOperators,
  operation,
} from "../engine/graph/onnx.ts";
import { UsageError } from "../engine/ground/errors.ts";
import { sizeOf } from "../engine/ground/tensor.ts";
import type { Activation } from "./activation.ts";
import { channelShuffle } from "./channel_shuffle.ts";
import { concat } from "./concat.ts";
import { conv2d } from "./conv2d/conv2d.ts";
import { geometry } from "./conv2d/geometry.ts";
import { add } from "./elementwise/add.ts";
import { clamp } from "./elementwise/clamp.ts";
import { gelu } from "./elementwise/gelu.ts";
import { hardSigmoid } from "./elementwise/hardsigmoid.ts";
import { hardSwish } from "./elementwise/hardswish.ts";
import { leakyRelu } from "./elementwise/leaky_relu.ts";
import { mul } from "./elementwise/mul.ts";
import { relu } from "./elementwise/relu.ts";
import { sigmoid } from "./elementwise/sigmoid.ts";
import { silu } from "./elementwise/silu.ts";
import { tanh } from "./elementwise/tanh.ts";
import { gather } from "./gather.ts";
import { linear } from "./linear/linear.ts";
import { matmul } from "./matmul.ts";
import { mean } from "./mean.ts";
import { batchNorm } from "./norm/batchnorm.ts";
import { layerNorm, normalizedShape } from "./norm/layernorm.ts";
import { lrn } from "./norm/lrn.ts";
import { normalize } from "./norm/normalize.ts";
import { around, pad } from "./pad.ts";
import { orderOf, permute } from "./permute.ts";
import { adaptiveAvgPool2d } from "./pool2d/adaptive_avgpool2d.ts";
import { avgPool2d } from "./pool2d/avgpool2d.ts";
import { maxPool2d } from "./pool2d/maxpool2d.ts";
import { adaptiveAverage, average, maximum, padImages } from "./pool2d/onnx.ts";
import { roll, shiftsOf } from "./roll.ts";
import { slice } from "./slice.ts";
import { softmax } from "./softmax.ts";

/** What a kernel's calls are in ONNX, by the kernel's name; `inputs` are names of values. */
const entry = <K extends string, O extends object>(
  { name }: Kernel<K, O>,
  convert: (inputs: Readonly<Record<string, string>>, call: Call<K, O>) => OnnxOperation,
): [string, OnnxConversion] => [name, convert];

/** A kernel that ONNX has just so. */
const same = (kernel: AnyKernel, op: string): [string, OnnxConversion] =>
  entry(kernel, (inputs) => operation(op, Object.values(inputs)));

/** What an activation makes of y. */
function activated(y: OnnxOperation, activation: Activation): OnnxOperation {
  const [hardSigmoid, sigmoid] = [operation("HardSigmoid", [y], HARD_SIGMOID), operation("Sigmoid", [y])];
  return {
    none: y,
    relu: operation("Relu", [y]),
    relu6: operation("Clip", [y, floats([0]), floats([6])]),
    silu: operation("Mul", [y, sigmoid]),
    hardswish: operation("HardSwish", [y]),
    hardsigmoid: hardSigmoid,
    sigmoid,
    tanh: operation("Tanh", [y]),
  }[activation];
}

const HARD_SIGMOID = { alpha: { float: 1 / 6 }, beta: { float: 0.5 } };

const scaled = (x: OnnxOperand, factor: number): OnnxOperation => operation("Mul", [x, floats([factor])]);

/** Under a shape in which 0 keeps a size, here the batch's, and -1 stands for what is left. */
const reshaped = (x: OnnxOperand, shape: readonly number[]): OnnxOperation =>
  operation("Reshape", [x, integers(shape)]);

/** What ONNX takes for the end of a dimension, and any end beyond it. */
const END = 2 ** 31 - 1;

const sliced = (x: OnnxOperand, dim: number, start: number, end = END, step = 1): OnnxOperation =>
  operation("Slice", [x, ...[start, Math.min(end, END), dim, step].map((value) => integers([value]))]);

/** ONNX's number of this type. */
const INT64 = 7;

/** One per channel, for a parameter that is left out. */
const perChannel = (channels: number, value: number) => floats(new Array(channels).fill(value), [channels]);

/** The kernels as ONNX's operators of version 17: https://onnx.ai/onnx/operators/. */
export const onnxOperators: OnnxOperators = Object.fromEntries([
  same(relu, "Relu"),
  same(tanh, "Tanh"),
  same(sigmoid, "Sigmoid"),
  same(hardSwish, "HardSwish"),
  same(mul, "Mul"),

  entry(conv2d, ({ x, w, b, r }, { shapes, options }) => {
    const { kernel, stride, padding, dilation, groups } = geometry(shapes.w, options);
    const attributes = { kernel_shape: kernel, strides: stride, pads: padding, dilations: dilation, group: groups };
    const y = operation("Conv", [x, w, b], attributes);
    return activated(r ? operation("Add", [y, r]) : y, options.activation);
  }),

  entry(linear, ({ x, w, b }, { shapes, options }) => {
    if (shapes.x.length === 2) return activated(operation("Gemm", [x, w, b], { transB: 1 }), options.activation);
    const y = operation("MatMul", [x, operation("Transpose", [w], { perm: [1, 0] })]);
    return activated(b ? operation("Add", [y, b]) : y, options.activation);
  }),

  entry(matmul, ({ a, b }, { options: { scale } }) => {
    const y = operation("MatMul", [a, b]);
    return scale === 1 ? y : scaled(y, scale);
  }),

  entry(batchNorm, ({ x, mean, variance, weight, bias }, { y, options }) => {
    const parameters = [weight ?? perChannel(y[1], 1), bias ?? perChannel(y[1], 0), mean, variance];
    return operation("BatchNormalization", [x, ...parameters], { epsilon: { float: options.eps } });
  }),

  entry(layerNorm, ({ x, weight, bias }, { shapes, options }) => {
    const shape = normalizedShape(shapes, options);
    const factors = weight ?? floats(new Array(sizeOf(shape)).fill(1), shape);
    const attributes = { axis: -shape.length, epsilon: { float: options.eps } };
    return operation("LayerNormalization", [x, factors, bias], attributes);
  }),

  entry(lrn, ({ x }, { y: [, channels, ...image], options: { size, alpha, beta, k } }) => {
    // With an even size the odd channel out is before the middle in PyTorch, behind it in ONNX.
    if (size % 2 === 0) throw new UsageError(`lrn of an even size (${size}) is not what ONNX has: choose an odd one`);
    const attributes = { size, alpha: { float: alpha }, beta: { float: beta }, bias: { float: k } };
    if (image.length === 2) return operation("LRN", [x], attributes);
    // Runtimes take images only.
    return reshaped(operation("LRN", [reshaped(x, [0, channels, -1, 1])], attributes), [0, channels, ...image]);
  }),

  entry(normalize, ({ x, scale }, { options: { eps } }) => {
    const length = operation("Max", [operation("ReduceL2", [x], { axes: [-1] }), floats([eps])]);
    const y = operation("Div", [x, length]);
    return scale ? operation("Mul", [y, scale]) : y;
  }),

  entry(maxPool2d, ({ x }, { shapes, options, y }) => maximum(x, shapes.x, y, options)),
  entry(avgPool2d, ({ x }, { shapes, options, y }) => average(x, shapes.x, y, options)),
  entry(adaptiveAvgPool2d, ({ x }, { shapes, y }) => adaptiveAverage(x, shapes.x, y)),
  entry(pad, ({ x }, { options }) => padImages(x, around(options.padding), options.value)),

  entry(add, ({ a, b }, { options: { alpha, activation } }) => {
    if (alpha === -1) return activated(operation("Sub", [a, b]), activation);
    return activated(operation("Add", [a, alpha === 1 ? b : scaled(b, alpha)]), activation);
  }),

  entry(concat, (inputs, { options }) => operation("Concat", Object.values(inputs), { axis: options.dim })),

  entry(permute, ({ x }, { shapes, options }) =>
    operation("Transpose", [x], { perm: orderOf(shapes.x, options.dims) }),
  ),

  entry(slice, ({ x }, { options: { dim, start, end, step } }) => sliced(x, dim, start, end, step)),

  entry(roll, ({ x }, { y, options }) =>
    // What comes back at the front, and the rest behind it.
    shiftsOf(y, options).reduce(
      (rolled, shift, d) =>
        shift === 0
          ? rolled
          : operation("Concat", [sliced(rolled, d, -shift), sliced(rolled, d, 0, -shift)], { axis: d }),
      operation("Identity", [x]),
    ),
  ),

  entry(gather, ({ x, indices }, { options }) =>
    operation("Gather", [x, operation("Cast", [indices], { to: INT64 })], { axis: options.dim }),
  ),

  entry(mean, ({ x }, { options: { dims, keepDim } }) =>
    operation("ReduceMean", [x], { axes: dims, keepdims: keepDim ? 1 : 0 }),
  ),

  entry(softmax, ({ x }, { options: { dim, log } }) => operation(log ? "LogSoftmax" : "Softmax", [x], { axis: dim })),

  entry(clamp, ({ x }, { options: { low, high } }) => {
    const least = low === -Infinity ? undefined : floats([low]);
    const most = high === Infinity ? undefined : floats([high]);
    return operation("Clip", [x, least, most]);
  }),

  entry(leakyRelu, ({ x }, { options }) => operation("LeakyRelu", [x], { alpha: { float: options.negativeSlope } })),

  entry(hardSigmoid, ({ x }) => operation("HardSigmoid", [x], HARD_SIGMOID)),
  entry(silu, ({ x }) => operation("Mul", [x, operation("Sigmoid", [x])])),

  entry(gelu, ({ x }) => {
    const erf = operation("Erf", [scaled(x, Math.SQRT1_2)]);
    return operation("Mul", [scaled(x, 0.5), operation("Add", [erf, floats([1])])]);
  }),

  entry(channelShuffle, ({ x }, { y: [, channels, ...image], options: { groups } }) => {
    const dealt = reshaped(x, [0, groups, channels / groups, -1]);
    return reshaped(operation("Transpose", [dealt], { perm: [0, 2, 1, 3] }), [0, channels, ...image]);
  }),
]);
