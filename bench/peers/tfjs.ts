import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, NHWC, permuteShape, type Shape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import type { Activated, Activation } from "../../kernels/activation.ts";
import { geometry } from "../../kernels/conv2d/geometry.ts";
import { normalizedShape } from "../../kernels/norm/layernorm.ts";
import { axis } from "../../kernels/options.ts";
import { orderOf } from "../../kernels/permute.ts";
import { poolGeometry } from "../../kernels/pool2d/geometry.ts";
import { shiftsOf } from "../../kernels/roll.ts";
import type { Open } from "./engines.ts";
import {
  checkOperators,
  type Dialect,
  evaluate,
  loadParams,
  type Operator,
  type Param,
  splitGroups,
  traceForPeer,
} from "./graph.ts";
import type { Host } from "./host.ts";
import { toNhwc } from "./input.ts";
import { type Pair, padWidths, poolWidths, sliceStart } from "./places.ts";

export interface TfTensor {
  readonly shape: Shape;
  data(): Promise<Float32Array>;
  dispose(): void;
}

export type Padding = "valid" | readonly Pair[];
export type Operand = TfTensor | number;
export type FusedActivation = "linear" | "relu" | "relu6" | "sigmoid";

export interface Convolution {
  readonly x: TfTensor;
  readonly filter: TfTensor;
  readonly strides: Pair;
  readonly pad: Padding;
  readonly dilations: Pair;
  readonly bias?: TfTensor;
  readonly activation: FusedActivation;
}

/** What we use of npm `@tensorflow/tfjs-core`. Images are [N, H, W, C], filters [KH, KW, C, O] or [KH, KW, C, 1]. */
export interface Tf {
  setBackend(name: string): Promise<boolean>;
  tidy<T>(work: () => T): T;
  tensor(data: Float32Array, shape: Shape): TfTensor;
  transpose(x: TfTensor, order: readonly number[]): TfTensor;
  reshape(x: TfTensor, shape: Shape): TfTensor;
  add(a: Operand, b: Operand): TfTensor;
  mul(a: Operand, b: Operand): TfTensor;
  div(a: Operand, b: Operand): TfTensor;
  maximum(a: Operand, b: Operand): TfTensor;
  broadcastTo(x: TfTensor, shape: Shape): TfTensor;
  concat(tensors: readonly TfTensor[], dim: number): TfTensor;
  slice(x: TfTensor, begin: Shape, size: Shape): TfTensor;
  pad(x: TfTensor, widths: readonly Pair[]): TfTensor;
  relu(x: TfTensor): TfTensor;
  relu6(x: TfTensor): TfTensor;
  sigmoid(x: TfTensor): TfTensor;
  tanh(x: TfTensor): TfTensor;
  erf(x: TfTensor): TfTensor;
  clipByValue(x: TfTensor, low: number, high: number): TfTensor;
  softmax(x: TfTensor): TfTensor;
  mean(x: TfTensor, dims: readonly number[], keepDims: boolean): TfTensor;
  norm(x: TfTensor, order: "euclidean", dim: number, keepDims: boolean): TfTensor;
  moments(
    x: TfTensor,
    dims: number | readonly number[],
    keepDims: boolean,
  ): { readonly mean: TfTensor; readonly variance: TfTensor };
  batchNorm(
    x: TfTensor,
    mean: TfTensor,
    variance: TfTensor,
    offset: TfTensor | undefined,
    scale: TfTensor | undefined,
    eps: number,
  ): TfTensor;
  maxPool(x: TfTensor, kernel: Pair, stride: Pair, padding: Padding): TfTensor;
  avgPool(x: TfTensor, kernel: Pair, stride: Pair, padding: Padding): TfTensor;
  localResponseNormalization(x: TfTensor, radius: number, k: number, alpha: number, beta: number): TfTensor;
  matMul(a: TfTensor, b: TfTensor): TfTensor;
  readonly fused: {
    conv2d(call: Convolution): TfTensor;
    depthwiseConv2d(call: Convolution): TfTensor;
    matMul(call: {
      readonly a: TfTensor;
      readonly b: TfTensor;
      readonly bias?: TfTensor;
      readonly activation: FusedActivation;
    }): TfTensor;
  };
}

/**
 * A tensor whose dimension i is our order[i]. Images are NHWC, for which tfjs is made; a permutation is another order, and
 * nothing moves before an operator wants it to.
 */
export interface Ordered {
  readonly tensor: TfTensor;
  readonly order: readonly number[];
}

