import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sameShape } from "../../engine/ground/tensor.ts";
import type { Activated, Activation } from "../../kernels/activation.ts";
import { geometry } from "../../kernels/conv2d/geometry.ts";
import { normalizedShape } from "../../kernels/norm/layernorm.ts";
import { axis } from "../../kernels/options.ts";
import { orderOf } from "../../kernels/permute.ts";
import { poolGeometry } from "../../kernels/pool2d/geometry.ts";
import { shiftsOf } from "../../kernels/roll.ts";
import type { Open } from "./engines.ts";
import { checkOperators, type Dialect, evaluate, loadParams, type Operator, traceForPeer } from "./graph.ts";
import type { Host } from "./host.ts";
import { type Pair, padWidths, poolWidths, sliceStart } from "./places.ts";

/** Whatever takes an array takes it over; `ref` is another one of the same. */
export interface JaxArray {
  readonly ref: JaxArray;
  readonly shape: Shape;
  reshape(shape: Shape): JaxArray;
  transpose(order: readonly number[]): JaxArray;
  slice(...ranges: readonly Pair[]): JaxArray;
  add(other: JaxArray | number): JaxArray;
  sub(other: JaxArray): JaxArray;
  mul(other: JaxArray | number): JaxArray;
  div(other: JaxArray): JaxArray;
  data(): Promise<Float32Array>;
  dispose(): void;
}

/** What we use of npm `@jax-js/jax`. Images are [N, C, H, W], filters [O, C, KH, KW], as ours. */
export interface Jax {
  init(...devices: string[]): Promise<string[]>;
  defaultDevice(name: string): void;
  jit<A extends unknown[], Y>(f: (...args: A) => Y): (...args: A) => Y;
  valueAndGrad<A extends unknown[], Aux>(
    f: (...args: A) => [loss: JaxArray, aux: Aux],
    options: { readonly hasAux: true },
  ): (...args: A) => [[loss: JaxArray, aux: Aux], gradients: A[0]];
  readonly numpy: {
    array(data: Float32Array, options: { readonly shape: Shape }): JaxArray;
    matmul(x: JaxArray, y: JaxArray): JaxArray;
    transpose(x: JaxArray): JaxArray;
    concatenate(arrays: readonly JaxArray[], dim: number): JaxArray;
    pad(x: JaxArray, widths: readonly Pair[]): JaxArray;
    max(x: JaxArray): JaxArray;
    sum(x: JaxArray, dims?: readonly number[], options?: { readonly keepdims: boolean }): JaxArray;
    square(x: JaxArray): JaxArray;
    power(x: JaxArray, exponent: number): JaxArray;
    mean(x: JaxArray, dims?: readonly number[], options?: { readonly keepdims: boolean }): JaxArray;
    tanh(x: JaxArray): JaxArray;
    sqrt(x: JaxArray): JaxArray;
    maximum(x: JaxArray, y: number): JaxArray;
    roll(x: JaxArray, shifts: readonly number[], dims: readonly number[]): JaxArray;
    var_(x: JaxArray, dims: readonly number[], options: { readonly keepdims: boolean }): JaxArray;
  };
  readonly nn: {
    relu(x: JaxArray): JaxArray;
    relu6(x: JaxArray): JaxArray;
    silu(x: JaxArray): JaxArray;
    hardSilu(x: JaxArray): JaxArray;
    hardSigmoid(x: JaxArray): JaxArray;
    sigmoid(x: JaxArray): JaxArray;
    gelu(x: JaxArray, options: { readonly approximate: boolean }): JaxArray;
    softmax(x: JaxArray, dim: number): JaxArray;
    logSoftmax(x: JaxArray, dim: number): JaxArray;
    standardize(
      x: JaxArray,
      dims: readonly number[],
      options: { readonly variance: JaxArray; readonly epsilon: number },
    ): JaxArray;
  };
  readonly lax: {
    convGeneralDilated(
      x: JaxArray,
      w: JaxArray,
      strides: readonly number[],
      padding: readonly Pair[],
      options: { readonly rhsDilation: readonly number[]; readonly featureGroupCount: number },
    ): JaxArray;
    reduceWindow(
      x: JaxArray,
      reduce: (window: JaxArray) => JaxArray,
      kernel: readonly number[],
      strides: readonly number[],
    ): JaxArray;
  };
}

