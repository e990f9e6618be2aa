import { deriveParam, isParam } from "../engine/graph/graph.ts";
import type { OnnxCall, OnnxReader, OnnxReaders } from "../engine/graph/onnx_call.ts";
import { axisOf, partsOf } from "../engine/graph/onnx_call.ts";
import type { Value } from "../engine/graph/value.ts";
import { type Shape, sameShape, sizeOf } from "../engine/ground/tensor.ts";
import { concat } from "./concat.ts";
import { conv2dInputGradient } from "./conv2d/conv2d_input_gradient.ts";
import { add, sub } from "./elementwise/add.ts";
import { broadcastShape } from "./elementwise/broadcast.ts";
import { clamp } from "./elementwise/clamp.ts";
import { erf } from "./elementwise/erf.ts";
import { exp } from "./elementwise/exp.ts";
import { gelu } from "./elementwise/gelu.ts";
import { log } from "./elementwise/log.ts";
import { mul } from "./elementwise/mul.ts";
import { power } from "./elementwise/power.ts";
import { relu } from "./elementwise/relu.ts";
import { silu } from "./elementwise/silu.ts";
import { tanh } from "./elementwise/tanh.ts";
import { expand } from "./expand.ts";
import { gather } from "./gather.ts";
import { linear } from "./linear/linear.ts";
import { matmul } from "./matmul.ts";
import { layerNorm } from "./norm/layernorm.ts";
import { lrn } from "./norm/lrn.ts";
import {
  four,
  images,
  inTwo,
  LOWEST,
  madeBy,
  multiply,
  near,
  onnxReaders,
  pixels,
  read,
  reduced,
  refuse,
  scaled,
  shaped,
  turned,
  two,
  unary,
  windows,
} from "./onnx_import.ts";
import { pad } from "./pad.ts";
import { maxPool2d } from "./pool2d/maxpool2d.ts";
import { reshape } from "./reshape.ts";
import { resized } from "./resize_onnx.ts";
import { slice } from "./slice.ts";
import { sum } from "./sum.ts";

// ONNX's operators that few nets of images have: loaded for a model that has one of them.

function transposedConvolution(call: OnnxCall): Value {
  const x = images(call);
  const w = call.value(1);
  const { stride, dilation, padding: given } = windows(call, x.shape, w.shape.slice(2));
  const extra = call.list("output_padding", [0, 0]);
  const auto = call.text("auto_pad", "NOTSET");
  const same = auto.startsWith("SAME") ? stride.map((step, d) => x.shape[2 + d] * step) : undefined;
  const wanted = call.list("output_shape")?.slice(-2) ?? same;
  const whole = [0, 1].map((d) => stride[d] * (x.shape[2 + d] - 1) + dilation[d] * (w.shape[2 + d] - 1) + 1);
  // What is cut off, which the padding says or the size.
  const cut = whole.map((size, d) => (wanted ? Math.max(0, size + extra[d] - wanted[d]) : given[d] + given[2 + d]));
  const first = cut.map((side, d) => {
    if (!wanted) return given[d];
    return auto === "SAME_LOWER" ? Math.ceil(side / 2) : Math.floor(side / 2);
  });
  const y = conv2dInputGradient(x, w, {
    stride: two(stride),
    dilation: two(dilation),
    padding: four([...first, ...cut.map((side, d) => side - first[d])]),
    groups: call.number("group", 1),
    size: two(wanted ?? whole.map((size, d) => size + extra[d] - cut[d])),
  });
  return call.has(2) ? add(y, perChannel(call.value(2), y)) : y;
}

/** A parameter of one value per channel, for images and what else has its channels in dimension 1. */
const perChannel = (x: Value, { shape }: Value): Value => shaped(x, [shape[1], ...shape.slice(2).map(() => 1)]);

function product(call: OnnxCall): Value {
  let [a, b] = [call.value(0), call.value(1)];
  if (isParam(b) && b.shape.length === 2) return linear(a, turned(b));
  const [row, column] = [a.shape.length === 1, b.shape.length === 1];
  if (row) a = shaped(a, [1, ...a.shape]);
  if (column) b = shaped(b, [...b.shape, 1]);
  const y = matmul(a, b);
  const shape = y.shape.filter((_, d) => !(row && d === y.shape.length - 2) && !(column && d === y.shape.length - 1));
  return shaped(y, shape);
}

