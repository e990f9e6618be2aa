import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sameShape } from "../../engine/ground/tensor.ts";
import type { Activated } from "../../kernels/activation.ts";
import { geometry } from "../../kernels/conv2d/geometry.ts";
import { poolGeometry } from "../../kernels/pool2d/geometry.ts";
import { type Open, requirePeer } from "./engines.ts";
import { type Dialect, evaluate, loadParams, type Param, traceForPeer } from "./graph.ts";
import { provideWebGpu, readBack } from "./webgpu.ts";

interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

type Pair = readonly [number, number];
type Padding = "valid" | readonly [Pair, Pair, Pair, Pair];
type Activation = "linear" | "relu";

/** What we use of npm `@tensorflow/tfjs-core`. Images are [N, H, W, C], filters [KH, KW, C, O]. */
interface Tf {
  setBackend(name: string): Promise<boolean>;
  tidy<T>(work: () => T): T;
  tensor(data: Float32Array, shape: Shape): TfTensor;
  transpose(x: TfTensor, order: readonly number[]): TfTensor;
  reshape(x: TfTensor, shape: Shape): TfTensor;
  add(a: TfTensor, b: TfTensor): TfTensor;
  concat(tensors: readonly TfTensor[], dim: number): TfTensor;
  relu(x: TfTensor): TfTensor;
  tanh(x: TfTensor): TfTensor;
  mean(x: TfTensor, dims: readonly number[], keepDims: boolean): TfTensor;
  maxPool(x: TfTensor, kernel: Pair, stride: Pair, padding: Padding): TfTensor;
  avgPool(x: TfTensor, kernel: Pair, stride: Pair, padding: Padding): TfTensor;
  localResponseNormalization(x: TfTensor, radius: number, k: number, alpha: number, beta: number): TfTensor;
  readonly fused: {
    conv2d(call: {
      readonly x: TfTensor;
      readonly filter: TfTensor;
      readonly strides: Pair;
      readonly pad: Padding;
      readonly dilations: Pair;
      readonly bias?: TfTensor;
      readonly activation: Activation;
    }): TfTensor;
    matMul(call: {
      readonly a: TfTensor;
      readonly b: TfTensor;
      readonly bias?: TfTensor;
      readonly activation: Activation;
    }): TfTensor;
  };
}

export const open: Open = async (job, { shape, data }) => {
  await provideWebGpu();
  const tf = requirePeer("@tensorflow/tfjs-core") as Tf;
  requirePeer("@tensorflow/tfjs-backend-webgpu");
  if (!(await tf.setBackend("webgpu"))) throw new Error("tfjs did not take its backend webgpu");
  const graph = traceForPeer(job);
  const params = await loadParams(graph, job.weights, (param) => upload(tf, param));
  const dialect = dialectOf(tf);
  // An application has its pixels in this order already.
  const [n, c, h, w] = shape;
  const pixels = toNhwc(data, shape);
  return async () => {
    const logits = tf.tidy(() => evaluate(graph, tf.tensor(pixels, [n, h, w, c]), params, dialect));
    const values = await readBack(logits.data(), job.software);
    logits.dispose();
    return values;
  };
};

/** Weights in the order that tfjs wants, transposed once. */
function upload(tf: Tf, { use, shape, data }: Param): TfTensor {
  const order = ORDERS[use];
  return tf.tidy(() => (order ? tf.transpose(tf.tensor(data, shape), order) : tf.tensor(data, shape)));
}

const ORDERS: Readonly<Record<string, readonly number[]>> = { "conv2d.w": [2, 3, 1, 0], "linear.w": [1, 0] };

function toNhwc(data: Float32Array, [n, c, h, w]: Shape): Float32Array {
  const pixels = new Float32Array(data.length);
  let at = 0;
  for (let image = 0; image < n; image++) {
    for (let i = 0; i < h * w; i++) {
      for (let channel = 0; channel < c; channel++) pixels[at++] = data[(image * c + channel) * h * w + i];
    }
  }
  return pixels;
}

function dialectOf(tf: Tf): Dialect<TfTensor> {
  const activate = (x: TfTensor, { activation }: Readonly<Activated>): TfTensor =>
    activation === "none" ? x : activation === "tanh" ? tf.tanh(x) : tf.relu(x);
  /** What its fused kernels can apply; the rest comes after them. */
  const fused = ({ activation }: Readonly<Activated>): Activation => (activation === "relu" ? "relu" : "linear");
  const rest = ({ activation }: Readonly<Activated>): Activated => ({
    activation: activation === "relu" ? "none" : activation,
  });
  return {
    engine: "tfjs",

    reshape(x, from, to) {
      const flat = from.length < 4 || from[2] * from[3] === 1;
      return tf.reshape(flat ? x : tf.transpose(x, [0, 3, 1, 2]), to);
    },

    operators: {
      conv2d({ x, w, b }, { shapes, options }) {
        const { groups, stride, dilation, padding } = geometry(shapes.w, options);
        if (groups !== 1) throw new UsageError("bench/peers has no conv2d with groups for tfjs");
        const y = tf.fused.conv2d({
          x,
          filter: w,
          strides: stride,
          pad: paddingOf(padding),
          dilations: dilation,
          bias: b,
          activation: fused(options),
        });
        return activate(y, rest(options));
      },
      linear: ({ x, w, b }, { options }) =>
        activate(tf.fused.matMul({ a: x, b: w, bias: b, activation: fused(options) }), rest(options)),
      add({ a, b }, { options }) {
        if (options.alpha !== 1) throw new UsageError("bench/peers has no add with alpha for tfjs");
        return activate(tf.add(a, b), options);
      },
      concat: (inputs, { y, options }) => tf.concat(Object.values(inputs), nhwcDim(options.dim, y)),
      relu: ({ x }) => tf.relu(x),
      tanh: ({ x }) => tf.tanh(x),
      maxpool2d({ x }, { options }) {
        const { kernel, stride, padding } = poolGeometry("maxpool2d", options);
        return tf.maxPool(x, kernel, stride, paddingOf([...padding, ...padding]));
      },
      avgpool2d({ x }, { options }) {
        const { kernel, stride, padding } = poolGeometry("avgpool2d", options);
        return tf.avgPool(x, kernel, stride, paddingOf([...padding, ...padding]));
      },
      adaptive_avgpool2d({ x }, { shapes, y }) {
        if (sameShape(shapes.x, y)) return x;
        if (y[2] * y[3] === 1) return tf.mean(x, [1, 2], true);
        throw new ShapeError(`bench/peers has no adaptive average from ${formatShape(shapes.x)} to ${formatShape(y)}`);
      },
      lrn: ({ x }, { options: { size, alpha, beta, k } }) =>
        tf.localResponseNormalization(x, (size - 1) / 2, k, alpha / size, beta),
    },
  };
}

/** Where a dimension of NCHW is in NHWC. */
const nhwcDim = (dim: number, { length }: Shape): number =>
  (length === 4 ? [0, 3, 1, 2] : [...Array(length).keys()]).at(dim) as number;

const paddingOf = ([top, left, bottom, right]: readonly number[]): Padding =>
  top + left + bottom + right === 0
    ? "valid"
    : [
        [0, 0],
        [top, bottom],
        [left, right],
        [0, 0],
      ];