export async function openJax(host: Host): Promise<Jax> {
  await host.provideWebGpu();
  const jax = (await host.load("@jax-js/jax")) as Jax;
  if (!(await jax.init("webgpu")).includes("webgpu")) throw new Error("jax-js got no device on WebGPU");
  jax.defaultDevice("webgpu");
  return jax;
}

export const open: Open = async (job, { shape, data }, host) => {
  const jax = await openJax(host);
  const graph = traceForPeer(job);
  const dialect = dialectOf(jax);
  checkOperators(graph, dialect);
  const file = await host.openFile(job.weights);
  const params = await loadParams(graph, file, (param) => jax.numpy.array(param.data, { shape: param.shape }));
  const ids = [...params.keys()];
  const forward = jax.jit((x: JaxArray, values: JaxArray[]) =>
    evaluate(graph, x, new Map(ids.map((id, i) => [id, values[i]])), dialect),
  );
  return () => {
    const x = jax.numpy.array(data, { shape });
    const logits = forward(
      x,
      [...params.values()].map(({ ref }) => ref),
    );
    return host.readBack(logits.data(), job.software);
  };
};

export function dialectOf({ numpy, nn, lax }: Jax): Dialect<JaxArray> {
  const activations: Readonly<Record<Exclude<Activation, "none"> | "gelu", (x: JaxArray) => JaxArray>> = {
    relu: (x) => nn.relu(x),
    relu6: (x) => nn.relu6(x),
    silu: (x) => nn.silu(x),
    hardswish: (x) => nn.hardSilu(x),
    hardsigmoid: (x) => nn.hardSigmoid(x),
    sigmoid: (x) => nn.sigmoid(x),
    tanh: (x) => numpy.tanh(x),
    gelu: (x) => nn.gelu(x, { approximate: false }),
  };

  const activate = (x: JaxArray, { activation }: Readonly<Activated>): JaxArray =>
    activation === "none" ? x : activations[activation](x);

  /** Of one value per channel, what images of rank `rank` can be broadcast with. */
  const perChannel = ({ ref }: JaxArray, rank: number) => ref.reshape([-1, ...Array(rank - 2).fill(1)]);

  const mean = ({ ref }: JaxArray, dims: readonly number[], keepdims: boolean) => numpy.mean(ref, dims, { keepdims });

  function resized({ ref }: JaxArray, widths: readonly Pair[]): JaxArray {
    const less = widths.map((pair, d): Pair => [Math.max(-pair[0], 0), ref.shape[d] - Math.max(-pair[1], 0)]);
    const more = widths.map(([before, behind]): Pair => [Math.max(before, 0), Math.max(behind, 0)]);
    const cropped = less.some(([start, end], d) => start > 0 || end < ref.shape[d]) ? ref.slice(...less) : ref;
    return more.flat().some(Boolean) ? numpy.pad(cropped, more) : cropped;
  }

  /**
   * Padded with zeros, which are counted, and which are right for maxima of what comes from a relu. Where they were wrong, the
   * logits would tell.
   */
  const pool =
    (name: string, reduce: (window: JaxArray) => JaxArray): Operator<JaxArray> =>
    ({ x }, { shapes, y, options }) => {
      const geometry = poolGeometry(name, options);
      const padded = resized(x, [NONE, NONE, ...poolWidths(geometry, shapes.x, y)]);
      return lax.reduceWindow(padded, (window) => reduce(window), geometry.kernel, geometry.stride);
    };

  const operators: Dialect<JaxArray>["operators"] = {
    conv2d({ x, w, b }, { shapes, options }) {
      const { groups, stride, dilation, padding } = geometry(shapes.w, options);
      const [top, left, bottom, right] = padding;
      const widths: Pair[] = [
        [top, bottom],
        [left, right],
      ];
      const settings = { rhsDilation: dilation, featureGroupCount: groups };
      const y = lax.convGeneralDilated(x.ref, w.ref, stride, widths, settings);
      return activate(b ? y.add(perChannel(b, 4)) : y, options);
    },

    linear({ x, w, b }, { options }) {
      const y = numpy.matmul(x.ref, numpy.transpose(w.ref));
      return activate(b ? y.add(b.ref) : y, options);
    },

    // Of two ranks, jax-js 0.1.25 makes a product whose leading dimensions are in another order than numpy's.
    matmul({ a, b }, { y: { length }, options: { scale } }) {
      const [left, right] = [a, b].map(({ ref }) =>
        ref.reshape([...Array(length - ref.shape.length).fill(1), ...ref.shape]),
      );
      const y = numpy.matmul(left, right);
      return scale === 1 ? y : y.mul(scale);
    },

    add: ({ a, b }, { options }) => activate(a.ref.add(b.ref), options),
    mul: ({ a, b }) => a.ref.mul(b.ref),

    batchnorm({ x, mean, variance, weight, bias }, { y: { length }, options }) {
      const deviation = numpy.sqrt(perChannel(variance, length).add(options.eps));
      const normal = x.ref.sub(perChannel(mean, length)).div(deviation);
      const scaled = weight ? normal.mul(perChannel(weight, length)) : normal;
      return activate(bias ? scaled.add(perChannel(bias, length)) : scaled, options);
    },

    layernorm({ x, weight, bias }, { shapes, y, options }) {
      const dims = normalizedShape({ x: y, ...shapes }, options).map((_, i, { length }) => i - length);
      const variance = numpy.var_(x.ref, dims, { keepdims: true });
      const normal = nn.standardize(x.ref, dims, { variance, epsilon: options.eps });
      const scaled = weight ? normal.mul(weight.ref) : normal;
      return bias ? scaled.add(bias.ref) : scaled;
    },

    normalize({ x, scale }, { options: { eps } }) {
      const squares = numpy.sum(numpy.square(x.ref), [-1], { keepdims: true });
      const unit = x.ref.div(numpy.maximum(numpy.sqrt(squares), eps));
      return scale ? unit.mul(scale.ref) : unit;
    },

    lrn({ x }, { options: { size, alpha, beta, k } }) {
      const before = Math.floor(size / 2);
      const squares = numpy.pad(numpy.square(x.ref), [NONE, [before, size - 1 - before], NONE, NONE]);
      const sums = lax.reduceWindow(squares, (window) => numpy.sum(window), [size, 1, 1], [1, 1, 1]);
      return x.ref.div(numpy.power(sums.mul(alpha / size).add(k), beta));
    },

    softmax: ({ x }, { options: { dim } }) => nn.softmax(x.ref, dim),
    maxpool2d: pool("maxpool2d", numpy.max),
    avgpool2d: pool("avgpool2d", numpy.mean),

    adaptive_avgpool2d({ x }, { shapes, y }) {
      if (sameShape(shapes.x, y)) return x.ref;
      if (y[2] * y[3] === 1) return mean(x, [2, 3], true);
      throw new ShapeError(`bench/peers has no adaptive average from ${formatShape(shapes.x)} to ${formatShape(y)}`);
    },

    mean: ({ x }, { options: { dims, keepDim } }) => mean(x, dims, keepDim),

    concat: (inputs, { options: { dim } }) =>
      numpy.concatenate(
        Object.values(inputs).map(({ ref }) => ref),
        dim,
      ),

    slice({ x }, { shapes, y, options: { dim, start } }) {
      const d = axis("slice", "dim", dim, y.length);
      const first = sliceStart(start, shapes.x[d]);
      return x.ref.slice(...y.map((size, each): Pair => (each === d ? [first, first + size] : [0, size])));
    },

    pad: ({ x }, { shapes, y, options }) => resized(x, padWidths(options.padding, shapes.x, y)),
    permute: ({ x }, { shapes, options }) => x.ref.transpose(orderOf(shapes.x, options.dims)),
    roll: ({ x }, { y, options: { shifts, dims } }) => numpy.roll(x.ref, shiftsOf(y, { shifts, dims }), [...y.keys()]),

    channel_shuffle({ x }, { y, options: { groups } }) {
      const [batch, channels, ...image] = y;
      const dealt = x.ref.reshape([batch, groups, channels / groups, ...image]);
      return dealt.transpose([0, 2, 1, 3, 4]).reshape(y);
    },
  };

  const elementwise = Object.entries(activations).map(([name, f]): [string, Operator<JaxArray>] => [
    name,
    ({ x }) => f(x.ref),
  ]);
  return {
    engine: "jax-js",
    reshape: (x, to) => x.ref.reshape(to),
    operators: { ...Object.fromEntries(elementwise), ...operators },
  };
}

const NONE: Pair = [0, 0];
