import { deriveParam, type Graph, isParam, type OpNode } from "../engine/graph/graph.ts";
import type { AnyKernel } from "../engine/graph/kernel.ts";
import {
  axisOf,
  type OnnxCall,
  type OnnxReader,
  type OnnxReaders,
  type Operand,
  VIEWS,
} from "../engine/graph/onnx_call.ts";
import type { Value } from "../engine/graph/value.ts";
import { UsageError } from "../engine/ground/errors.ts";
import { type Shape, sameShape, sizeOf } from "../engine/ground/tensor.ts";
import { concat } from "./concat.ts";
import { conv2d } from "./conv2d/conv2d.ts";
import { add, sub } from "./elementwise/add.ts";
import { clamp } from "./elementwise/clamp.ts";
import { hardSigmoid } from "./elementwise/hardsigmoid.ts";
import { hardSwish } from "./elementwise/hardswish.ts";
import { leakyRelu } from "./elementwise/leaky_relu.ts";
import { mul } from "./elementwise/mul.ts";
import { relu } from "./elementwise/relu.ts";
import { sigmoid } from "./elementwise/sigmoid.ts";
import { silu } from "./elementwise/silu.ts";
import { tanh } from "./elementwise/tanh.ts";
import { linear } from "./linear/linear.ts";
import { mean } from "./mean.ts";
import { batchNorm } from "./norm/batchnorm.ts";
import { around, pad } from "./pad.ts";
import { permute } from "./permute.ts";
import { adaptiveAvgPool2d } from "./pool2d/adaptive_avgpool2d.ts";
import { avgPool2d } from "./pool2d/avgpool2d.ts";
import { maxPool2d } from "./pool2d/maxpool2d.ts";
import { reshape } from "./reshape.ts";
import { slice } from "./slice.ts";
import { softmax } from "./softmax.ts";

// ONNX's operators (https://onnx.ai/onnx/operators/), of opset 7 and later, as kernels.

/** Throws: this cannot be done here. */
export function refuse(problem: string): never {
  throw new UsageError(problem);
}

/** A kernel, as far as it is known by its name. */
interface Named {
  readonly name: string;
}

/** The operator that makes a value, if it is this kernel. */
export function madeBy({ graph, id }: Value, { name }: Named): OpNode | undefined {
  const node = graph.nodes[id];
  return node.kind === "op" && node.kernel.name === name ? node : undefined;
}

/** A value that an operator reads. */
export const read = ({ graph }: Value, node: OpNode, input: string): Value => graph.value(node.inputs[input]);

export const unary =
  (f: (x: Value) => Value): OnnxReader =>
  (call) =>
    f(call.value(0));

/** Of images [N, C, H, W]. */
export function images(call: OnnxCall): Value {
  const x = call.value(0);
  return x.shape.length === 4 ? x : refuse(`of ${x.shape.length - 2} dimensions beside batch and channels; wanted 2`);
}

/** Filters, strides, dilations and [top, left, bottom, right] of what slides over images, and how many places it has. */
export function windows(call: OnnxCall, x: Shape, kernel: readonly number[]) {
  const stride = call.list("strides", [1, 1]);
  const dilation = call.list("dilations", [1, 1]);
  const reach = kernel.map((size, d) => dilation[d] * (size - 1) + 1);
  const auto = call.text("auto_pad", "NOTSET");
  const isSame = auto.startsWith("SAME");
  let padding = auto === "NOTSET" ? call.list("pads", [0, 0, 0, 0]) : [0, 0, 0, 0];
  if (isSame) {
    const all = reach.map((window, d) => {
      const [size, step] = [x[2 + d], stride[d]];
      return Math.max(0, (Math.ceil(size / step) - 1) * step + window - size);
    });
    const [less, more] = [all.map((side) => Math.floor(side / 2)), all.map((side) => Math.ceil(side / 2))];
    padding = auto === "SAME_LOWER" ? [...more, ...less] : [...less, ...more];
  }
  const isCeil = call.number("ceil_mode", 0) === 1 && auto === "NOTSET";
  const size = reach.map((window, d) => {
    const room = x[2 + d] + padding[d] + padding[2 + d] - window;
    const places = (isCeil ? Math.ceil : Math.floor)(room / stride[d]) + 1;
    // One that would begin in the padding behind the image is none.
    return isCeil && (places - 1) * stride[d] >= x[2 + d] + padding[d] ? places - 1 : places;
  });
  return { kernel, stride, dilation, padding, size, reach };
}

