import type { Known, OnnxCall, OnnxReader, OnnxReaders, Operand } from "../engine/graph/onnx_call.ts";
import { Value } from "../engine/graph/value.ts";
import { sameShape, sizeOf } from "../engine/ground/tensor.ts";
import { add, sub } from "./elementwise/add.ts";
import { clamp } from "./elementwise/clamp.ts";
import { exp } from "./elementwise/exp.ts";
import { hardSigmoid } from "./elementwise/hardsigmoid.ts";
import { log } from "./elementwise/log.ts";
import { mul } from "./elementwise/mul.ts";
import { power } from "./elementwise/power.ts";
import { relu } from "./elementwise/relu.ts";
import { sigmoid } from "./elementwise/sigmoid.ts";
import { tanh } from "./elementwise/tanh.ts";
import { expand } from "./expand.ts";
import { gather } from "./gather.ts";
import { normalize } from "./norm/normalize.ts";
import { images, madeBy, read, reduced, refuse, scaled } from "./onnx_import.ts";
import { absolute, moreOnnxReaders, negative } from "./onnx_import_more.ts";
import { permute } from "./permute.ts";
import { reshape } from "./reshape.ts";
import { sum } from "./sum.ts";

// ONNX's operators that hardly any net of images has, quantized ones among them: loaded for a model that has one of them.

/** True for what is never negative, as far as that can be seen. */
const isPositive = (x: Value): boolean => [relu, sigmoid, hardSigmoid].some((kernel) => madeBy(x, kernel));

function quantized(call: OnnxCall): Value {
  call.note(
    "QuantizeLinear and DequantizeLinear of activations are left out: they keep the precision that the model was quantized from",
  );
  const x = call.value(0);
  const zero = call.operands[2];
  const least = { U8: 0, I8: -128, U16: 0, I16: -32768 }[(zero && "dtype" in zero && zero.dtype) || "U8"];
  // All that is negative becomes zero where the numbers begin there: exporters leave out a relu in front of it.
  const isCut = (call.known(2) ?? [0])[0] === least && !isPositive(x);
  // A view, by which DequantizeLinear knows that it is none of integers.
  return isCut ? relu(x) : x.graph.reshape(x, x.shape);
}

function dequantized(call: OnnxCall): Value {
  const x = call.value(0);
  const node = x.graph.nodes[x.id];
  if (node.kind === "param") refuse("of what the model itself does not quantize");
  // What comes from outside are integers.
  if (node.kind === "input") {
    if (call.scalar(1) === undefined) refuse("of an input, with more than one scale");
    return mul(call.has(2) ? sub(x, call.value(2)) : x, call.value(1));
  }
  return node.kind === "view" && sameShape(x.graph.nodes[node.x].shape, x.shape) ? x.graph.value(node.x) : x;
}

/** An operator on so many quantized values, each with its scale and its zero, which those of the output follow. */
const onQuantized =
  (op: string, count: number): OnnxReader =>
  (call) => {
    if (call.number("channels_last", 0) === 1) refuse("with its channels last");
    const values = Array.from({ length: count }, (_, i) =>
      call.apply("DequantizeLinear", call.operands.slice(3 * i, 3 * i + 3)),
    );
    return call.apply("QuantizeLinear", [
      call.apply(op, values, call.attributes),
      ...call.operands.slice(3 * count, 3 * count + 2),
    ]);
  };

/** The integers of a bias stand for their multiples of both scales. */
const biasOf = (call: OnnxCall, bias: Operand): Operand => {
  const scale = bias && call.apply("Mul", [call.operands[1], call.operands[4]]);
  return bias && call.apply("DequantizeLinear", [bias, scale], { axis: 0 });
};

