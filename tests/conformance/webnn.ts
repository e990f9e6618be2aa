import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createContext, runInContext } from "node:vm";
import { ShadenetError } from "../../engine/ground/errors.ts";
import { NCHW, NHWC, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import type { Gpu } from "../../index.ts";
import { loadOnnxModel } from "../../onnx.ts";
import { encodeModel, float32, int64, type NodeInit, type TensorInit } from "../engine/onnx/models.ts";
import type { OnnxResult } from "./onnx.ts";

// WebNN's tests (https://github.com/web-platform-tests/wpt/tree/master/webnn/conformance_tests): small graphs with what has to
// come out, and by how many ULP it may be off. Each is run as the ONNX model that it corresponds to.

interface Operand {
  readonly data: number | readonly number[];
  readonly descriptor: { readonly shape: Shape; readonly dataType: string };
  readonly constant?: boolean;
}

interface Operator {
  readonly name: string;
  readonly arguments: readonly Arguments[];
  readonly outputs: string | readonly string[];
}

// biome-ignore lint/suspicious/noExplicitAny: they differ from operator to operator
type Arguments = Readonly<Record<string, any>>;

export interface WebnnCase {
  readonly id: string;
  readonly graph: {
    readonly inputs: Readonly<Record<string, Operand>>;
    readonly operators: readonly Operator[];
    readonly expectedOutputs: Readonly<Record<string, Operand>>;
  };
  /** What the test itself allows. */
  readonly limit: { readonly metricType: string; readonly value: number };
  /** In ULP. */
  distance(got: number, want: number): number;
}

/** The tests in a folder, by its scripts; these run here with nothing but what they define themselves. */
export function webnnCases(folder: string): WebnnCase[] {
  const utilities = readFileSync(join(folder, "../resources/utils.js"), "utf8");
  // What runs a test is ours.
  const ours = utilities.replace("const webnn_conformance_test", "const their_conformance_test");
  const files = readdirSync(folder).filter((file) => file.endsWith(".https.any.js"));
  return files.flatMap((file) => {
    const cases: WebnnCase[] = [];
    const known = {
      navigator: { ml: {} },
      location: { search: "" },
      test() {},
      promise_test() {},
      webnn_conformance_test(
        _: unknown,
        allow: (graph: WebnnCase["graph"], intermediate: object) => WebnnCase["limit"],
        { name, graph }: { readonly name: string; readonly graph: WebnnCase["graph"] },
      ) {
        const distance = (got: number, want: number) => Number(between(got, want, "float32"));
        cases.push({ id: name, graph, limit: allow(graph, {}), distance });
      },
    };
    const context = createContext(known);
    runInContext(ours, context);
    const between = runInContext("ulpDistance", context);
    try {
      runInContext(readFileSync(join(folder, file), "utf8"), context);
    } catch {
      // It tests more of WebNN than operators.
    }
    return cases;
  });
}

/** What a graph is made of in ONNX; every method returns names of values. */
class Builder {
  readonly nodes: NodeInit[] = [];
  readonly tensors: TensorInit[] = [];
  readonly #inputs: Readonly<Record<string, Operand>>;

  constructor(inputs: Readonly<Record<string, Operand>>) {
    this.#inputs = inputs;
  }

  shapeOf(name: string): Shape {
    const known = this.#inputs[name];
    if (!known) throw new ShadenetError("USAGE", `the shape of ${name} follows from other operators`);
    return known.descriptor.shape;
  }

  add(op: string, inputs: readonly (string | undefined)[], attributes: NodeInit[3] = {}): string {
    const output = `${op} ${this.nodes.length}`;
    this.nodes.push([op, inputs.map((input) => input ?? ""), [output], attributes]);
    return output;
  }

  #tensor(tensor: TensorInit): string {
    this.tensors.push(tensor);
    return tensor.name ?? "";
  }

  floats(values: readonly number[], shape: Shape = []): string {
    return this.#tensor(float32(`constant ${this.tensors.length}`, shape, values));
  }

  integers(values: readonly number[]): string {
    return this.#tensor(int64(`constant ${this.tensors.length}`, values));
  }

  transpose(x: string, perm: readonly number[]): string {
    return this.add("Transpose", [x], { perm });
  }
}

type Convert = (b: Builder, a: Arguments, o: Arguments) => string | readonly string[];