export async function openTfjs(host: Host): Promise<Tf> {
  await host.provideWebGpu();
  const tf = (await host.load("@tensorflow/tfjs-core")) as Tf;
  await host.load("@tensorflow/tfjs-backend-webgpu");
  if (!(await tf.setBackend("webgpu"))) throw new Error("tfjs did not take its backend webgpu");
  return tf;
}

export const open: Open = async (job, { shape, data }, host) => {
  const tf = await openTfjs(host);
  const graph = traceForPeer(job, PASSES);
  const dialect = dialectOf(tf);
  checkOperators(graph, dialect);
  const params = await loadParams(graph, await host.openFile(job.weights), (param) => upload(tf, param));
  // An application has its pixels in this order already.
  const pixels = toNhwc(data, shape);
  return async () => {
    const logits = tf.tidy(() => {
      const x = { tensor: tf.tensor(pixels, permuteShape(shape, NHWC)), order: NHWC };
      return evaluate(graph, x, params, dialect).tensor;
    });
    const values = await host.readBack(logits.data(), job.software);
    logits.dispose();
    return values;
  };
};

/** It has depthwise convolutions, but none with groups of several channels. */
export const PASSES = [splitGroups];

/** Weights in the order that tfjs wants, transposed once. */
export function upload(tf: Tf, { use, shape, data }: Param): Ordered {
  const order = ORDERS[use] ?? inOrder(shape.length);
  return { tensor: tf.tidy(() => tf.transpose(tf.tensor(data, shape), order)), order };
}

/** Filters of [KH, KW, C, O], and of [KH, KW, C, 1] for depthwise ones. */
const [DENSE, DEPTHWISE] = [
  [2, 3, 1, 0],
  [2, 3, 0, 1],
];

/** Of a linear layer's weights. */
const TRANSPOSED = [1, 0];

const ORDERS: Readonly<Record<string, readonly number[]>> = { "conv2d.w": DENSE, "linear.w": TRANSPOSED };

const inOrder = (rank: number): number[] => [...Array(rank).keys()];

/** The activations that its fused kernels have, by our names. */
const FUSED: Readonly<Partial<Record<Activation, FusedActivation>>> = {
  none: "linear",
  relu: "relu",
  relu6: "relu6",
  sigmoid: "sigmoid",
};