function quantizedConvolution(call: OnnxCall): Operand {
  const [x, xScale, xZero, w, wScale, wZero, yScale, yZero, b] = call.operands;
  const images = call.apply("DequantizeLinear", [x, xScale, xZero]);
  const filters = call.apply("DequantizeLinear", [w, wScale, wZero], { axis: 0 });
  const y = call.apply("Conv", [images, filters, biasOf(call, b)], call.attributes);
  return call.apply("QuantizeLinear", [y, yScale, yZero]);
}

function quantizedGemm(call: OnnxCall): Operand {
  const [a, aScale, aZero, b, bScale, bZero, c, yScale, yZero] = call.operands;
  const axis = 1 - call.number("transB", 0);
  const x = call.apply("DequantizeLinear", [a, aScale, aZero]);
  const w = call.apply("DequantizeLinear", [b, bScale, bZero], { axis });
  const y = call.apply("Gemm", [x, w, biasOf(call, c)], call.attributes);
  return yScale ? call.apply("QuantizeLinear", [y, yScale, yZero]) : y;
}

function quantizedConcat(call: OnnxCall): Operand {
  const [scale, zero, ...parts] = call.operands;
  const values = parts.flatMap((_, i) => (i % 3 === 0 ? [call.apply("DequantizeLinear", parts.slice(i, i + 3))] : []));
  return call.apply("QuantizeLinear", [call.apply("Concat", values, call.attributes), scale, zero]);
}

/** Zeros of DynamicQuantizeLinear, whose integers are numbers here. */
const dynamic = new WeakSet<Known>();

function dynamicallyQuantized(call: OnnxCall): Operand[] {
  call.note("DynamicQuantizeLinear is left out: activations keep the precision that the model was quantized from");
  const [scale, zero] = [call.apply("Constant", [], { value_float: 1 }), call.apply("Constant", [], { value_int: 0 })];
  dynamic.add(zero as Known);
  return [call.value(0), scale, zero];
}

/** The numbers of an operand of an operator on integers, less its zero. */
function lessZero(call: OnnxCall, input: number, axis: number): Operand {
  const [x, zero] = [call.operands[input], call.operands[input + 2]];
  if (dynamic.has(zero as Known)) return x;
  if (!(x instanceof Value))
    return call.apply("DequantizeLinear", [x, call.apply("Constant", [], { value_float: 1 }), zero], { axis });
  const isInput = x.graph.nodes[x.id].kind === "input" && (!zero || call.scalar(input + 2) !== undefined);
  if (!isInput) refuse("of what DynamicQuantizeLinear does not make");
  return zero ? sub(x, call.value(input + 2)) : x;
}

const onIntegers =
  (op: string, axis: number): OnnxReader =>
  (call) =>
    call.apply(op, [lessZero(call, 0, 0), lessZero(call, 1, axis)], call.attributes);