const attributes = (entries: Readonly<Record<string, NonNullable<NodeInit[3]>[string] | undefined>>): NodeInit[3] =>
  Object.fromEntries(Object.entries(entries).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));

const float = (value: number | undefined) => (value === undefined ? undefined : { float: value });

/** WebNN has [top, bottom, left, right]. */
const padsOf = ([top, bottom, left, right]: readonly number[] = [0, 0, 0, 0]) => [top, left, bottom, right];

const FILTERS: Readonly<Record<string, readonly number[]>> = {
  hwio: [3, 2, 0, 1],
  ohwi: [0, 3, 1, 2],
  ihwo: [3, 0, 1, 2],
};
const TRANSPOSED_FILTERS: Readonly<Record<string, readonly number[]>> = { hwoi: [3, 2, 0, 1], ohwi: [3, 0, 1, 2] };

/** Of images as ONNX has them. */
function onImages(b: Builder, x: string, layout: string | undefined, f: (x: string, shape: Shape) => string): string {
  const shape = b.shapeOf(x);
  if (layout !== "nhwc") return f(x, shape);
  const images = NCHW.map((d) => shape[d]);
  return b.transpose(f(b.transpose(x, NCHW), images), NHWC);
}

const convolution =
  (op: string, filters: Readonly<Record<string, readonly number[]>>): Convert =>
  (b, { input, filter }, o) =>
    onImages(b, input, o.inputLayout, (x, [, , ...image]) => {
      const order = filters[o.filterLayout];
      const shape = b.shapeOf(filter);
      const kernel = (order?.map((d) => shape[d]) ?? shape).slice(2);
      const [pads, strides, dilations] = [padsOf(o.padding), o.strides ?? [1, 1], o.dilations ?? [1, 1]];
      const least = image.map(
        (size, d) => (size - 1) * strides[d] + dilations[d] * (kernel[d] - 1) + 1 - pads[d] - pads[d + 2],
      );
      const extra = o.outputSizes?.map((size: number, d: number) => size - least[d]) ?? o.outputPadding;
      const w = order ? b.transpose(filter, order) : filter;
      const geometry = { strides, dilations, pads, group: o.groups, output_padding: extra };
      return b.add(op, [x, w, o.bias], attributes(geometry));
    });

const pool =
  (op: string): Convert =>
  (b, { input }, o) =>
    onImages(b, input, o.layout, (x, [, , ...image]) => {
      const kernel: number[] = o.windowDimensions ?? image;
      const [pads, strides, dilations] = [padsOf(o.padding), o.strides ?? [1, 1], o.dilations ?? [1, 1]];
      const floor = image.map((size, d) =>
        Math.floor((size + pads[d] + pads[d + 2] - dilations[d] * (kernel[d] - 1) - 1) / strides[d] + 1),
      );
      const isCeil = o.outputSizes ? String(o.outputSizes) !== String(floor) : o.roundingType === "ceil";
      const geometry = { kernel_shape: kernel, strides, dilations, pads, ceil_mode: Number(isCeil) };
      return b.add(op, [x], geometry);
    });

const simple =
  (op: string, names: Readonly<Record<string, string>> = {}): Convert =>
  (b, { input }, o) =>
    b.add(op, [input], attributes(Object.fromEntries(Object.entries(names).map(([to, from]) => [to, float(o[from])]))));

const binary =
  (op: string): Convert =>
  (b, { a, b: other }) =>
    b.add(op, [a, other]);

const reduction =
  (op: string): Convert =>
  (b, { input }, { axes, keepDimensions = false }) => {
    // Over no dimensions each element is alone.
    const alone = { ReduceL2: ["Abs", input], ReduceSumSquare: ["Mul", input, input] }[op] ?? ["Identity", input];
    if (axes?.length === 0) return b.add(alone[0], alone.slice(1));
    return b.add(op, [input, axes && b.integers(axes)], { keepdims: Number(keepDimensions) });
  };

/** As many as there are channels, where a test gives none. */
const affine = (b: Builder, given: string | undefined, value: number, shape: Shape): string =>
  given ?? b.floats(new Array(sizeOf(shape)).fill(value), shape);