export const two = ([height, width]: readonly number[]) => [height, width] as const;
export const four = ([top, left, bottom, right]: readonly number[]) => [top, left, bottom, right] as const;

/** Of one dimension as of two, the first of which has one place: [N, C, W] is [N, C, 1, W] meanwhile. */
export const inTwo =
  (op: string, reader: OnnxReader): OnnxReader =>
  (call) => {
    const [x, w, ...rest] = call.operands;
    if (x?.shape.length !== 3) return reader(call);
    const wider = (each: Operand) => each && call.apply("Unsqueeze", [each], { axes: [2] });
    const attributes = Object.entries(call.attributes).map(([name, value]) => {
      if (typeof value !== "object") return [name, value];
      return [name, name === "pads" ? [0, value[0], 0, value[1]] : [Number(!name.startsWith("output_p")), ...value]];
    });
    const y = call.apply(op, [wider(x), wider(w), ...rest], Object.fromEntries(attributes));
    return call.apply("Squeeze", [y], { axes: [2] });
  };

function convolution(call: OnnxCall): Value {
  let x = images(call);
  const w = call.value(1);
  const geometry = windows(call, x.shape, call.list("kernel_shape", w.shape.slice(2)));
  let padding = geometry.padding;
  // Zeros around its images it puts there itself.
  const padded = madeBy(x, pad);
  const { padding: sides, value } = (padded?.options ?? {}) as typeof pad.options;
  if (padded && value === 0 && around(sides).every((side) => side >= 0)) {
    x = read(x, padded, "x");
    padding = around(sides).map((side, i) => side + padding[i]);
  }
  const options = {
    stride: two(geometry.stride),
    dilation: two(geometry.dilation),
    padding: four(padding),
    groups: call.number("group", 1),
  };
  return conv2d(x, w, call.optional(2), options);
}

/** The same elements under another shape, a parameter's being another parameter. */
export function shaped(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  if (!isParam(x)) return reshape(x, { shape });
  return deriveParam(x, `as [${shape}]`, shape, (tensor) => tensor);
}

/** The lowest float32, which never wins. */
export const LOWEST = -3.4028234663852886e38;

function pooling(call: OnnxCall, kind: "max" | "average"): Value {
  const x = images(call);
  const { padding, size, reach, ...window } = windows(
    call,
    x.shape,
    call.list("kernel_shape") ?? refuse("without a kernel_shape"),
  );
  const [kernel, stride, dilation] = [two(window.kernel), two(window.stride), two(window.dilation)];
  if (kind === "average" && dilation.some((step) => step !== 1)) refuse("with dilations");
  const counts = kind === "average" && call.number("count_include_pad", 0) === 1;
  const [top, left, bottom, right] = padding;
  const options = { kernel, stride, ...(kind === "max" ? { dilation } : { countIncludePad: counts }) };
  const pool = (kind === "max" ? maxPool2d : avgPool2d) as AnyKernel;
  const isEven = top === bottom && left === right;
  const fits = reach.every((side, d) => 2 * padding[d] <= side && side <= x.shape[2 + d] + 2 * padding[d]);
  // Padding behind images only makes the last windows: there is a way of rounding that makes as many.
  for (const ceilMode of fits && (isEven || !counts) ? [false, true] : []) {
    const all = { ...options, padding: two([top, left]), ceilMode };
    if (sameShape(pool.shape({ x: x.shape }, { ...pool.options, ...all }).slice(2), size)) return pool(x, all);
  }
  const value = kind === "max" ? LOWEST : 0;
  if (kind === "max" || counts)
    return pool(pad(x, { padding: four(padding), value }), { ...options, ceilMode: call.number("ceil_mode", 0) === 1 });
  // As if all of a window counted, and then by how much of it does.
  const behind = reach.map((side, d) => Math.max(0, (size[d] - 1) * stride[d] + side - x.shape[2 + d] - padding[d]));
  const y = pool(pad(x, { padding: four([top, left, ...behind]), value }), options);
  const share = (at: number, d: number) => {
    const first = at * stride[d] - padding[d];
    return kernel[d] / (Math.min(first + kernel[d], x.shape[2 + d]) - Math.max(first, 0));
  };
  const shares = () =>
    Float64Array.from(
      { length: size[0] * size[1] },
      (_, i) => share(Math.floor(i / size[1]), 0) * share(i % size[1], 1),
    );
  return mul(y, call.constant("shares", [1, 1, ...size], shares));
}