/** Einstein's sum over one or two values, which is a product of matrices between transpositions. */
function einsum(call: OnnxCall): Operand {
  const [given, result] = call.text("equation", "").replace(/\s/g, "").split("->");
  const terms = given.split(",").map((term) => [...term]);
  const once = terms.flat().filter((letter) => given.split(letter).length === 2);
  const wanted = result === undefined ? once.sort() : [...result];
  const [a, b] = call.operands;
  const [rowsOfA, ofB = []] = terms;
  const isPlain = [...terms, wanted].every(
    (term) => new Set(term).size === term.length && /^[a-z]*$/i.test(term.join("")),
  );
  const fits = terms.every((term, i) => call.operands[i]?.shape.length === term.length);
  if (!isPlain || !fits || terms.length > 2 || terms.length !== call.operands.length)
    refuse("of more than two values, of a diagonal or with dimensions that have no letters");
  const sizes = new Map(terms.flatMap((term, i) => term.map((letter, d) => [letter, call.operands[i]?.shape[d] ?? 1])));
  const sizesOf = (letters: readonly string[]) => letters.map((letter) => sizes.get(letter) ?? 1);
  const shaped = (x: Operand, shape: readonly number[]) =>
    call.apply("Reshape", [x, call.apply("Constant", [], { value_ints: shape })]);
  const ordered = (x: Operand, from: readonly string[], to: readonly string[]) =>
    call.apply("Transpose", [x], { perm: to.map((letter) => from.indexOf(letter)) });
  /** Without the dimensions that no one else has. */
  const summed = (x: Operand, own: readonly string[], others: readonly string[]) => {
    const axes = own.flatMap((letter, d) => (others.includes(letter) ? [] : [d]));
    const left = own.filter((letter) => others.includes(letter));
    return [axes.length > 0 ? call.apply("ReduceSum", [x], { axes, keepdims: 0 }) : x, left] as const;
  };
  const [x, of] = summed(a, rowsOfA, [...wanted, ...ofB]);
  if (!b) return ordered(x, of, wanted);
  const [y, by] = summed(b, ofB, [...wanted, ...of]);
  const both = of.filter((letter) => by.includes(letter));
  const batch = both.filter((letter) => wanted.includes(letter));
  const inner = both.filter((letter) => !wanted.includes(letter));
  const [rows, columns] = [of, by].map((term) => term.filter((letter) => !both.includes(letter)));
  const matrix = (value: Operand, term: readonly string[], m: readonly string[], n: readonly string[]) =>
    shaped(ordered(value, term, [...batch, ...m, ...n]), [...sizesOf(batch), sizeOf(sizesOf(m)), sizeOf(sizesOf(n))]);
  const product = call.apply("MatMul", [matrix(x, of, rows, inner), matrix(y, by, inner, columns)]);
  const order = [...batch, ...rows, ...columns];
  return ordered(shaped(product, sizesOf(order)), order, wanted);
}

/** Parts of x at constant places, which its first dimensions are counted through for. */
function gatheredParts(call: OnnxCall): Value {
  const x = call.value(0);
  const [indices, all] = [call.known(1) ?? [], call.operands[1]?.shape ?? []];
  const depth = all.at(-1) ?? 0;
  const [first, rest] = [x.shape.slice(0, depth), x.shape.slice(depth)];
  if (call.number("batch_dims", 0) !== 0 || first.length !== depth) refuse("of batches");
  const places = () =>
    Array.from({ length: indices.length / depth }, (_, i) =>
      first.reduce((at, size, d) => at * size + ((indices[i * depth + d] + size) % size), 0),
    );
  const at = call.constant("places", [indices.length / depth], places);
  const parts = gather(reshape(x, { shape: [sizeOf(first), ...rest] }), at, { dim: 0 });
  return reshape(parts, { shape: [...all.slice(0, -1), ...rest] });
}

/** x / max(its length along its last dimension, eps), of which this is the division. */
function normalized(call: OnnxCall): Value | undefined {
  const [x, by] = [call.value(0), call.value(1)];
  const spread = madeBy(by, expand);
  const length = spread ? read(by, spread, "x") : by;
  const least = madeBy(length, clamp);
  const root = least && madeBy(read(length, least, "x"), power);
  const total = root && madeBy(x.graph.value(root.inputs.x), sum);
  const square = total && madeBy(x.graph.value(total.inputs.x), mul);
  if (!square || square.inputs.a !== x.id || square.inputs.b !== x.id) return undefined;
  const { low, high, exponent, dims, keepDim } = { ...least.options, ...root.options, ...total.options } as Options;
  const isLength = exponent === 0.5 && keepDim && String(dims) === String([x.shape.length - 1]);
  return isLength && low >= 0 && high === Infinity ? normalize(x, { eps: low }) : undefined;
}

type Options = typeof clamp.options & typeof power.options & typeof sum.options;

/** What was normalized times a factor per row. */
function weighed(call: OnnxCall): Value | undefined {
  const [a, b] = [call.value(0), call.value(1)];
  for (const [y, scale] of [
    [a, b],
    [b, a],
  ]) {
    const node = madeBy(y, normalize);
    if (node && !node.inputs.scale && sameShape(scale.shape, [y.shape.at(-2) ?? 0, 1]))
      return normalize(read(y, node, "x"), scale, node.options as typeof normalize.options);
  }
  return undefined;
}