export function dialectOf(tf: Tf, engine = "tfjs"): Dialect<Ordered> {
  const hardsigmoid = (x: TfTensor) => tf.clipByValue(tf.add(tf.mul(x, 1 / 6), 0.5), 0, 1);
  const activations: Readonly<Record<Exclude<Activation, "none"> | "gelu", (x: TfTensor) => TfTensor>> = {
    relu: (x) => tf.relu(x),
    relu6: (x) => tf.relu6(x),
    silu: (x) => tf.mul(x, tf.sigmoid(x)),
    hardswish: (x) => tf.mul(x, hardsigmoid(x)),
    hardsigmoid,
    sigmoid: (x) => tf.sigmoid(x),
    tanh: (x) => tf.tanh(x),
    gelu: (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)),
  };

  const activate = ({ tensor, order }: Ordered, { activation }: Readonly<Activated>): Ordered =>
    activation === "none" ? { tensor, order } : { tensor: activations[activation](tensor), order };

  /** A layer with its activation, in one kernel where tfjs can. */
  function fuse(
    options: Readonly<Activated>,
    order: readonly number[],
    layer: (a: FusedActivation) => TfTensor,
  ): Ordered {
    const activation = FUSED[options.activation];
    const y = { tensor: layer(activation ?? "linear"), order };
    return activation ? y : activate(y, options);
  }

  /** The tensor in another order. It is not moved where only dimensions of 1 change their places. */
  function inThe(order: readonly number[], { tensor, order: was }: Ordered): TfTensor {
    if (sameShape(order, was)) return tensor;
    const from = order.map((d) => was.indexOf(d));
    const long = from.filter((i) => tensor.shape[i] > 1);
    const stays = long.every((i, at) => at === 0 || i > long[at - 1]);
    return stays ? tf.reshape(tensor, permuteShape(tensor.shape, from)) : tf.transpose(tensor, from);
  }

  const plain = (x: Ordered): TfTensor => inThe(inOrder(x.order.length), x);
  const reshape = (x: Ordered, to: Shape): Ordered => ({ tensor: tf.reshape(plain(x), to), order: inOrder(to.length) });

  /** An operator of two tensors, in the order of the larger one. */
  function broadcast(compute: (a: TfTensor, b: TfTensor) => TfTensor, a: Ordered, b: Ordered, y: Shape): Ordered {
    const operands = [a, b].map((x) => {
      const missing = y.length - x.order.length;
      return missing === 0 ? x : reshape(x, [...Array(missing).fill(1), ...plain(x).shape]);
    });
    const [{ order }] = operands.toSorted((p, q) => sizeOf(q.tensor.shape) - sizeOf(p.tensor.shape));
    const [left, right] = operands.map((x) => inThe(order, x));
    return { tensor: compute(left, right), order };
  }

  /** A matrix for each of these dimensions: tfjs multiplies as many by as many, or by one. */
  function repeated(x: Ordered, was: Shape, leading: Shape): TfTensor {
    const shape = [...leading, ...was.slice(-2)];
    return sameShape(was, shape) ? plain(x) : tf.broadcastTo(plain(x), shape);
  }

  function part({ tensor, order }: Ordered, d: number, start: number, size: number): Ordered {
    const at = order.indexOf(d);
    const begin = order.map((_, i) => (i === at ? start : 0));
    return { tensor: tf.slice(tensor, begin, tensor.shape.with(at, size)), order };
  }

  function joined(parts: readonly Ordered[], d: number): Ordered {
    const [{ order }] = parts;
    const tensors = parts.map((x) => inThe(order, x));
    return { tensor: tf.concat(tensors, order.indexOf(d)), order };
  }

  /** Zeros around each of our dimensions, or less of it. */
  function resized(x: Ordered, widths: readonly Pair[]): Ordered {
    const cropped = widths.reduce((y, [before, behind], d) => {
      const [start, less] = [Math.max(-before, 0), Math.min(before, 0) + Math.min(behind, 0)];
      return less < 0 ? part(y, d, start, y.tensor.shape[y.order.indexOf(d)] + less) : y;
    }, x);
    const { tensor, order } = cropped;
    const more = order.map((d): Pair => [Math.max(widths[d][0], 0), Math.max(widths[d][1], 0)]);
    return more.flat().some(Boolean) ? { tensor: tf.pad(tensor, more), order } : cropped;
  }

  const operators: Dialect<Ordered>["operators"] = {
    conv2d({ x, w, b }, { shapes, options }) {
      const { groups, stride, dilation, padding } = geometry(shapes.w, options);
      const [convolve, order] = groups === 1 ? [tf.fused.conv2d, DENSE] : [tf.fused.depthwiseConv2d, DEPTHWISE];
      const [top, left, bottom, right] = padding;
      const layer = {
        x: inThe(NHWC, x),
        filter: inThe(order, w),
        strides: stride,
        pad: paddingOf([
          [top, bottom],
          [left, right],
        ]),
        dilations: dilation,
        bias: b?.tensor,
      };
      return fuse(options, NHWC, (activation) => convolve({ ...layer, activation }));
    },

    linear({ x, w, b }, { shapes, y, options }) {
      const a = tf.reshape(plain(x), [-1, shapes.w[1]]);
      const layer = { a, b: inThe(TRANSPOSED, w), bias: b?.tensor };
      const rows = fuse(options, inOrder(2), (activation) => tf.fused.matMul({ ...layer, activation }));
      return reshape(rows, y);
    },

    matmul({ a, b }, { shapes, y, options: { scale } }) {
      const leading = y.slice(0, -2);
      const tensor = tf.matMul(repeated(a, shapes.a, leading), repeated(b, shapes.b, leading));
      return { tensor: scale === 1 ? tensor : tf.mul(tensor, scale), order: inOrder(y.length) };
    },

    add: ({ a, b }, { y, options }) => activate(broadcast(tf.add, a, b, y), options),
    mul: ({ a, b }, { y }) => broadcast(tf.mul, a, b, y),

    batchnorm({ x, mean, variance, weight, bias }, { options }) {
      const [image, ...statistics] = [inThe(NHWC, x), mean.tensor, variance.tensor] as const;
      const tensor = tf.batchNorm(image, ...statistics, bias?.tensor, weight?.tensor, options.eps);
      return activate({ tensor, order: NHWC }, options);
    },

    layernorm({ x, weight, bias }, { shapes, y, options }) {
      const size = sizeOf(normalizedShape({ x: y, ...shapes }, options));
      const row = (param?: Ordered) => param && tf.reshape(param.tensor, [1, size]);
      const rows = tf.reshape(plain(x), [-1, size]);
      const { mean, variance } = tf.moments(rows, 1, true);
      const tensor = tf.batchNorm(rows, mean, variance, row(bias), row(weight), options.eps);
      return reshape({ tensor, order: inOrder(2) }, y);
    },

    normalize({ x, scale }, { y, options: { eps } }) {
      const [rows, order] = [plain(x), inOrder(y.length)];
      const tensor = tf.div(rows, tf.maximum(tf.norm(rows, "euclidean", y.length - 1, true), eps));
      return scale ? broadcast(tf.mul, { tensor, order }, scale, y) : { tensor, order };
    },

    lrn: ({ x }, { options: { size, alpha, beta, k } }) => ({
      tensor: tf.localResponseNormalization(inThe(NHWC, x), (size - 1) / 2, k, alpha / size, beta),
      order: NHWC,
    }),

    softmax({ x }, { y, options: { dim } }) {
      const d = axis("softmax", "dim", dim, y.length);
      const order = [...inOrder(y.length).filter((each) => each !== d), d];
      return { tensor: tf.softmax(inThe(order, x)), order };
    },

    maxpool2d({ x }, { shapes, y, options }) {
      const pool = poolGeometry("maxpool2d", options);
      const padding = paddingOf(poolWidths(pool, shapes.x, y));
      return { tensor: tf.maxPool(inThe(NHWC, x), pool.kernel, pool.stride, padding), order: NHWC };
    },

    // Its own padding is not counted.
    avgpool2d({ x }, { shapes, y, options }) {
      const pool = poolGeometry("avgpool2d", options);
      const padded = resized(x, [NONE, NONE, ...poolWidths(pool, shapes.x, y)]);
      return { tensor: tf.avgPool(inThe(NHWC, padded), pool.kernel, pool.stride, "valid"), order: NHWC };
    },

    adaptive_avgpool2d({ x }, { shapes, y }) {
      if (sameShape(shapes.x, y)) return x;
      if (y[2] * y[3] === 1) return mean(x, [2, 3]);
      throw new ShapeError(`bench/peers has no adaptive average from ${formatShape(shapes.x)} to ${formatShape(y)}`);
    },

    mean({ x }, { y, options: { dims, keepDim } }) {
      const places = dims.map((dim: number) => axis("mean", "dims", dim, x.order.length));
      const kept = mean(x, places);
      return keepDim ? kept : reshape(kept, y);
    },

    concat: (inputs, { y, options: { dim } }) => joined(Object.values(inputs), axis("concat", "dim", dim, y.length)),

    slice({ x }, { shapes, y, options: { dim, start } }) {
      const d = axis("slice", "dim", dim, y.length);
      return part(x, d, sliceStart(start, shapes.x[d]), y[d]);
    },

    pad: ({ x }, { shapes, y, options }) => resized(x, padWidths(options.padding, shapes.x, y)),

    permute({ x: { tensor, order } }, { shapes, options }) {
      const dims = orderOf(shapes.x, options.dims);
      return { tensor, order: order.map((d) => dims.indexOf(d)) };
    },

    roll: ({ x }, { y, options: { shifts, dims } }) =>
      shiftsOf(y, { shifts, dims }).reduce(
        (rolled, shift, d) =>
          shift === 0 ? rolled : joined([part(rolled, d, y[d] - shift, shift), part(rolled, d, 0, y[d] - shift)], d),
        x,
      ),

    channel_shuffle({ x }, { y: [n, c, h, w], options: { groups } }) {
      const dealt = tf.transpose(tf.reshape(inThe(NHWC, x), [n, h, w, groups, c / groups]), [0, 1, 2, 4, 3]);
      return { tensor: tf.reshape(dealt, [n, h, w, c]), order: NHWC };
    },
  };

  function mean({ tensor, order }: Ordered, dims: readonly number[]): Ordered {
    const at = dims.map((d) => order.indexOf(d));
    return { tensor: tf.mean(tensor, at, true), order };
  }

  const elementwise = Object.entries(activations).map(([name, f]): [string, Operator<Ordered>] => [
    name,
    ({ x: { tensor, order } }) => ({ tensor: f(tensor), order }),
  ]);
  return {
    engine,
    reshape,
    operators: { ...Object.fromEntries(elementwise), ...operators },
  };
}

const NONE: Pair = [0, 0];

const paddingOf = (widths: readonly Pair[]): Padding =>
  widths.flat().some(Boolean) ? [NONE, ...widths, NONE] : "valid";