const OPERATORS: Readonly<Record<string, Convert>> = {
  conv2d: convolution("Conv", FILTERS),
  convTranspose2d: convolution("ConvTranspose", TRANSPOSED_FILTERS),
  averagePool2d: pool("AveragePool"),
  maxPool2d: pool("MaxPool"),
  gemm: (b, { a, b: other }, o) =>
    b.add(
      "Gemm",
      [a, other, o.c],
      attributes({
        ...{ alpha: float(o.alpha), beta: float(o.beta) },
        ...{ transA: Number(o.aTranspose ?? false), transB: Number(o.bTranspose ?? false) },
      }),
    ),
  matmul: binary("MatMul"),

  batchNormalization(b, { input, mean, variance }, { axis = 1, scale, bias, epsilon }) {
    const shape = b.shapeOf(input);
    const order = [0, axis, ...shape.flatMap((_, d) => (d === 0 || d === axis ? [] : [d]))];
    const channels = [shape[axis]];
    const factors = [affine(b, scale, 1, channels), affine(b, bias, 0, channels)];
    const x = axis === 1 ? input : b.transpose(input, order);
    const y = b.add("BatchNormalization", [x, ...factors, mean, variance], attributes({ epsilon: float(epsilon) }));
    return axis === 1
      ? y
      : b.transpose(
          y,
          order.map((_, d) => order.indexOf(d)),
        );
  },
  instanceNormalization: (b, { input }, { layout, scale, bias, epsilon }) =>
    onImages(b, input, layout, (x, [, channels]) => {
      const factors = [affine(b, scale, 1, [channels]), affine(b, bias, 0, [channels])];
      return b.add("InstanceNormalization", [x, ...factors], attributes({ epsilon: float(epsilon) }));
    }),
  layerNormalization(b, { input }, o) {
    const shape = b.shapeOf(input);
    const axes: number[] = o.axes ?? shape.map((_, d) => d).slice(1);
    const order = [...shape.flatMap((_, d) => (axes.includes(d) ? [] : [d])), ...axes];
    const last = axes.map((d) => shape[d]);
    const factors = [affine(b, o.scale, 1, last), affine(b, o.bias, 0, last)];
    const geometry = attributes({ axis: shape.length - axes.length, epsilon: float(o.epsilon) });
    const y = b.add("LayerNormalization", [b.transpose(input, order), ...factors], geometry);
    return b.transpose(
      y,
      order.map((_, d) => order.indexOf(d)),
    );
  },
  softmax: (b, { input, axis }) => b.add("Softmax", [input], { axis }),

  relu: simple("Relu"),
  sigmoid: simple("Sigmoid"),
  tanh: simple("Tanh"),
  gelu: simple("Gelu"),
  elu: simple("Elu", { alpha: "alpha" }),
  hardSwish: simple("HardSwish"),
  hardSigmoid: simple("HardSigmoid", { alpha: "alpha", beta: "beta" }),
  leakyRelu: simple("LeakyRelu", { alpha: "alpha" }),
  softplus: simple("Softplus"),
  softsign: (b, { input }) => b.add("Div", [input, b.add("Add", [b.add("Abs", [input]), b.floats([1])])]),
  prelu: (b, { input, slope }) => b.add("PRelu", [input, slope]),
  linear: (b, { input }, { alpha = 1, beta = 0 }) =>
    b.add("Add", [b.add("Mul", [input, b.floats([alpha])]), b.floats([beta])]),
  clamp: (b, { input }, { minValue, maxValue }) =>
    b.add("Clip", [input, ...[minValue, maxValue].map((v) => (v === undefined ? undefined : b.floats([v])))]),

  ...Object.fromEntries(["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"].map((op) => [op.toLowerCase(), binary(op)])),
  ...Object.fromEntries(
    ["Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Identity"].map((op) => [op.toLowerCase(), simple(op)]),
  ),
  ...Object.fromEntries(
    ["Mean", "Sum", "Max", "Min", "L2", "SumSquare"].map((op) => [`reduce${op}`, reduction(`Reduce${op}`)]),
  ),

  concat: (b, { inputs, axis }) => b.add("Concat", inputs, { axis }),
  expand: (b, { input, newShape }) => b.add("Expand", [input, b.integers(newShape)]),
  reshape: (b, { input, newShape }) => b.add("Reshape", [input, b.integers(newShape)]),
  transpose: (b, { input }, { permutation }) => b.add("Transpose", [input], attributes({ perm: permutation })),
  tile: (b, { input, repetitions }) => b.add("Tile", [input, b.integers(repetitions)]),
  slice: (b, { input, starts, sizes }, { strides = starts.map(() => 1) }) =>
    b.add("Slice", [
      input,
      b.integers(starts),
      b.integers(starts.map((start: number, d: number) => start + sizes[d])),
      b.integers(starts.map((_: number, d: number) => d)),
      b.integers(strides),
    ]),
  pad: (b, { input, beginningPadding, endingPadding }, { mode = "constant", value = 0 }) =>
    b.add("Pad", [input, b.integers([...beginningPadding, ...endingPadding]), b.floats([value])], {
      mode: mode === "reflection" ? "reflect" : mode,
    }),
  resample2d(b, { input }, { mode = "nearest-neighbor", scales, sizes, axes = [2, 3] }) {
    const rank = b.shapeOf(input).map((_, d) => d);
    const along = (given: readonly number[], other: (d: number) => number) =>
      rank.map((d) => (axes.includes(d) ? given[axes.indexOf(d)] : other(d)));
    const how = mode === "linear" ? { mode: "linear" } : { mode: "nearest" };
    if (sizes) return b.add("Resize", [input, "", "", b.integers(along(sizes, (d) => b.shapeOf(input)[d]))], how);
    return b.add(
      "Resize",
      [
        input,
        "",
        b.floats(
          along(scales ?? [1, 1], () => 1),
          [rank.length],
        ),
      ],
      how,
    );
  },
};

