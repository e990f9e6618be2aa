import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sameShape } from "../../engine/ground/tensor.ts";
import type { Activated } from "../../kernels/activation.ts";
import { geometry } from "../../kernels/conv2d/geometry.ts";
import { poolGeometry } from "../../kernels/pool2d/geometry.ts";
import { type Open, requirePeer } from "./engines.ts";
import { type Dialect, evaluate, loadParams, traceForPeer } from "./graph.ts";
import { provideWebGpu, readBack } from "./webgpu.ts";

/** Whatever takes an array takes it over; `ref` is another one of the same. */
interface JaxArray {
  readonly ref: JaxArray;
  readonly shape: Shape;
  reshape(shape: Shape): JaxArray;
  add(other: JaxArray | number): JaxArray;
  mul(other: number): JaxArray;
  div(other: JaxArray): JaxArray;
  data(): Promise<Float32Array>;
  dispose(): void;
}

type Pairs = readonly (readonly [number, number])[];

/** What we use of npm `@jax-js/jax`. Images are [N, C, H, W], filters [O, C, KH, KW], as ours. */
interface Jax {
  init(...devices: string[]): Promise<string[]>;
  defaultDevice(name: string): void;
  jit<A extends unknown[]>(f: (...args: A) => JaxArray): (...args: A) => JaxArray;
  readonly numpy: {
    array(data: Float32Array, options: { readonly shape: Shape }): JaxArray;
    matmul(x: JaxArray, y: JaxArray): JaxArray;
    transpose(x: JaxArray): JaxArray;
    concatenate(arrays: readonly JaxArray[], dim: number): JaxArray;
    pad(x: JaxArray, widths: Pairs): JaxArray;
    max(x: JaxArray): JaxArray;
    sum(x: JaxArray): JaxArray;
    square(x: JaxArray): JaxArray;
    power(x: JaxArray, exponent: number): JaxArray;
    mean(x: JaxArray, dims?: readonly number[], options?: { readonly keepdims: boolean }): JaxArray;
    tanh(x: JaxArray): JaxArray;
  };
  readonly nn: { relu(x: JaxArray): JaxArray };
  readonly lax: {
    convGeneralDilated(
      x: JaxArray,
      w: JaxArray,
      strides: readonly number[],
      padding: Pairs,
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

export const open: Open = async (job, { shape, data }) => {
  await provideWebGpu();
  const jax = requirePeer("@jax-js/jax") as Jax;
  if (!(await jax.init("webgpu")).includes("webgpu")) throw new Error("jax-js got no device on WebGPU");
  jax.defaultDevice("webgpu");
  const graph = traceForPeer(job);
  const params = await loadParams(graph, job.weights, (param) => jax.numpy.array(param.data, { shape: param.shape }));
  const ids = [...params.keys()];
  const dialect = dialectOf(jax);
  const forward = jax.jit((x: JaxArray, values: JaxArray[]) =>
    evaluate(graph, x, new Map(ids.map((id, i) => [id, values[i]])), dialect),
  );
  return () => {
    const x = jax.numpy.array(data, { shape });
    const logits = forward(
      x,
      [...params.values()].map(({ ref }) => ref),
    );
    return readBack(logits.data(), job.software);
  };
};

function dialectOf({ numpy, nn, lax }: Jax): Dialect<JaxArray> {
  const activate = (x: JaxArray, { activation }: Readonly<Activated>) =>
    activation === "none" ? x : activation === "tanh" ? numpy.tanh(x) : nn.relu(x);
  return {
    engine: "jax-js",
    reshape: (x, _from, to) => x.ref.reshape(to),
    operators: {
      conv2d({ x, w, b }, { shapes, options }) {
        const { groups, outChannels, stride, dilation, padding } = geometry(shapes.w, options);
        const [top, left, bottom, right] = padding;
        const widths = [[top, bottom] as const, [left, right] as const];
        const settings = { rhsDilation: dilation, featureGroupCount: groups };
        const y = lax.convGeneralDilated(x.ref, w.ref, stride, widths, settings);
        return activate(b ? y.add(b.ref.reshape([1, outChannels, 1, 1])) : y, options);
      },
      linear({ x, w, b }, { options }) {
        const y = numpy.matmul(x.ref, numpy.transpose(w.ref));
        return activate(b ? y.add(b.ref) : y, options);
      },
      add({ a, b }, { options }) {
        if (options.alpha !== 1) throw new UsageError("bench/peers has no add with alpha for jax-js");
        return activate(a.ref.add(b.ref), options);
      },
      concat: (inputs, { options }) =>
        numpy.concatenate(
          Object.values(inputs).map(({ ref }) => ref),
          options.dim,
        ),
      relu: ({ x }) => nn.relu(x.ref),
      tanh: ({ x }) => numpy.tanh(x.ref),
      // Padded with zeros, which is right for what comes from a relu. Where it were wrong, the logits would tell.
      maxpool2d: ({ x }, { options }) => pool(x, poolGeometry("maxpool2d", options), numpy.max),
      avgpool2d: ({ x }, { options }) => pool(x, poolGeometry("avgpool2d", options), numpy.mean),
      adaptive_avgpool2d({ x }, { shapes, y }) {
        if (sameShape(shapes.x, y)) return x.ref;
        if (y[2] * y[3] === 1) return numpy.mean(x.ref, [2, 3], { keepdims: true });
        throw new ShapeError(`bench/peers has no adaptive average from ${formatShape(shapes.x)} to ${formatShape(y)}`);
      },
      lrn({ x }, { options: { size, alpha, beta, k } }) {
        const before = Math.floor(size / 2);
        const squares = numpy.pad(numpy.square(x.ref), [
          [0, 0],
          [before, size - 1 - before],
          [0, 0],
          [0, 0],
        ]);
        const sums = lax.reduceWindow(squares, (window) => numpy.sum(window), [size, 1, 1], [1, 1, 1]);
        return x.ref.div(numpy.power(sums.mul(alpha / size).add(k), beta));
      },
    },
  };

  function pool(x: JaxArray, geometry: ReturnType<typeof poolGeometry>, reduce: (window: JaxArray) => JaxArray) {
    const { kernel, stride, padding } = geometry;
    const [vertical, horizontal] = padding;
    const widths = [[0, 0] as const, [0, 0] as const, [vertical, vertical] as const, [horizontal, horizontal] as const];
    const padded = vertical + horizontal > 0 ? numpy.pad(x.ref, widths) : x.ref;
    return lax.reduceWindow(padded, (window) => reduce(window), kernel, stride);
  }
}
