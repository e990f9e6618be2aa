// Our nets as TensorFlow Lite models, which LiteRT.js reads. Its operators are those of tfjs, but for filters' layouts: what
// tfjs.ts says to tfjs is recorded, and written with npm flatbuffers.
import { UsageError } from "../../engine/ground/errors.ts";
import { NHWC, permuteShape, type Shape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import type { ByteSource } from "../../engine/weights/checkpoint.ts";
import type { Job } from "./engines.ts";
import { checkOperators, evaluate, loadParams, traceForPeer } from "./graph.ts";
import type { Pair } from "./places.ts";
import {
  type Convolution,
  dialectOf,
  type FusedActivation,
  type Operand,
  PASSES,
  type Padding,
  type Tf,
  type TfTensor,
  upload,
} from "./tfjs.ts";

type Field = readonly ["int8" | "int32" | "float32", number] | readonly ["int32s", readonly number[]];

/** An operator by its number in the schema's BuiltinOperator, with its options by their number in BuiltinOptions. */
interface Code {
  readonly name: string;
  readonly code: number;
  readonly options: number;
}

const code = (name: string, code: number, options = 0): Code => ({ name, code, options });

const ADD = code("ADD", 0, 11);
const AVERAGE_POOL_2D = code("AVERAGE_POOL_2D", 1, 5);
const CONCATENATION = code("CONCATENATION", 2, 10);
const CONV_2D = code("CONV_2D", 3, 1);
const DEPTHWISE_CONV_2D = code("DEPTHWISE_CONV_2D", 4, 2);
const FULLY_CONNECTED = code("FULLY_CONNECTED", 9, 8);
const LOCAL_RESPONSE_NORMALIZATION = code("LOCAL_RESPONSE_NORMALIZATION", 13, 13);
const LOGISTIC = code("LOGISTIC", 14);
const MAX_POOL_2D = code("MAX_POOL_2D", 17, 5);
const MUL = code("MUL", 18, 21);
const RELU = code("RELU", 19);
const RELU6 = code("RELU6", 21);
const RESHAPE = code("RESHAPE", 22, 17);
const SOFTMAX = code("SOFTMAX", 25, 9);
const TANH = code("TANH", 28);
const PAD = code("PAD", 34, 22);
const TRANSPOSE = code("TRANSPOSE", 39, 26);
const MEAN = code("MEAN", 40, 27);
const MAXIMUM = code("MAXIMUM", 55, 39);
const MINIMUM = code("MINIMUM", 57, 39);
const SLICE = code("SLICE", 65, 48);

/** Of the schema's enums Padding and ActivationFunctionType. */
const [SAME, VALID] = [0, 1];
const ACTIVATIONS: Readonly<Partial<Record<FusedActivation, number>>> = { linear: 0, relu: 1, relu6: 3 };

const int8 = (value: number): Field => ["int8", value];
const int32 = (value: number): Field => ["int32", value];
const float32 = (value: number): Field => ["float32", value];

/** A value that an operator makes; or a constant, whose dimension i is the one of its data that `order` has at i. */
interface Recorded extends TfTensor {
  readonly constant?: { readonly data: Float32Array | Int32Array; readonly shape: Shape; readonly order: Shape };
}

export interface TfliteOperator {
  readonly code: Code;
  readonly inputs: readonly TfTensor[];
  readonly output: TfTensor;
  readonly options: readonly Field[];
}

/** A model as tfjs's calls made it, in the order in which it runs. */
export interface TfliteModel {
  readonly operators: readonly TfliteOperator[];
  readonly input: TfTensor;
  readonly output: TfTensor;
}

const value = (shape: Shape, constant?: Recorded["constant"]): TfTensor => ({ shape, constant }) as unknown as Recorded;
const constantOf = (x: TfTensor) => (x as Recorded).constant;

const constant = (data: Float32Array | Int32Array, shape: Shape): TfTensor =>
  value(shape, { data, shape, order: [...shape.keys()] });

const int32s = (...values: readonly number[]): TfTensor => constant(Int32Array.from(values), [values.length]);

/** The elements of a constant in its own order. */
export function elementsOf(x: TfTensor): Float32Array | Int32Array {
  const { data, shape, order } = constantOf(x) as NonNullable<Recorded["constant"]>;
  if (order.every((d, i) => d === i)) return data;
  const steps = order.map((d) => sizeOf(shape.slice(d + 1)));
  const moved = data.slice();
  const [rank, at] = [order.length, new Array<number>(order.length).fill(0)];
  for (let i = 0, from = 0; i < moved.length; i++) {
    moved[i] = data[from];
    for (let d = rank - 1; d >= 0; d--) {
      from += steps[d];
      if (++at[d] < x.shape[d]) break;
      from -= at[d] * steps[d];
      at[d] = 0;
    }
  }
  return moved;
}

/** Whether zeros as TensorFlow's SAME has them are these. */
export const isSame = (size: Shape, kernel: Shape, stride: Pair, widths: readonly Pair[]): boolean =>
  widths.every(([before, behind], d) => {
    const total = Math.max((Math.ceil(size[d] / stride[d]) - 1) * stride[d] + kernel[d] - size[d], 0);
    return before === Math.floor(total / 2) && behind === total - before;
  });

/** A net with its weights as a model. Throws a UsageError for an operator that it cannot say. */
export async function recordTflite(
  job: Pick<Job, "net" | "shape" | "maxBinding">,
  weights: ByteSource,
): Promise<TfliteModel> {
  const { tf, operators } = recorder();
  const graph = traceForPeer(job, PASSES);
  const dialect = dialectOf(tf, "LiteRT.js");
  checkOperators(graph, dialect);
  const params = await loadParams(graph, weights, (param) => upload(tf, param));
  const input = value(permuteShape(job.shape, NHWC));
  const output = evaluate(graph, { tensor: input, order: NHWC }, params, dialect).tensor;
  return { operators, input, output };
}

/** A Tf that computes nothing but keeps the operators that it is asked for. */
function recorder(): { readonly tf: Tf; readonly operators: readonly TfliteOperator[] } {
  const operators: TfliteOperator[] = [];

  function call(code: Code, inputs: readonly TfTensor[], shape: readonly number[], options: Field[] = []): TfTensor {
    const output = value(shape);
    operators.push({ code, inputs, output, options });
    return output;
  }

  const tensorOf = (x: Operand): TfTensor => (typeof x === "number" ? constant(Float32Array.of(x), [1]) : x);

  const binary =
    (code: Code, options: Field[] = []) =>
    (a: Operand, b: Operand): TfTensor => {
      const [left, right] = [tensorOf(a), tensorOf(b)];
      const rank = Math.max(left.shape.length, right.shape.length);
      const [p, q] = [left, right].map(({ shape }) => [...Array(rank - shape.length).fill(1), ...shape]);
      return call(
        code,
        [left, right],
        p.map((length, d) => Math.max(length, q[d])),
        options,
      );
    };

  const unary = (code: Code) => (x: TfTensor) => call(code, [x], x.shape);

  const LINEAR = int8(0);
  const add = binary(ADD, [LINEAR]);
  const mul = binary(MUL, [LINEAR]);
  const sigmoid = unary(LOGISTIC);

  function reshape(x: TfTensor, to: Shape): TfTensor {
    const known = to.reduce((size, length) => (length < 0 ? size : size * length), 1);
    const shape = to.map((length) => (length < 0 ? sizeOf(x.shape) / known : length));
    if (sameShape(shape, x.shape)) return x;
    return constantOf(x)
      ? constant(elementsOf(x), shape)
      : call(RESHAPE, [x, int32s(...shape)], shape, [["int32s", shape]]);
  }

  function transpose(x: TfTensor, order: Shape): TfTensor {
    const shape = permuteShape(x.shape, order);
    const known = constantOf(x);
    if (known) return value(shape, { ...known, order: permuteShape(known.order, order) });
    return call(TRANSPOSE, [x, int32s(...order)], shape);
  }

  const pad = (x: TfTensor, widths: readonly Pair[]): TfTensor => {
    const shape = x.shape.map((length, d) => length + widths[d][0] + widths[d][1]);
    return call(PAD, [x, constant(Int32Array.from(widths.flat()), [widths.length, 2])], shape);
  };

  /** An image with zeros around it for a window, unless the window brings them as SAME; and the size of what it makes. */
  function padded(image: TfTensor, padding: Padding, kernel: Shape, stride: Pair) {
    const widths = padding === "valid" ? [] : padding.slice(1, 3);
    const isAround = widths.length > 0 && isSame(image.shape.slice(1, 3), kernel, stride, widths);
    const x = padding === "valid" || isAround ? image : pad(image, padding);
    const size = image.shape.slice(1, 3).map((length, d) => {
      const [before, behind] = widths[d] ?? [0, 0];
      return Math.floor((length + before + behind - kernel[d]) / stride[d]) + 1;
    });
    return { x, mode: isAround ? SAME : VALID, size };
  }

  /** Zeros around the maxima of what comes from a relu do no harm. Where they did, the logits would tell. */
  const pool =
    (code: Code) =>
    (image: TfTensor, kernel: Pair, stride: Pair, padding: Padding): TfTensor => {
      const { x, mode, size } = padded(image, padding, kernel, stride);
      const [n, , , c] = x.shape;
      const options = [int8(mode), int32(stride[1]), int32(stride[0]), int32(kernel[1]), int32(kernel[0]), LINEAR];
      return call(code, [x], [n, ...size, c], options);
    };

  /** A layer whose kernel has this activation, or one behind it. */
  const activated = (activation: FusedActivation, layer: (fused: Field) => TfTensor): TfTensor => {
    const fused = ACTIVATIONS[activation];
    return fused === undefined ? sigmoid(layer(LINEAR)) : layer(int8(fused));
  };

  const biasOf = (bias: TfTensor | undefined, channels: number): TfTensor =>
    bias ?? constant(new Float32Array(channels), [channels]);

  const convolve =
    (isDepthwise: boolean) =>
    ({ x: image, filter, strides, pad, dilations, bias, activation }: Convolution): TfTensor => {
      const [height, width, channels, outputs] = filter.shape;
      const kernel = [height, width].map((length, d) => (length - 1) * dilations[d] + 1);
      const { x, mode, size } = padded(image, pad, kernel, strides);
      const depth = isDepthwise ? channels : outputs;
      const w = transpose(filter, [3, 0, 1, 2]);
      return activated(activation, (fused) =>
        call(
          isDepthwise ? DEPTHWISE_CONV_2D : CONV_2D,
          [x, w, biasOf(bias, depth)],
          [x.shape[0], ...size, depth],
          [
            int8(mode),
            int32(strides[1]),
            int32(strides[0]),
            ...(isDepthwise ? [int32(1)] : []),
            fused,
            int32(dilations[1]),
            int32(dilations[0]),
          ],
        ),
      );
    };

  const lacks = (name: string) => (): never => {
    throw new UsageError(`bench/peers has no ${name} for LiteRT.js`);
  };

  const tf: Tf = {
    setBackend: async () => true,
    tidy: (work) => work(),
    tensor: constant,
    transpose,
    reshape,
    add,
    mul,
    maximum: binary(MAXIMUM),
    concat(tensors, dim) {
      const joined = tensors.reduce((sum, { shape }) => sum + shape[dim], 0);
      return call(CONCATENATION, tensors, tensors[0].shape.with(dim, joined), [int32(dim), LINEAR]);
    },
    slice: (x, begin, size) => call(SLICE, [x, int32s(...begin), int32s(...size)], size),
    pad,
    relu: unary(RELU),
    relu6: unary(RELU6),
    sigmoid,
    tanh: unary(TANH),
    clipByValue: (x, low, high) => binary(MINIMUM)(binary(MAXIMUM)(x, low), high),
    softmax: (x) => call(SOFTMAX, [x], x.shape, [float32(1)]),
    mean(x, dims, keepDims) {
      const kept = x.shape.map((length, d) => (dims.includes(d) ? 1 : length));
      const shape = keepDims ? kept : x.shape.filter((_, d) => !dims.includes(d));
      return call(MEAN, [x, int32s(...dims)], shape, [int8(Number(keepDims))]);
    },
    batchNorm(x, mean, variance, offset, scale, eps) {
      const [m, v, o, s] = [mean, variance, offset, scale].map((each) => each && elementsOf(each));
      const factor = Float32Array.from(v ?? [], (each, i) => (s?.[i] ?? 1) / Math.sqrt(each + eps));
      const term = factor.map((each, i) => (o?.[i] ?? 0) - each * (m?.[i] ?? 0));
      return add(mul(x, constant(factor, mean.shape)), constant(term, mean.shape));
    },
    maxPool: pool(MAX_POOL_2D),
    avgPool: pool(AVERAGE_POOL_2D),
    localResponseNormalization: (x, radius, k, alpha, beta) =>
      call(LOCAL_RESPONSE_NORMALIZATION, [x], x.shape, [int32(radius), float32(k), float32(alpha), float32(beta)]),
    fused: {
      conv2d: convolve(false),
      depthwiseConv2d: convolve(true),
      matMul({ a, b, bias, activation }) {
        const [rows, [, outputs]] = [a.shape[0], b.shape];
        const inputs = [a, transpose(b, [1, 0]), biasOf(bias, outputs)];
        return activated(activation, (fused) => call(FULLY_CONNECTED, inputs, [rows, outputs], [fused, int8(0)]));
      },
    },
    div: lacks("div"),
    broadcastTo: lacks("broadcastTo"),
    erf: lacks("erf"),
    norm: lacks("norm"),
    moments: lacks("moments"),
    matMul: lacks("matMul of two values"),
  };
  return { tf, operators };
}

/** What we use of npm `flatbuffers`. */
export interface Flatbuffers {
  readonly Builder: new (bytes: number) => Builder;
}

interface Builder {
  forceDefaults(all: boolean): void;
  prep(alignment: number, bytes: number): void;
  startObject(fields: number): void;
  addFieldInt8(slot: number, value: number, byDefault: number): void;
  addFieldInt32(slot: number, value: number, byDefault: number): void;
  addFieldFloat32(slot: number, value: number, byDefault: number): void;
  addFieldOffset(slot: number, value: number, byDefault: number): void;
  endObject(): number;
  startVector(bytes: number, length: number, alignment: number): void;
  addInt32(value: number): void;
  addOffset(value: number): void;
  endVector(): number;
  createByteVector(bytes: Uint8Array): number;
  createString(text: string): number;
  finish(root: number, identifier: string): void;
  asUint8Array(): Uint8Array;
}

/** A field that is a table, a vector or a text which stands elsewhere in the file. */
type Written = Field | readonly ["offset", number] | undefined;

/**
 * A model as the bytes of a .tflite file, by version 3 of the schema (tensorflow/lite/schema/schema.fbs). Fields stand in the
 * order in which the schema declares them.
 */
export function encodeTflite({ operators, input, output }: TfliteModel, { Builder }: Flatbuffers): Uint8Array {
  const tensors = [...new Set([input, ...operators.flatMap(({ inputs, output }) => [...inputs, output])])];
  const constants = tensors.filter(constantOf);
  const codes = [...new Set(operators.map(({ code }) => code))];
  const bytes = constants.reduce((sum, { shape }) => sum + 4 * sizeOf(shape) + 64, 0);
  const builder = new Builder(bytes + 1024 * (tensors.length + 1));
  builder.forceDefaults(true);

  const int32Vector = (values: readonly number[]): number => {
    builder.startVector(4, values.length, 4);
    for (const each of values.toReversed()) builder.addInt32(each);
    return builder.endVector();
  };
  const offsetVector = (offsets: readonly number[]): number => {
    builder.startVector(4, offsets.length, 4);
    for (const each of offsets.toReversed()) builder.addOffset(each);
    return builder.endVector();
  };
  const table = (...fields: readonly Written[]): number => {
    const placed = fields.map((field) => (field?.[0] === "int32s" ? offset(int32Vector(field[1])) : field));
    builder.startObject(fields.length);
    placed.forEach((field, slot) => {
      if (field?.[0] === "int8") builder.addFieldInt8(slot, field[1], 0);
      else if (field?.[0] === "int32") builder.addFieldInt32(slot, field[1], 0);
      else if (field?.[0] === "float32") builder.addFieldFloat32(slot, field[1], 0);
      else if (field?.[0] === "offset") builder.addFieldOffset(slot, field[1], 0);
    });
    return builder.endObject();
  };
  const offset = (at: number) => ["offset", at] as const;
  const text = (of: string) => offset(builder.createString(of));
  const tables = <T>(list: readonly T[], write: (each: T, i: number) => number) =>
    offset(offsetVector(list.map(write)));
  const ids = (list: readonly TfTensor[]): Field => ["int32s", list.map((each) => tensors.indexOf(each))];

  const buffers = constants.map((each) => {
    const { buffer, byteOffset, byteLength } = elementsOf(each);
    builder.prep(16, byteLength);
    return table(offset(builder.createByteVector(new Uint8Array(buffer, byteOffset, byteLength))));
  });
  // The first one is of all that is no constant.
  const allBuffers = offset(offsetVector([table(), ...buffers]));
  const allTensors = tables(tensors, (each, i) => {
    const known = constantOf(each);
    const type = known?.data instanceof Int32Array ? 2 : 0;
    return table(["int32s", each.shape], int8(type), int32(known ? 1 + constants.indexOf(each) : 0), text(`t${i}`));
  });
  const allOperators = tables(operators, ({ code, inputs, output, options }) => {
    const [type, own] = code.options ? [int8(code.options), offset(table(...options))] : [];
    return table(int32(codes.indexOf(code)), ids(inputs), ids([output]), type, own);
  });
  const graph = table(allTensors, ids([input]), ids([output]), allOperators, text("main"));
  // Its number stands twice: in the field of old, and in the one with room for more than 127.
  const allCodes = tables(codes, ({ code }) => table(int8(code), undefined, int32(1), int32(code)));
  const description = text("shadenet");
  builder.finish(table(int32(3), allCodes, offset(offsetVector([graph])), description, allBuffers), "TFL3");
  return builder.asUint8Array();
}