const elements = ({ data, descriptor: { shape } }: Operand): Float32Array =>
  typeof data === "number" ? new Float32Array(sizeOf(shape)).fill(data) : Float32Array.from(data);

/** Runs a test; "skip" is for operators and types of numbers that are not here. */
export async function runWebnn(gpu: Gpu, { id, graph, limit, distance }: WebnnCase): Promise<OnnxResult> {
  const skip = (message: string): OnnxResult => ({ id, status: "skip", message });
  const { inputs, operators, expectedOutputs } = graph;
  const all = [...Object.values(inputs), ...Object.values(expectedOutputs)];
  const other = all.find(({ descriptor }) => descriptor.dataType !== "float32");
  if (other) return skip(`has ${other.descriptor.dataType}`);
  const missing = operators.find(({ name }) => !Object.hasOwn(OPERATORS, name));
  if (missing) return skip(`there is no ${missing.name}`);
  try {
    const builder = new Builder(inputs);
    // A model has at least one input.
    const names = Object.keys(inputs);
    const given = new Set(names.filter((name) => !inputs[name].constant));
    if (given.size === 0) given.add(names[0]);
    for (const operator of operators) {
      const { options = {}, ...others }: Arguments = Object.assign({}, ...operator.arguments);
      const results = [OPERATORS[operator.name](builder, others, options)].flat();
      [operator.outputs].flat().forEach((name, i) => {
        builder.nodes.push(["Identity", [results[i]], [name], {}]);
      });
    }
    const own = names.flatMap((name) =>
      given.has(name) ? [] : [float32(name, inputs[name].descriptor.shape, elements(inputs[name]))],
    );
    const model = {
      opset: 20,
      inputs: Object.fromEntries([...given].map((name) => [name, inputs[name].descriptor.shape])),
      outputs: Object.keys(expectedOutputs),
      nodes: builder.nodes,
      tensors: [...own, ...builder.tensors],
    };
    const loaded = await loadOnnxModel(gpu, encodeModel(model), { precision: "strict" });
    try {
      const x = Object.fromEntries([...given].map((name) => [name, elements(inputs[name])]));
      const results = await loaded.run(x);
      for (const [name, wanted] of Object.entries(expectedOutputs)) {
        const { shape, data } = results[name];
        const want = elements(wanted);
        const fail = (message: string): OnnxResult => ({ id, status: "fail", message });
        if (String(shape) !== String(wanted.descriptor.shape))
          return fail(`is [${shape}], wanted [${wanted.descriptor.shape}]`);
        const off = (i: number) =>
          limit.metricType === "ULP" ? distance(data[i], want[i]) : Math.abs(data[i] - want[i]);
        const at = want.findIndex((v, i) => v !== data[i] && !(off(i) <= limit.value));
        if (at >= 0)
          return fail(
            `is ${data[at]} at ${at}, wanted ${want[at]} to ${limit.value} ${limit.metricType}, off by ${off(at)}`,
          );
      }
      return { id, status: "pass", message: "" };
    } finally {
      loaded.dispose();
    }
  } catch (error) {
    if (!(error instanceof ShadenetError)) throw error;
    return skip(error.message);
  }
}