/** A matrix the other way round. */
export const turned = (w: Value): Value => {
  const [rows, columns] = w.shape;
  if (!isParam(w)) return permute(w, { dims: [1, 0] });
  return deriveParam(w, "transposed", [columns, rows], (tensor) => {
    const y = new Float32Array(tensor.length);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) y[j * rows + i] = tensor[i * columns + j];
    return y;
  });
};

/** Times a number. */
export function scaled(call: OnnxCall, x: Value, factor: number, label: string): Value {
  if (factor === 1) return x;
  if (isParam(x)) return deriveParam(x, `times ${factor}`, x.shape, (tensor) => tensor.map((v) => v * factor));
  return mul(
    x,
    call.constant(label, [], () => [factor]),
  );
}

function gemm(call: OnnxCall): Value {
  const [a, b] = [call.value(0), call.value(1)];
  if (a.shape.length !== 2 || b.shape.length !== 2) refuse("of what are no matrices");
  const x = call.number("transA", 0) ? turned(a) : a;
  const w = scaled(call, call.number("transB", 0) ? b : turned(b), call.number("alpha", 1), "alpha");
  const c = call.has(2) ? scaled(call, call.value(2), call.number("beta", 1), "beta") : undefined;
  const isBias = c && sizeOf(c.shape) === w.shape[0] && c.shape.at(-1) === w.shape[0];
  const y = linear(x, w, isBias ? shaped(c, [w.shape[0]]) : undefined);
  return c && !isBias ? add(y, c) : y;
}

export const near = (a: number | undefined, b: number): boolean =>
  a !== undefined && Math.abs(a - b) < 1e-5 * Math.abs(b);

/** A product, or the activation that exporters spell as several operators of which this is the last. */
export function multiply(call: OnnxCall): Value {
  const [a, b] = [call.value(0), call.value(1)];
  for (const [x, factor] of [
    [a, b],
    [b, a],
  ]) {
    const isOf = (kernel: Named) => {
      const node = madeBy(factor, kernel);
      return node && read(factor, node, "x").id === x.id;
    };
    if (isOf(sigmoid)) return silu(x);
    if (isOf(hardSigmoid)) return hardSwish(x);
  }
  return mul(a, b);
}

function addition(call: OnnxCall): Value {
  const [a, b] = [call.value(0), call.value(1)];
  for (const [x, bias] of [
    [a, b],
    [b, a],
  ]) {
    const node = madeBy(x, linear);
    if (node && !node.inputs.b && isParam(bias) && sameShape(bias.shape, [x.shape[x.shape.length - 1]]))
      return linear(read(x, node, "x"), read(x, node, "w"), bias);
  }
  return add(a, b);
}

function clip(call: OnnxCall): Value {
  const bound = (name: string, input: number, usual: number) =>
    call.opset < 11 ? call.number(name, usual) : (call.known(input)?.[0] ?? usual);
  const [low, high] = [bound("min", 1, -Infinity), bound("max", 2, Infinity)];
  // Some say the ends of float32 for none.
  return clamp(call.value(0), { low: low <= LOWEST ? -Infinity : low, high: high >= -LOWEST ? Infinity : high });
}

/** Before opset 13 all dimensions from the axis on are one. */
const softened =
  (log: boolean): OnnxReader =>
  (call) => {
    const x = call.value(0);
    const axis = axisOf(call.number("axis", call.opset < 13 ? 1 : -1), x.shape.length);
    const rest = sizeOf(x.shape.slice(axis + 1));
    if (call.opset >= 13 || rest === 1) return softmax(x, { dim: axis, log });
    const rows = reshape(x, { shape: [sizeOf(x.shape.slice(0, axis)), x.shape[axis] * rest] });
    return reshape(softmax(rows, { dim: 1, log }), { shape: x.shape });
  };

/** What was joined of which values, in every graph. */
const joins = new WeakMap<Graph, Map<string, Value>>();

/** What was joined already is not joined again: in a DenseNet all that came before it, for every layer. */
function joined(call: OnnxCall): Value {
  const values = call.values();
  const dim = axisOf(call.number("axis", 1), call.value(0).shape.length);
  const keyOf = (list: readonly Value[]) => `${dim}: ${list.map(({ id }) => id)}`;
  const known = joins.get(call.graph) ?? new Map<string, Value>();
  joins.set(call.graph, known);
  const before = known.get(keyOf(values.slice(0, -1)));
  const y = before ? concat(before, values[values.length - 1], { dim }) : concat(...values, { dim });
  known.set(keyOf(values), y);
  return y;
}