/** Where x is negative, `scale` (e^(x / alpha) - 1). */
function exponential(call: OnnxCall, alpha: number, scale: number): Value {
  const x = call.value(0);
  const e = exp(scaled(call, clamp(x, { high: 0 }), 1 / alpha, "alpha"));
  const one = call.constant("one", [], () => [1]);
  return add(relu(x), scaled(call, sub(e, one), scale, "scale"));
}

/** Blocks of a depth as pixels, or the other way round. */
const blocks =
  (isDeep: boolean): OnnxReader =>
  (call) => {
    const [n, c, h, w] = images(call).shape;
    const b = call.number("blocksize", 1);
    const x = images(call);
    if (!isDeep) {
      const dims = call.text("mode", "DCR") === "CRD" ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4];
      const parts = permute(reshape(x, { shape: [n, c, h / b, b, w / b, b] }), { dims });
      return reshape(parts, { shape: [n, c * b * b, h / b, w / b] });
    }
    const isColumns = call.text("mode", "DCR") === "CRD";
    const shape = isColumns ? [n, c / b / b, b, b, h, w] : [n, b, b, c / b / b, h, w];
    const parts = permute(reshape(x, { shape }), { dims: isColumns ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2] });
    return reshape(parts, { shape: [n, c / b / b, h * b, w * b] });
  };

/** log(1 + e^x). */
function softplus(call: OnnxCall): Value {
  const x = call.value(0);
  const one = call.constant("one", [], () => [1]);
  return add(relu(x), log(add(exp(negative(absolute(x))), one)));
}

export const restOnnxReaders: OnnxReaders = {
  ...moreOnnxReaders,
  QuantizeLinear: quantized,
  DequantizeLinear: dequantized,
  QLinearConv: quantizedConvolution,
  QLinearMatMul: onQuantized("MatMul", 2),
  "com.microsoft.QLinearAdd": onQuantized("Add", 2),
  "com.microsoft.QLinearMul": onQuantized("Mul", 2),
  "com.microsoft.QLinearAveragePool": onQuantized("AveragePool", 1),
  "com.microsoft.QLinearGlobalAveragePool": onQuantized("GlobalAveragePool", 1),
  "com.microsoft.QLinearSigmoid": onQuantized("Sigmoid", 1),
  "com.microsoft.QLinearLeakyRelu": onQuantized("LeakyRelu", 1),
  "com.microsoft.QLinearConcat": quantizedConcat,
  "com.microsoft.QGemm": quantizedGemm,
  DynamicQuantizeLinear: dynamicallyQuantized,
  ConvInteger: onIntegers("Conv", 0),
  MatMulInteger: onIntegers("MatMul", 1),
  Einsum: einsum,
  GatherND: gatheredParts,
  Elu: (call) => exponential(call, 1, call.number("alpha", 1)),
  Celu: (call) => exponential(call, call.number("alpha", 1), call.number("alpha", 1)),
  Selu(call) {
    const [alpha, gamma] = [call.number("alpha", 1.6732632423543772), call.number("gamma", 1.0507009873554805)];
    return scaled(call, exponential(call, 1, alpha), gamma, "gamma");
  },
  Softplus: softplus,
  Mish: (call) => mul(call.value(0), tanh(softplus(call))),
  Mean: (call) =>
    scaled(
      call,
      call.values().reduce((a, b) => add(a, b)),
      1 / call.values().length,
      "count",
    ),
  DepthToSpace: blocks(true),
  SpaceToDepth: blocks(false),
  ReduceL2: reduced((x, options) => power(sum(mul(x, x), options), { exponent: 0.5 })),
  Div: (call) => normalized(call) ?? moreOnnxReaders.Div(call),
  Mul: (call) => weighed(call) ?? moreOnnxReaders.Mul(call),
};