/** What a product of matrices is times a number, which it takes in. */
function scaledProduct(x: Value, factor: number): Value | undefined {
  const node = madeBy(x, matmul);
  if (!node) return undefined;
  const { scale } = node.options as typeof matmul.options;
  return matmul(read(x, node, "a"), read(x, node, "b"), { scale: scale * factor });
}

function division(call: OnnxCall): Value {
  const [a, b] = [call.value(0), call.value(1)];
  const factor = call.scalar(1);
  if (factor !== undefined) return scaledProduct(a, 1 / factor) ?? scaled(call, a, 1 / factor, "inverse");
  if (isParam(b))
    return mul(
      a,
      deriveParam(b, "inverted", b.shape, (tensor) => tensor.map((v) => 1 / v)),
    );
  return mul(a, power(b, { exponent: -1 }));
}

function gathered(call: OnnxCall): Value {
  const x = call.value(0);
  const dim = axisOf(call.number("axis", 0), x.shape.length);
  const place = call.scalar(1);
  if (place === undefined) return gather(x, call.value(1), { dim });
  const start = place < 0 ? place + x.shape[dim] : place;
  const one = slice(x, { dim, start, end: start + 1 });
  return reshape(one, {
    shape: [...x.shape.slice(0, dim), ...(call.operands[1]?.shape ?? []), ...x.shape.slice(dim + 1)],
  });
}

/** The number that a value is, if it is a parameter of a single one that the file says. */
function numberOf({ graph, id, shape }: Value): number | undefined {
  const node = graph.nodes[id];
  const isNumber = node.kind === "param" && node.from?.sources.length === 0 && sizeOf(shape) === 1;
  return isNumber ? node.from?.compute()[0] : undefined;
}

/** Both orders of the operands of a node. */
function* operands(x: Value, kernel: { readonly name: string }): Generator<readonly [Value, Value]> {
  const node = madeBy(x, kernel);
  if (!node) return;
  const [a, b] = [read(x, node, "a"), read(x, node, "b")];
  yield [a, b];
  yield [b, a];
}

/** x, of 1 + erf(x / sqrt(2)). */
function gaussOf(factor: Value): Value | undefined {
  for (const [error, one] of operands(factor, add)) {
    const node = numberOf(one) === 1 ? madeBy(error, erf) : undefined;
    if (!node) continue;
    for (const [x, root] of operands(read(error, node, "x"), mul)) if (near(numberOf(root), Math.SQRT1_2)) return x;
  }
  return undefined;
}

/** A product, a scaled one of matrices, or gelu where exporters spell it as several operators of which this is the last. */
function multiplyOrGelu(call: OnnxCall): Value {
  const [a, b] = [call.value(0), call.value(1)];
  for (const [x, factor] of [
    [a, b],
    [b, a],
  ]) {
    const [gauss, number] = [gaussOf(factor), numberOf(factor)];
    const product = number === undefined ? undefined : scaledProduct(x, number);
    if (product) return product;
    for (const [inner, other] of operands(x, mul)) {
      if (gauss && inner.id === gauss.id && near(numberOf(other), 0.5)) return gelu(inner);
      if (near(number, 0.5) && gaussOf(other)?.id === inner.id) return gelu(inner);
    }
  }
  return multiply(call);
}

/** x seen as [1, A, size, B] around a dimension, and back. */
function along(x: Value, axis: number, f: (rows: Value) => Value): Value {
  const { shape } = x;
  const rows = reshape(x, { shape: [1, sizeOf(shape.slice(0, axis)), shape[axis], sizeOf(shape.slice(axis + 1))] });
  const y = f(rows);
  return reshape(y, { shape: shape.with(axis, y.shape[2]) });
}