function split(call: OnnxCall): Value[] {
  const x = call.value(0);
  const axis = axisOf(call.number("axis", 0), x.shape.length);
  const parts = call.number("num_outputs", call.outputs);
  const size = Math.ceil(x.shape[axis] / parts);
  const sizes = call.integers("split", 1) ?? Array.from({ length: call.outputs }, () => size);
  let start = 0;
  return sizes.slice(0, call.outputs).map((count) => {
    start += count;
    return slice(x, { dim: axis, start: start - count, end: start });
  });
}

function transposed(call: OnnxCall): Value {
  const x = call.value(0);
  const dims = call.list("perm") ?? x.shape.map((_, d) => x.shape.length - 1 - d);
  const before = madeBy(x, permute);
  const order = before ? (before.options as typeof permute.options).dims : x.shape.map((_, d) => d);
  // What comes back to where it was.
  if (dims.length === order.length && dims.every((d, i) => order[d] === i)) return before ? read(x, before, "x") : x;
  return permute(x, { dims });
}

const view =
  (op: string): OnnxReader =>
  (call) => {
    const x = call.value(0);
    const shape = VIEWS[op](call, x.shape);
    return sameShape(shape, x.shape) ? x : x.graph.reshape(x, shape);
  };

/** The dimensions behind those of the batch and the channels. */
export const pixels = ({ shape }: Value): number[] => shape.map((_, d) => d).slice(2);

function hardSigmoided(call: OnnxCall): Value {
  const [alpha, beta] = [call.number("alpha", 0.2), call.number("beta", 0.5)];
  const x = call.value(0);
  if (near(alpha, 1 / 6) && beta === 0.5) return hardSigmoid(x);
  const line = add(
    scaled(call, x, alpha, "alpha"),
    call.constant("beta", [], () => [beta]),
  );
  return clamp(line, { low: 0, high: 1 });
}

/** An operator over some dimensions, all of them if it does not say which. */
export const reduced =
  (f: (x: Value, options: { readonly dims: readonly number[]; readonly keepDim: boolean }) => Value): OnnxReader =>
  (call) => {
    const x = call.value(0);
    const axes = call.integers("axes", 1) ?? [];
    if (axes.length === 0 && call.number("noop_with_empty_axes", 0) === 1) return x;
    const dims = axes.length > 0 ? axes.map((axis) => axisOf(axis, x.shape.length)) : x.shape.map((_, d) => d);
    return f(x, { dims, keepDim: call.number("keepdims", 1) === 1 });
  };

/** The operators of most nets; onnx_import_more.ts has the others. */
export const onnxReaders: OnnxReaders = {
  ...Object.fromEntries(Object.keys(VIEWS).map((op) => [op, view(op)])),

  Conv: inTwo("Conv", convolution),
  Gemm: gemm,

  MaxPool: inTwo("MaxPool", (call) => pooling(call, "max")),
  AveragePool: inTwo("AveragePool", (call) => pooling(call, "average")),
  GlobalAveragePool: unary((x) =>
    x.shape.length === 4 ? adaptiveAvgPool2d(x, { outputSize: 1 }) : mean(x, { dims: pixels(x), keepDim: true }),
  ),
  ReduceMean: reduced(mean),

  BatchNormalization(call) {
    if (call.number("training_mode", 0) === 1) refuse("in training mode");
    if (call.number("spatial", 1) === 0) refuse("with statistics of every pixel (spatial = 0)");
    const [mean, variance] = [call.value(3, "statistic"), call.value(4, "statistic")];
    return batchNorm(call.value(0), mean, variance, call.value(1), call.value(2), {
      eps: call.number("epsilon", 1e-5),
    });
  },
  Add: addition,
  Sub: (call) => sub(call.value(0), call.value(1)),
  Mul: multiply,
  Sum: (call) => call.values().reduce((a, b) => add(a, b)),

  Relu: unary(relu),
  LeakyRelu: (call) => leakyRelu(call.value(0), { negativeSlope: call.number("alpha", 0.01) }),
  Sigmoid: unary(sigmoid),
  Tanh: unary(tanh),
  HardSigmoid: hardSigmoided,
  HardSwish: unary(hardSwish),
  Clip: clip,
  Softmax: softened(false),
  LogSoftmax: softened(true),

  Concat: joined,
  Split: split,
  Transpose: transposed,

  Cast(call) {
    if ([1, 10, 11, 16].includes(call.number("to", 1))) return call.value(0);
    return refuse("of what is computed to integers");
  },
};