function padded(call: OnnxCall): Value {
  let x = call.value(0);
  const rank = x.shape.length;
  const given = call.integers("pads", 1) ?? [];
  const axes = (call.known(3) ?? x.shape.map((_, d) => d)).map((axis) => axisOf(axis, rank));
  const [before, after] = [x.shape.map(() => 0), x.shape.map(() => 0)];
  axes.forEach((axis, i) => {
    [before[axis], after[axis]] = [given[i] ?? 0, given[axes.length + i] ?? 0];
  });
  const mode = call.text("mode", "constant");
  const value = call.opset < 11 ? call.number("value", 0) : (call.known(2)?.[0] ?? 0);
  const isPadded = (d: number) => before[d] !== 0 || after[d] !== 0;
  if (mode === "constant") {
    const finite = Math.max(LOWEST, Math.min(value, -LOWEST));
    if (rank === 4 && !isPadded(0) && !isPadded(1) && (isPadded(2) || isPadded(3)))
      return pad(x, { padding: four([before[2], before[3], after[2], after[3]]), value: finite });
    for (let d = 0; d < rank; d++) {
      const padding = [before[d], 0, after[d], 0] as const;
      if (isPadded(d)) x = along(x, d, (rows) => pad(rows, { padding, value: finite }));
    }
    return x;
  }
  if (!["reflect", "edge", "wrap"].includes(mode)) refuse(`of mode ${mode}`);
  for (let d = 0; d < rank; d++) {
    if (!isPadded(d)) continue;
    const size = x.shape[d];
    const places = Array.from({ length: checkedSize(size + before[d] + after[d]) }, (_, i) => {
      const at = i - before[d];
      if (mode === "edge") return Math.min(Math.max(at, 0), size - 1);
      if (mode === "wrap") return ((at % size) + size) % size;
      const period = Math.max(1, 2 * (size - 1));
      const place = ((at % period) + period) % period;
      return place < size ? place : period - place;
    });
    x = picked(call, x, d, places);
  }
  return x;
}

/** A size that a table may have. */
const checkedSize = (size: number): number => (size > 0 && size <= 65536 ? size : refuse(`of ${size} places`));

/** x at some places of a dimension. */
const picked = (call: OnnxCall, x: Value, dim: number, places: readonly number[]): Value =>
  gather(
    x,
    call.constant(`places of ${dim}`, [places.length], () => places),
    { dim },
  );

function sliced(call: OnnxCall): Value {
  let x = call.value(0);
  for (const { axis, start, count, step } of partsOf(call, x.shape)) {
    if (step === 1 && count === x.shape[axis]) continue;
    const end = start + (count - 1) * step + 1;
    if (step > 0) x = slice(x, { dim: axis, start, end, step });
    else
      x = picked(
        call,
        x,
        axis,
        Array.from({ length: checkedSize(count) }, (_, i) => start + i * step),
      );
  }
  return x;
}

/** The larger of two values, as it stands in one of them. */
function larger(a: Value, b: Value): Value {
  const shape = broadcastShape("max", a.shape, b.shape);
  const spread = (x: Value) => (sameShape(x.shape, shape) ? x : expand(x, { shape }));
  const both = [a, b].map((x) => reshape(spread(x), { shape: [1, ...shape] }));
  return largest(concat(...both, { dim: 0 }), { dims: [0], keepDim: false });
}

/** The larger (or smaller) of values, of which one may be a number. */
const extreme =
  (end: "low" | "high"): OnnxReader =>
  (call) => {
    const i = [0, 1].find((input) => call.scalar(input) !== undefined);
    if (call.operands.length === 2 && i !== undefined) return clamp(call.value(1 - i), { [end]: call.scalar(i) });
    const values = call.values();
    return end === "low" ? values.reduce(larger) : negative(values.map(negative).reduce(larger));
  };

const square = (x: Value): Value => mul(x, x);
const root = (x: Value): Value => power(x, { exponent: 0.5 });
export const negative = (x: Value): Value => sub(clamp(x, { low: 0, high: 0 }), x);

const largest = (
  x: Value,
  { dims, keepDim }: { readonly dims: readonly number[]; readonly keepDim: boolean },
): Value => {
  const y = dims.reduce((z, d) => along(z, d, (rows) => maxPool2d(rows, { kernel: [rows.shape[2], 1] })), x);
  return keepDim ? y : reshape(y, { shape: x.shape.filter((_, d) => !dims.includes(d)) });
};

export const absolute = (x: Value): Value => sub(relu(x), clamp(x, { high: 0 }));

/** Normalizes all that follows the first dimensions of x under a shape; weighs and shifts these, or x's channels. */
function normalized(call: OnnxCall, x: Value, shape: Shape, affine: Shape = x.shape): Value {
  const eps = call.number("epsilon", 1e-5);
  const y = reshape(layerNorm(reshape(x, { shape }), { eps, normalizedShape: shape.slice(2) }), { shape: affine });
  return reshape(add(mul(y, perChannel(call.value(1), y)), perChannel(call.value(2), y)), { shape: x.shape });
}

export const moreOnnxReaders: OnnxReaders = {
  ...onnxReaders,
  Mul: multiplyOrGelu,
  Slice: sliced,
  Pad: padded,
  ConvTranspose: inTwo("ConvTranspose", transposedConvolution),
  LRN(call) {
    const size = call.number("size", 1);
    if (size % 2 === 0) refuse("of an even size");
    const [alpha, beta, k] = [call.number("alpha", 1e-4), call.number("beta", 0.75), call.number("bias", 1)];
    return lrn(call.value(0), { size, alpha, beta, k });
  },
  InstanceNormalization: (call) => normalized(call, call.value(0), call.value(0).shape),
  GroupNormalization(call) {
    const x = call.value(0);
    const groups = call.number("num_groups", 1);
    const shape = [x.shape[0], groups, sizeOf(x.shape.slice(1)) / groups];
    // Before opset 21 the scale was one per group.
    return normalized(call, x, shape, call.opset < 21 ? shape : x.shape);
  },
  LayerNormalization(call) {
    const x = call.value(0);
    const normalizedShape = x.shape.slice(axisOf(call.number("axis", -1), x.shape.length));
    return layerNorm(x, call.value(1), call.optional(2), { normalizedShape, eps: call.number("epsilon", 1e-5) });
  },
  Max: extreme("low"),
  Min: extreme("high"),
  Neg: unary(negative),
  Sqrt: unary(root),
  Reciprocal: unary((x) => power(x, { exponent: -1 })),
  Exp: unary(exp),
  Erf: unary(erf),
  Pow: (call) => power(call.value(0), { exponent: call.scalar(1) ?? refuse("to a power that is no number") }),
  Gelu(call) {
    const x = call.value(0);
    if (call.text("approximate", "none") === "none") return gelu(x);
    const cube = scaled(call, power(x, { exponent: 3 }), 0.044715, "cube");
    const curve = tanh(scaled(call, add(x, cube), Math.sqrt(2 / Math.PI), "root"));
    const half = scaled(call, x, 0.5, "half");
    return add(half, mul(half, curve));
  },
  Tile(call) {
    const x = call.value(0);
    const repeats = call.known(1) ?? [];
    const most = Math.max(...repeats);
    if (repeats.length !== x.shape.length || !(most <= 256)) refuse(`of ${most} copies`);
    return repeats.reduce(
      (y, count, dim) => (count > 1 ? concat(...Array.from({ length: count }, () => y), { dim }) : y),
      x,
    );
  },
  Resize: resized,
  Upsample: resized,
  ReduceSum: reduced(sum),
  ReduceSumSquare: reduced((x, options) => sum(square(x), options)),
  ReduceMax: reduced(largest),
  ReduceMin: reduced((x, options) => negative(largest(negative(x), options))),
  GlobalMaxPool: unary((x) => largest(x, { dims: pixels(x), keepDim: true })),
  MatMul: product,
  Div: division,
  PRelu(call) {
    const x = call.value(0);
    return add(relu(x), mul(clamp(x, { high: 0 }), call.value(1)));
  },
  Swish: (call) => (call.number("alpha", 1) === 1 ? silu(call.value(0)) : refuse("with an alpha")),
  Expand(call) {
    const x = call.value(0);
    const wanted = call.known(1) ?? [];
    const rank = Math.max(wanted.length, x.shape.length);
    const size = (shape: Shape, d: number) => shape[d - rank + shape.length] ?? 1;
    const shape = Array.from({ length: rank }, (_, d) => Math.max(size(wanted, d), size(x.shape, d)));
    return sameShape(shape, x.shape) ? x : expand(x, { shape });
  },
  Gather: gathered,
  Abs: unary(absolute),
  Log: unary(log),
};
