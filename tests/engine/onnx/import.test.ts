import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../../engine/definition.ts";
import { UsageError, WeightsError } from "../../../engine/ground/errors.ts";
import { NCHW, permute as permuted, type Shape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import { TensorProto_DataType as DataType } from "../../../engine/node/onnx_pb.ts";
import { exportOnnx, nets, summarize } from "../../../index.ts";
import * as kernels from "../../../kernels/index.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { loadOnnx, loadOnnxModel, readOnnx } from "../../../onnx.ts";
import { assertClose, inDepth, int, isDeep, open, pick, randomTensor, refuses, someOf } from "../../harness.ts";
import { encodeModel, float16, float32, int64, type ModelInit, type NodeInit, quantized } from "./models.ts";

const gpu = await open();

/** The plain kernels, as they are: what is read back has to be the same to the last bit. */
const PLAIN = { passes: [], variants: { conv2d: "conv2d", linear: "linear" } } as const;

/**
 * Sides of images. The first few are computed in a second each; `npm run conformance -- --onnx-round-trips` has all nets.
 */
const BACK: Readonly<Record<string, number>> = {
  lenet5: 32,
  squeezenet1_1: 32,
  mobilenet_v2: 32,
  mobilenet_v3_small: 32,
  shufflenet_v2_x0_5: 32,
  mnasnet0_5: 32,
  alexnet: 64,
  resnet18: 64,
  vgg11_bn: 32,
  densenet121: 32,
  googlenet: 32,
  inception_v3: 96,
  regnet_y_400mf: 32,
  efficientnet_b0: 32,
  convnext_tiny: 32,
  vit_b_32: 32,
  swin_t: 32,
  swin_v2_t: 64,
  maxvit_t: 224,
};
const back = Object.entries(BACK);

for (const [name, imageSize] of someOf(isDeep ? back : back.slice(0, 6), 1, 6)) {
  test(`${name}, exported and read back: the same layers and bits`, async () => {
    const weights = randomWeights(nets[name], { imageSize }, int(1, 1e6));
    const bytes = await buffer(exportOnnx(name, { imageSize, weights }));
    const given = { ...PLAIN, imageSize, batch: 2 };
    const ours = await gpu.loadNet(name, { ...given, weights });
    const theirs = await loadOnnx(gpu, bytes, given);
    try {
      assert.equal(theirs.inputShape, ours.inputShape);
      assert.equal(theirs.warnings, []);
      const known = new Set(theirs.layers);
      // One value can have one name there.
      const features = someOf(
        ours.layers.filter((layer) => known.has(layer)),
        5,
      );
      assert.ok(features.length > 0);
      const x = randomTensor(ours.inputShape);
      const [want, got] = [await ours.run(x, { features }), await theirs.run(x, { features })];
      for (const [layer, values] of Object.entries({ ...want.features, logits: want.logits })) {
        const other = layer === "logits" ? got.logits : got.features[layer];
        assertClose(other, { ...values, data: Float64Array.from(values.data) }, () => 0, `${name}: ${layer}`);
      }
    } finally {
      ours.dispose();
      theirs.dispose();
    }
  });
}

inDepth("with all passes and variants it has the steps that the net has, and its classes", async () => {
  const weights = randomWeights(nets.resnet18, { imageSize: 64 }, 1);
  const bytes = await buffer(exportOnnx("resnet18", { imageSize: 64, weights }));
  const [ours, theirs] = [
    await gpu.loadNet("resnet18", { imageSize: 64, weights }),
    await gpu.loadOnnx(new Blob([new Uint8Array(bytes)])),
  ];
  try {
    assert.is((await theirs.plan()).steps.length, (await ours.plan()).steps.length);
    const picture = { width: 80, height: 64, data: new Uint8Array(80 * 64 * 4).map(() => int(0, 255)) };
    const [want, got] = [await ours.classify(picture), await theirs.classify(picture)];
    assert.equal(
      got.map(({ label }) => label),
      want.map(({ label }) => label),
    );
    assert.is(theirs.inputShape[2], 64);
  } finally {
    ours.dispose();
    theirs.dispose();
  }
  const read = await readOnnx(bytes);
  const [was, is] = [summarize(trace(nets.resnet18, { imageSize: 64 })), summarize(trace(read))];
  assert.equal([is.multiplyAdds, is.engine.steps], [was.multiplyAdds, was.engine.steps]);
  // Again from the definition, and again as a file.
  const again = await buffer(exportOnnx(read, {}));
  assert.ok(Math.abs(again.length - bytes.length) < 0.01 * bytes.length);
  await read.close();
});

/** Runs a model by hand on the values of its inputs. */
async function run(model: ModelInit, inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
  const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, shape]));
  const loaded = await loadOnnxModel(gpu, encodeModel(model), { shapes });
  try {
    return await loaded.run(inputs);
  } finally {
    loaded.dispose();
  }
}

/** Runs one operator on x, with tensors of the model behind it. */
async function one(
  op: string,
  x: Tensor,
  attributes: NodeInit[3] = {},
  tensors: ModelInit["tensors"] = [],
  opset?: number,
): Promise<Tensor> {
  const nodes: NodeInit[] = [[op, ["x", ...tensors.map(({ name }) => name ?? "")], ["y"], attributes]];
  return (await run({ opset, inputs: { x: x.shape }, outputs: ["y"], nodes, tensors }, { x })).y;
}

const tensor = (shape: Shape, data: readonly number[]): Tensor => ({ shape, data: Float32Array.from(data) });
const close = (got: Tensor, want: { shape: Shape; data: ArrayLike<number> }, what?: string) => {
  const data = Float64Array.from(want.data);
  // Where terms cancel, what is left has the error of the largest.
  const bound = 1e-5 * data.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
  assertClose(got, { shape: want.shape, data }, () => bound, what);
};

test("a net as Keras has it: channels last, a Pad in front of its convolution, a batch norm by itself", async () => {
  const shape = [2, 9, 7, 3];
  const [w, bias, fc] = [randomTensor([4, 3, 3, 3]), randomTensor([4]), randomTensor([4, 5])];
  const statistics = { scale: [1, 2, 0.5, 1], b: [0, 1, -1, 0], mean: [0.1, 0, 0, -0.2], variance: [1, 2, 0.5, 1] };
  const model: ModelInit = {
    inputs: { images: ["N", 9, 7, 3] },
    outputs: ["probabilities"],
    tensors: [
      float32("w", w.shape, w.data),
      float32("bias", bias.shape, bias.data),
      float32("fc", fc.shape, fc.data),
      int64("pads", [0, 0, 1, 1, 0, 0, 1, 1]),
      ...Object.entries(statistics).map(([name, values]) => float32(name, [4], values)),
    ],
    nodes: [
      ["Transpose", ["images"], ["nchw"], { perm: NCHW }],
      ["Pad", ["nchw", "pads"], ["padded"]],
      ["Conv", ["padded", "w", "bias"], ["conv"], { kernel_shape: [3, 3], strides: [2, 2] }],
      ["BatchNormalization", ["conv", "scale", "b", "mean", "variance"], ["bn"], { epsilon: { float: 1e-3 } }],
      ["Relu", ["bn"], ["relu"]],
      ["ReduceMean", ["relu"], ["pool"], { axes: [2, 3], keepdims: 0 }],
      ["MatMul", ["pool", "fc"], ["dense"]],
      ["Softmax", ["dense"], ["probabilities"]],
    ],
  };
  const net = await loadOnnx(gpu, encodeModel(model), { batch: 2 });
  try {
    assert.equal(net.inputShape, [2, 3, 9, 7]);
    // The padding and the batch norm are the convolution's own, and images stay as they came.
    const { steps } = await net.plan();
    assert.equal(
      steps.filter(({ kernel }) => /pad|permute|batchnorm/.test(kernel)).map(({ kernel }) => kernel),
      [],
    );
    const x = randomTensor([2, 3, 9, 7]);
    const result = await net.run(x, { features: ["relu"] });
    const conv = evaluateReference(kernels.conv2d, { x, w, b: bias }, { stride: 2, padding: 1 });
    const inputs = {
      x: { shape: conv.shape, data: Float32Array.from(conv.data) },
      mean: tensor([4], statistics.mean),
      variance: tensor([4], statistics.variance),
      weight: tensor([4], statistics.scale),
      bias: tensor([4], statistics.b),
    };
    const bn = evaluateReference(kernels.batchNorm, inputs, { eps: 1e-3, activation: "relu" });
    close(result.features.relu, bn);
    const sum = result.probabilities.data.reduce((total, v) => total + v, 0);
    assert.ok(Math.abs(sum - 2) < 1e-5);
    const logits = evaluateReference(kernels.softmax, { x: result.logits }, { dim: 1 });
    close(result.probabilities, logits);
    // The same by the model's own name, in its own order.
    const loaded = await loadOnnxModel(gpu, encodeModel(model), { shapes: { images: shape } });
    const images = { shape, data: permuted(x.data, x.shape, [0, 2, 3, 1]) };
    close((await loaded.run({ images })).probabilities, result.probabilities);
    loaded.dispose();
  } finally {
    net.dispose();
  }
});

test("shapes that the graph works out, for any batch and size", async () => {
  const w = randomTensor([4, 3, 3, 3]);
  const model: ModelInit = {
    inputs: { x: ["batch", 3, "h", "w"] },
    outputs: ["y"],
    tensors: [float32("w", w.shape, w.data), int64("zero", [0], []), int64("axis", [0]), int64("rest", [-1])],
    nodes: [
      ["Conv", ["x", "w"], ["conv"], { auto_pad: "SAME_UPPER", strides: [2, 2] }],
      ["Shape", ["conv"], ["sizes"]],
      ["Gather", ["sizes", "zero"], ["n"], { axis: 0 }],
      ["Unsqueeze", ["n", "axis"], ["ns"]],
      ["Concat", ["ns", "rest"], ["shape"], { axis: 0 }],
      ["Reshape", ["conv", "shape"], ["y"]],
    ],
  };
  for (const [batch, h, width] of [
    [1, 8, 8],
    [2, 7, 6],
    [3, 5, 10],
  ]) {
    const x = randomTensor([batch, 3, h, width]);
    const { y } = await run(model, { x });
    // Where the padding is odd there is more of it behind.
    const total = [h, width].map((size) => (Math.ceil(size / 2) - 1) * 2 + 3 - size);
    const [top, left] = total.map((side) => Math.floor(side / 2));
    const padding = [top, left, total[0] - top, total[1] - left];
    const conv = evaluateReference(kernels.conv2d, { x, w }, { stride: 2, padding });
    close(y, { shape: [batch, sizeOf(conv.shape) / batch], data: conv.data });
  }
  const net = await loadOnnx(gpu, encodeModel(model), { batch: 2, imageSize: [6, 8] });
  assert.equal([net.inputShape, net.options.numClasses], [[2, 3, 6, 8], 48]);
  net.dispose();
});

test("padding that TensorFlow's nets work out from sizes, which no padding is below", async () => {
  const x = randomTensor([1, 1, 5, 5]);
  const tensors = [
    int64("axes", [2]),
    int64("ends", [4]),
    int64("four", [4]),
    int64("least", [0], []),
    int64("none", [0, 0]),
  ];
  const nodes: NodeInit[] = [
    ["Shape", ["x"], ["shape"]],
    ["Slice", ["shape", "axes", "ends"], ["sizes"]],
    ["Sub", ["four", "sizes"], ["missing"]],
    ["Clip", ["missing", "least"], ["sides"]],
    ["Concat", ["none", "sides", "none", "sides"], ["pads"], { axis: 0 }],
    ["Pad", ["x", "pads"], ["y"]],
  ];
  const model: ModelInit = { inputs: { x: [1, 1, "h", "w"] }, outputs: ["y"], tensors, nodes };
  assert.equal((await run(model, { x })).y, x);
  const small = randomTensor([1, 1, 3, 5]);
  const { y } = await run(model, { x: small });
  assert.equal(y.shape, [1, 1, 5, 5]);
  close(y, evaluateReference(kernels.pad, { x: small }, { padding: [1, 0, 1, 0] }));
});

test("numbers as others store them: halves, doubles, integers, constants among the operators", async () => {
  const x = tensor([2], [10, 20]);
  const values = [0.5, -2];
  const doubles = { name: "c", dims: [2n], dataType: DataType.DOUBLE, doubleData: values };
  for (const c of [
    float32("c", [2], values),
    { name: "c", dims: [2n], dataType: DataType.FLOAT, floatData: values },
    float16("c", [2], values, true),
    float16("c", [2], values, false),
    doubles,
    { ...doubles, doubleData: [], rawData: new Uint8Array(Float64Array.from(values).buffer) },
  ]) {
    close(await one("Mul", x, {}, [c]), tensor([2], [5, -40]), JSON.stringify(Object.keys(c)));
    const nodes: NodeInit[] = [
      ["Constant", [], ["c"], { value: { tensor: { ...c, name: "" } } }],
      ["Mul", ["x", "c"], ["y"]],
    ];
    close((await run({ inputs: { x: [2] }, outputs: ["y"], nodes }, { x })).y, tensor([2], [5, -40]));
  }
});

test("Clip, Softmax, Slice, Pad and Squeeze as they were and as they are", async () => {
  const x = randomTensor([2, 3, 4], 3);
  const clipped = { shape: x.shape, data: x.data.map((v) => Math.min(Math.max(v, 0), 6)) };
  close(await one("Clip", x, { min: { float: 0 }, max: { float: 6 } }, [], 10), clipped);
  close(await one("Clip", x, {}, [float32("low", [], [0]), float32("high", [], [6])], 13), clipped);
  const rows = { shape: [2, 12], data: x.data };
  close(await one("Softmax", x, { axis: 1 }, [], 9), {
    shape: x.shape,
    data: evaluateReference(kernels.softmax, { x: rows }, { dim: 1 }).data,
  });
  close(await one("Softmax", x, { axis: 1 }, [], 13), evaluateReference(kernels.softmax, { x }, { dim: 1 }));
  const part = evaluateReference(kernels.slice, { x }, { dim: 2, start: 1, end: 3 });
  close(await one("Slice", x, { starts: [1], ends: [3], axes: [2] }, [], 9), part);
  const ends = [int64("starts", [1]), int64("ends", [3]), int64("axes", [-1])];
  close(await one("Slice", x, {}, ends), part);
  // Backwards, and to where no end is.
  const back = [int64("starts", [-1]), int64("ends", [-(2 ** 53)]), int64("axes", [2]), int64("steps", [-2])];
  const wanted = { shape: [2, 3, 2], data: x.data.filter((_, i) => i % 2 === 1) };
  for (let i = 0; i < 12; i += 2) [wanted.data[i], wanted.data[i + 1]] = [wanted.data[i + 1], wanted.data[i]];
  close(await one("Slice", x, {}, back), wanted);
  const edge = {
    shape: [2, 3, 6],
    data: Float32Array.from(
      { length: 36 },
      (_, i) => x.data[Math.floor(i / 6) * 4 + Math.min(Math.max((i % 6) - 1, 0), 3)],
    ),
  };
  close(await one("Pad", x, { mode: "edge", pads: [0, 0, 1, 0, 0, 1] }, [], 9), edge);
  close(await one("Squeeze", { ...x, shape: [2, 1, 12] }, { axes: [1] }, [], 9), rows);
  close(await one("Squeeze", { ...x, shape: [2, 1, 12] }, {}, [int64("axes", [1])], 13), rows);
});

test("activations and pools that exporters spell out", async () => {
  const x = randomTensor([1, 4, 6, 6], 3);
  const of = (op: string, factor: NodeInit[]): ModelInit => ({
    inputs: { x: x.shape },
    outputs: ["y"],
    tensors: [float32("root", [], [Math.SQRT2]), float32("one", [], [1]), float32("half", [], [0.5])],
    nodes: [...factor, [op, ["x", "factor"], ["y"]]],
  });
  const silu = await run(of("Mul", [["Sigmoid", ["x"], ["factor"]]]), { x });
  close(silu.y, evaluateReference(kernels.silu, { x }));
  const gelu: ModelInit = {
    ...of("Mul", []),
    nodes: [
      ["Div", ["x", "root"], ["divided"]],
      ["Erf", ["divided"], ["erf"]],
      ["Add", ["erf", "one"], ["added"]],
      ["Mul", ["x", "added"], ["product"]],
      ["Mul", ["product", "half"], ["y"]],
    ],
  };
  close((await run(gelu, { x })).y, evaluateReference(kernels.gelu, { x }));
  const loaded = await loadOnnxModel(gpu, encodeModel(gelu));
  assert.is((await loaded.plan()).steps.length, 1);
  loaded.dispose();
  for (const isCeil of [false, true]) {
    const attributes = {
      kernel_shape: [3, 3],
      strides: [2, 2],
      pads: [0, 0, isCeil ? 0 : 1, isCeil ? 0 : 1],
      ceil_mode: Number(isCeil),
    };
    const want = evaluateReference(kernels.maxPool2d, { x }, { kernel: 3, stride: 2, ceilMode: true });
    close(await one("MaxPool", x, attributes), want);
    const mean = { kernel: 3, stride: 2, ceilMode: true, countIncludePad: false };
    close(await one("AveragePool", x, attributes), evaluateReference(kernels.avgPool2d, { x }, mean));
  }
});

test("a quantized model: its weights as they were stored, its activations as they are, and a note", async () => {
  const x = tensor([1, 2], [1.26, -3]);
  const model: ModelInit = {
    inputs: { x: [1, 2] },
    outputs: ["y"],
    tensors: [
      quantized("w", [2, 2], [2, -4, 6, 127], DataType.INT8),
      quantized("w zero", [], [2], DataType.INT8),
      float32("w scale", [], [0.5]),
      float32("x scale", [], [0.1]),
      quantized("x zero", [], [0], DataType.UINT8),
    ],
    nodes: [
      ["QuantizeLinear", ["x", "x scale", "x zero"], ["q"]],
      ["DequantizeLinear", ["q", "x scale", "x zero"], ["d"]],
      ["DequantizeLinear", ["w", "w scale", "w zero"], ["weight"]],
      ["MatMul", ["d", "weight"], ["y"]],
    ],
  };
  const loaded = await loadOnnxModel(gpu, encodeModel(model));
  // What is below the first of its numbers is that: a relu, which quantizers leave out.
  close((await loaded.run({ x })).y, tensor([1, 2], [0, 1.26 * -3]));
  assert.match(loaded.warnings.join(), /QuantizeLinear and DequantizeLinear of activations are left out/);
  loaded.dispose();
});

test("a GPU that was opened without what reads ONNX says so", async () => {
  const bare: typeof gpu = Object.create(gpu, { options: { value: {} } });
  await refuses(() => bare.loadOnnx(new Uint8Array(8)), UsageError, "USAGE", /give openGpu\(\) \{ onnx: /);
});

/** Integers of a tensor, and the numbers that they stand for, by a scale and a zero for each place of dimension 0. */
function integersOf(shape: Shape, scales: readonly number[], zeros: readonly number[]) {
  const integers = Array.from({ length: sizeOf(shape) }, () => int(-128, 127));
  const place = (i: number) => Math.floor(i / sizeOf(shape.slice(1))) % scales.length;
  return {
    integers,
    numbers: tensor(
      shape,
      integers.map((v, i) => (v - zeros[place(i)]) * scales[place(i)]),
    ),
  };
}

test("operators on quantized values: the numbers that they stand for, in Conv, Gemm, Add, Concat and pools", async () => {
  const x = randomTensor([2, 3, 6, 6], 2);
  const scales = [0.02, 0.01, 0.03, 0.05];
  const w = integersOf([4, 3, 3, 3], scales, [0, 3, -5, 0]);
  const fc = integersOf([5, 4], [0.01], [7]);
  const bias = Array.from({ length: 4 }, () => int(-900, 900));
  const same = ["s", "z"];
  const model: ModelInit = {
    inputs: { x: x.shape },
    outputs: ["y"],
    tensors: [
      float32("s", [], [0.1]),
      quantized("z", [], [3], DataType.INT8),
      quantized("w", [4, 3, 3, 3], w.integers, DataType.INT8),
      float32("ws", [4], scales),
      quantized("wz", [4], [0, 3, -5, 0], DataType.INT8),
      quantized("b", [4], bias, DataType.INT32),
      quantized("fc", [5, 4], fc.integers, DataType.INT8),
      float32("fs", [], [0.01]),
      quantized("fz", [], [7], DataType.INT8),
    ],
    nodes: [
      ["QuantizeLinear", ["x", ...same], ["q"]],
      ["QLinearConv", ["q", ...same, "w", "ws", "wz", ...same, "b"], ["conv"], { pads: [1, 1, 1, 1] }],
      ["com.microsoft.QLinearAdd", ["conv", ...same, "conv", ...same, ...same], ["sum"]],
      ["com.microsoft.QLinearConcat", [...same, "sum", ...same, "conv", ...same], ["both"], { axis: 2 }],
      ["com.microsoft.QLinearGlobalAveragePool", ["both", ...same, ...same], ["pool"]],
      ["Flatten", ["pool"], ["flat"]],
      ["com.microsoft.QGemm", ["flat", ...same, "fc", "fs", "fz", "", ...same], ["q out"], { transB: 1 }],
      ["DequantizeLinear", ["q out", ...same], ["y"]],
    ],
  };
  const loaded = await loadOnnxModel(gpu, encodeModel(model));
  const b = tensor(
    [4],
    bias.map((v, i) => v * 0.1 * scales[i]),
  );
  const conv = evaluateReference(kernels.conv2d, { x, w: w.numbers, b }, { padding: 1 });
  const { data } = evaluateReference(kernels.mean, { x: tensor(conv.shape, [...conv.data]) }, { dims: [2, 3] });
  const pool = tensor([2, 4], [...data.map((v) => 1.5 * v)]);
  close((await loaded.run({ x })).y, evaluateReference(kernels.linear, { x: pool, w: fc.numbers }));
  assert.match(loaded.warnings.join(), /of activations are left out/);
  loaded.dispose();
});

test("ConvInteger and MatMulInteger on what DynamicQuantizeLinear makes, and on integers that are given", async () => {
  const x = randomTensor([2, 3, 5, 5], 2);
  const w = integersOf([4, 3, 2, 2], [0.02], [5]);
  const fc = integersOf([16, 3], [0.5], [-3]);
  const model: ModelInit = {
    inputs: { x: x.shape },
    outputs: ["y"],
    tensors: [
      quantized("w", [4, 3, 2, 2], w.integers, DataType.INT8),
      float32("ws", [], [0.02]),
      quantized("wz", [], [5], DataType.INT8),
      quantized("fc", [16, 3], fc.integers, DataType.INT8),
      float32("fs", [], [0.5]),
      quantized("fz", [], [-3], DataType.INT8),
    ],
    nodes: [
      ["DynamicQuantizeLinear", ["x"], ["q", "s", "z"]],
      ["ConvInteger", ["q", "w", "z", "wz"], ["integers"], { strides: [2, 2] }],
      ["Cast", ["integers"], ["floats"], { to: 1 }],
      ["Mul", ["s", "ws"], ["scale"]],
      ["Mul", ["floats", "scale"], ["conv"]],
      ["Flatten", ["conv"], ["flat"]],
      ["DynamicQuantizeLinear", ["flat"], ["q2", "s2", "z2"]],
      ["MatMulInteger", ["q2", "fc", "z2", "fz"], ["integers2"]],
      ["Cast", ["integers2"], ["floats2"], { to: 1 }],
      ["Mul", ["s2", "fs"], ["scale2"]],
      ["Mul", ["floats2", "scale2"], ["y"]],
    ],
  };
  const loaded = await loadOnnxModel(gpu, encodeModel(model));
  const conv = evaluateReference(kernels.conv2d, { x, w: w.numbers }, { stride: 2 });
  const flat = tensor([2, 16], [...conv.data]);
  close((await loaded.run({ x })).y, evaluateReference(kernels.matmul, { a: flat, b: fc.numbers }));
  assert.match(loaded.warnings.join(), /DynamicQuantizeLinear is left out/);
  loaded.dispose();
  const given = tensor([1, 1, 2, 2], [10, 20, 30, 40]);
  const zero = quantized("z", [], [10], DataType.UINT8);
  const filters = quantized("w", [1, 1, 2, 2], [1, 1, 1, 1], DataType.UINT8);
  close(await one("ConvInteger", given, {}, [filters, zero], 10), tensor([1, 1, 1, 1], [60]));
  close(await one("ConvInteger", given, {}, [filters], 10), tensor([1, 1, 1, 1], [100]));
  const fixed: ModelInit = {
    inputs: { x: [1, 1, 2, 2] },
    outputs: ["y"],
    tensors: [filters, float32("s", [], [0.5])],
    nodes: [
      ["QuantizeLinear", ["x", "s"], ["q"]],
      ["ConvInteger", ["q", "w"], ["y"]],
    ],
  };
  await refuses(() => loadOnnxModel(gpu, encodeModel(fixed)), UsageError, "USAGE", /ConvInteger, of what Dynamic/);
  await refuses(
    () => one("ConvInteger", given, {}, [filters, quantized("z", [2], [1, 2], DataType.UINT8)], 10),
    UsageError,
    "USAGE",
    /ConvInteger, of what DynamicQuantizeLinear does not make \("y"\)/,
  );
});

test("an If whose condition follows from shapes is the branch that it takes", async () => {
  const condition: NodeInit[] = [
    ["Shape", ["x"], ["sizes"]],
    ["Gather", ["sizes", "one"], ["size"]],
    ["Equal", ["size", "one"], ["is one"]],
  ];
  const inner = (outputs: readonly string[], nodes: readonly NodeInit[], tensors: ModelInit["tensors"] = []) => ({
    graph: { inputs: {}, outputs, nodes, tensors },
  });
  const nested: NodeInit = [
    "If",
    ["is one"],
    ["nested"],
    {
      then_branch: inner(["a"], [["Relu", ["x"], ["a"]]]),
      else_branch: inner(["a"], [["Sigmoid", ["x"], ["a"]]]),
    },
  ];
  const model: ModelInit = {
    inputs: { x: [2, "c", 3] },
    outputs: ["y"],
    tensors: [int64("one", [1])],
    nodes: [
      ...condition,
      [
        "If",
        ["is one"],
        ["y"],
        {
          then_branch: inner(["squeezed"], [["Squeeze", ["x", "one"], ["squeezed"]]]),
          else_branch: inner(["sum"], [nested, ["Add", ["nested", "three"], ["sum"]]], [float32("three", [], [3])]),
        },
      ],
    ],
  };
  const [x, narrow] = [randomTensor([2, 4, 3]), randomTensor([2, 1, 3])];
  close((await run(model, { x: narrow })).y, { ...narrow, shape: [2, 3] });
  const { data } = evaluateReference(kernels.sigmoid, { x });
  close((await run(model, { x })).y, tensor(x.shape, [...data.map((v) => v + 3)]));
  const computed: ModelInit = { ...model, inputs: { x: [2, 4, 3], "is one": [1] }, nodes: model.nodes.slice(3) };
  await refuses(() => loadOnnxModel(gpu, encodeModel(computed)), UsageError, "USAGE", /If, its input 0 is computed/);
  const outside: ModelInit = { ...model, outputs: ["z"], nodes: [...model.nodes, ["Relu", ["sum"], ["z"]]] };
  await refuses(
    () => loadOnnxModel(gpu, encodeModel(outside)),
    WeightsError,
    "WEIGHTS",
    /"z" reads "sum", which nothing makes/,
  );
});

test("one dimension is two, of which the first has one place", async () => {
  const x = randomTensor([2, 4, 9]);
  const high = { ...x, shape: [2, 4, 1, 9] };
  const [w, b] = [randomTensor([6, 2, 3]), randomTensor([6])];
  const flat = (y: { shape: Shape; data: Float64Array }) => ({ ...y, shape: y.shape.filter((_, d) => d !== 2) });
  const options = { stride: [1, 2], dilation: [1, 2], padding: [0, 1, 0, 2], groups: 2 } as const;
  const conv = evaluateReference(kernels.conv2d, { x: high, w: { ...w, shape: [6, 2, 1, 3] }, b }, options);
  const tensors = [float32("w", w.shape, w.data), float32("b", b.shape, b.data)];
  close(await one("Conv", x, { strides: [2], dilations: [2], pads: [1, 2], group: 2 }, tensors), flat(conv));
  const window = { kernel_shape: [3], strides: [2], pads: [1, 1] };
  const pool = { kernel: [1, 3], stride: [1, 2], padding: [0, 1] } as const;
  close(await one("MaxPool", x, window), flat(evaluateReference(kernels.maxPool2d, { x: high }, pool)));
  const average = evaluateReference(kernels.avgPool2d, { x: high }, { ...pool, countIncludePad: false });
  close(await one("AveragePool", x, window), flat(average));
  // A transposed convolution spreads every pixel of a row.
  const turned = await one("ConvTranspose", tensor([1, 1, 2], [1, 10]), { strides: [2], output_padding: [1] }, [
    float32("w", [1, 1, 3], [1, 2, 3]),
  ]);
  close(turned, tensor([1, 1, 6], [1, 2, 13, 20, 30, 0]));
});

test("averages over windows that reach beyond padding, which does not count", async () => {
  const x = randomTensor([1, 2, 6, 5]);
  for (let i = 0; i < 6; i++) {
    const [kernel, stride] = [
      [int(2, 7), int(2, 6)],
      [int(1, 3), int(1, 3)],
    ];
    const pads = [int(0, kernel[0] - 1), int(0, kernel[1] - 1), int(kernel[0] - 1, 6), int(kernel[1] - 1, 6)];
    const isCeil = pick(0, 1);
    const y = await one("AveragePool", x, { kernel_shape: kernel, strides: stride, pads, ceil_mode: isCeil }, [], 19);
    const [, , rows, columns] = y.shape;
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const [top, left] = [r * stride[0] - pads[0], c * stride[1] - pads[1]];
        const seen: number[] = [];
        for (let j = Math.max(0, top); j < Math.min(6, top + kernel[0]); j++)
          for (let k = Math.max(0, left); k < Math.min(5, left + kernel[1]); k++) seen.push(x.data[j * 5 + k]);
        // One that sees padding alone has no average.
        if (seen.length === 0) continue;
        const mean = seen.reduce((sum, v) => sum + v, 0) / seen.length;
        const got = y.data[r * columns + c];
        assert.ok(Math.abs(got - mean) < 1e-5, `${got} at ${r}, ${c}, wanted ${mean}: ${kernel} ${stride} ${pads}`);
      }
    }
  }
});

test("Einsum: products of matrices between transpositions, and sums", async () => {
  const SIZES: Readonly<Record<string, number>> = { b: 2, h: 3, i: 4, j: 5, k: 3, C: 2 };
  const shapeOf = (term: string) => [...term].map((letter) => SIZES[letter]);
  for (const equation of [
    "bij,bjk->bik",
    "bhic, bhjc -> bhij".replaceAll("c", "C"),
    "ij,kj",
    "bhij,hjk->bik",
    "bijC,bkjC->bkji",
    "i,j->ij",
    "bij,k->bi",
    "bij->jb",
  ]) {
    const [given, result] = equation.replaceAll(" ", "").split("->");
    const terms = given.split(",");
    const letters = [...new Set(given.replaceAll(",", ""))];
    const wanted = result ?? "ik";
    const inputs = Object.fromEntries(terms.map((term, i) => [`x${i}`, randomTensor(shapeOf(term))]));
    const want = new Float64Array(sizeOf(shapeOf(wanted)));
    const place = (term: string, at: Readonly<Record<string, number>>) =>
      [...term].reduce((index, letter) => index * SIZES[letter] + at[letter], 0);
    for (let n = 0; n < sizeOf(shapeOf(letters.join(""))); n++) {
      let rest = n;
      const at: Record<string, number> = {};
      for (const letter of letters) {
        at[letter] = rest % SIZES[letter];
        rest = Math.floor(rest / SIZES[letter]);
      }
      want[place(wanted, at)] += terms.reduce((y, term, i) => y * inputs[`x${i}`].data[place(term, at)], 1);
    }
    const nodes: NodeInit[] = [["Einsum", Object.keys(inputs), ["y"], { equation }]];
    const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, shape]));
    const { y } = await run({ inputs: shapes, outputs: ["y"], nodes }, inputs);
    close(y, { shape: shapeOf(wanted), data: want }, equation);
    // The same where the second one is a weight.
    if (terms.length < 2) continue;
    const weight = float32("x1", inputs.x1.shape, inputs.x1.data);
    close(await one("Einsum", inputs.x0, { equation }, [weight]), { shape: shapeOf(wanted), data: want }, equation);
  }
  for (const equation of ["ii->i", "...i->i", "ij,ij,ij->i"])
    await refuses(
      () => one("Einsum", tensor([2, 2], [1, 2, 3, 4]), { equation }),
      UsageError,
      "USAGE",
      /Einsum, of more/,
    );
});

test("Max, Min, Neg and Abs are exact, also of what is not finite", async () => {
  // WGSL may take for zero what is below 1.2e-38.
  const special = [Infinity, -Infinity, 0, 1e38, -2e-38, 3];
  const [a, b] = [randomTensor([2, 1, 6]), randomTensor([4, 1])];
  a.data.set(special);
  b.data.set([-Infinity, 0.1]);
  const nodes: NodeInit[] = [
    ["Max", ["a", "b"], ["max"]],
    ["Min", ["a", "b"], ["min"]],
    ["Neg", ["a"], ["neg"]],
    ["Abs", ["a"], ["abs"]],
  ];
  const outputs = ["max", "min", "neg", "abs"];
  const results = await run({ inputs: { a: a.shape, b: b.shape }, outputs, nodes }, { a, b });
  const wide = (f: (x: number, y: number) => number) =>
    Float32Array.from({ length: 48 }, (_, i) =>
      f(a.data[Math.floor(i / 24) * 6 + (i % 6)], b.data[Math.floor(i / 6) % 4]),
    );
  const exactly = (name: string, want: Float32Array) =>
    assert.equal(
      [...results[name].data].map((v) => v + 0),
      [...want].map((v) => v + 0),
      name,
    );
  exactly("max", wide(Math.max));
  exactly("min", wide(Math.min));
  exactly(
    "neg",
    a.data.map((v) => -v),
  );
  exactly("abs", a.data.map(Math.abs));
});

test("GroupNormalization: a factor per group before opset 21, and per channel since", async () => {
  const x = randomTensor([2, 6, 4, 3], 3);
  const rows = { ...x, shape: [6, 24] };
  const { data } = evaluateReference(kernels.layerNorm, { x: rows }, { normalizedShape: [24], eps: 1e-3 });
  const attributes = { num_groups: 3, epsilon: { float: 1e-3 } };
  for (const [opset, count] of [
    [18, 3],
    [21, 6],
  ]) {
    const [scale, bias] = [randomTensor([count]), randomTensor([count])];
    const tensors = [float32("scale", [count], scale.data), float32("bias", [count], bias.data)];
    const at = (i: number) => Math.floor(((Math.floor(i / 12) % 6) * count) / 6);
    const want = data.map((v, i) => v * scale.data[at(i)] + bias.data[at(i)]);
    close(await one("GroupNormalization", x, attributes, tensors, opset), { shape: x.shape, data: want }, `${opset}`);
  }
});

test("GatherND: parts at constant places, some of them counted from the back", async () => {
  const x = randomTensor([3, 4, 5]);
  const places = [
    [2, 0],
    [-1, 3],
    [0, -4],
  ];
  const y = await one("GatherND", x, {}, [int64("places", places.flat(), [3, 1, 2])]);
  const rows = places.map(([a, b]) => ((a + 3) % 3) * 4 + ((b + 4) % 4));
  close(
    y,
    tensor(
      [3, 1, 5],
      rows.flatMap((row) => [...x.data.slice(5 * row, 5 * row + 5)]),
    ),
  );
  const batches = [int64("places", [0, 1, 2], [3, 1])];
  await refuses(() => one("GatherND", x, { batch_dims: 1 }, batches), UsageError, "USAGE", /GatherND, of batches/);
});

test("what is divided by its length is one step", async () => {
  const x = randomTensor([2, 3, 8]);
  const factors = randomTensor([3, 1]);
  const model = (last: NodeInit[]): ModelInit => ({
    inputs: { x: x.shape },
    outputs: ["y"],
    tensors: [float32("least", [], [1e-6]), float32("factors", [3, 1], factors.data), int64("shape", [2, 3, 8])],
    nodes: [["ReduceL2", ["x"], ["length"], { axes: [-1] }], ...last],
  });
  const { data } = evaluateReference(kernels.normalize, { x, scale: factors }, { eps: 1e-6 });
  for (const last of [
    [
      ["Max", ["length", "least"], ["most"]],
      ["Div", ["x", "most"], ["divided"]],
      ["Mul", ["factors", "divided"], ["y"]],
    ],
    [
      ["Clip", ["length", "least"], ["most"]],
      ["Expand", ["most", "shape"], ["wide"]],
      ["Div", ["x", "wide"], ["divided"]],
      ["Mul", ["divided", "factors"], ["y"]],
    ],
  ] satisfies NodeInit[][]) {
    const loaded = await loadOnnxModel(gpu, encodeModel(model(last)));
    close((await loaded.run({ x })).y, { shape: x.shape, data });
    assert.equal(
      (await loaded.plan()).steps.map(({ kernel }) => kernel),
      ["normalize"],
    );
    loaded.dispose();
  }
});

test("several inputs and outputs by their names", async () => {
  const [a, b] = [randomTensor([2, 3]), randomTensor([3])];
  const model: ModelInit = {
    inputs: { a: ["N", 3], b: [3] },
    outputs: ["sum", "product"],
    nodes: [
      ["Add", ["a", "b"], ["sum"]],
      ["Mul", ["a", "b"], ["product"]],
    ],
  };
  const results = await run(model, { a, b });
  close(results.sum, evaluateReference(kernels.add, { a, b }));
  close(results.product, evaluateReference(kernels.mul, { a, b }));
  const loaded = await loadOnnxModel(gpu, encodeModel(model));
  assert.equal(
    [loaded.inputs, loaded.outputs],
    [
      { a: [1, 3], b: [3] },
      { sum: [1, 3], product: [1, 3] },
    ],
  );
  await refuses(() => loaded.run({ a: b.data }), UsageError, "USAGE", /the input "b" is undefined/);
  await refuses(() => loaded.run({ a, b }), UsageError, "USAGE", /the input "a" .* a tensor of shape \[1,3\]/);
  await refuses(() => loaded.run({ c: b }), UsageError, "USAGE", /no input "c"; there are "a", "b"/);
  loaded.dispose();
  await refuses(
    () => loadOnnx(gpu, encodeModel(model)),
    UsageError,
    "USAGE",
    /takes "a" \[\?,3\], "b" \[3\], and a net takes images: use loadOnnxModel/,
  );
});

test("all that is missing is told at once, by operator and layer", async () => {
  const model: ModelInit = {
    opset: 13,
    inputs: { x: [1, 3, 8, 8] },
    outputs: ["y", "z"],
    tensors: [float32("w", [4, 3, 3, 3, 3], new Float32Array(4 * 81))],
    nodes: [
      ["NonMaxSuppression", ["x"], ["boxes"]],
      ["Relu", ["boxes"], ["relu"]],
      ["TopK", ["relu"], ["y"]],
      ["LRN", ["x"], ["lrn"], { size: 4 }],
      ["NonMaxSuppression", ["lrn"], ["z"]],
    ],
  };
  await refuses(
    () => loadOnnx(gpu, encodeModel(model)),
    UsageError,
    "USAGE",
    /of opset 13, needs what is not here: NonMaxSuppression \("boxes", "z"\); TopK \("y"\); LRN, of an even size \("lrn"\)$/,
  );
  // What no output needs is nobody's concern.
  const loaded = await loadOnnxModel(gpu, encodeModel({ ...model, outputs: ["x"], nodes: model.nodes.slice(0, 1) }));
  loaded.dispose();
  await refuses(
    () => loadOnnx(gpu, encodeModel({ ...model, opset: 6 })),
    WeightsError,
    "WEIGHTS",
    /of opset 6; wanted 7 or later/,
  );
  await refuses(() => loadOnnx(gpu, Buffer.from("PK no model")), WeightsError, "WEIGHTS", /./);
});

test("tensors in files beside the model, and none elsewhere", async () => {
  const folder = await mkdtemp(join(tmpdir(), "onnx-"));
  try {
    const c = randomTensor([6]);
    const model = (entries: Readonly<Record<string, string>>): ModelInit => ({
      inputs: { x: [6] },
      outputs: ["y"],
      tensors: [
        {
          ...{ name: "c", dims: [6n], dataType: DataType.FLOAT, dataLocation: 1 },
          externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
        },
      ],
      nodes: [["Add", ["x", "c"], ["y"]]],
    });
    const path = join(folder, "a.onnx");
    const x = randomTensor([6]);
    await writeFile(join(folder, "a.onnx.data"), Buffer.concat([Buffer.alloc(8), new Uint8Array(c.data.buffer)]));
    await writeFile(path, encodeModel(model({ location: "a.onnx.data", offset: "8", length: "24" })));
    const loaded = await loadOnnxModel(gpu, path);
    close((await loaded.run({ x })).y, evaluateReference(kernels.add, { a: x, b: c }));
    loaded.dispose();
    await mkdir(join(folder, "weights/of a"), { recursive: true });
    await writeFile(join(folder, "weights/of a/c.bin"), new Uint8Array(c.data.buffer));
    await writeFile(path, encodeModel(model({ location: "weights/of a/c.bin" })));
    const other = await loadOnnxModel(gpu, path);
    close((await other.run({ x })).y, evaluateReference(kernels.add, { a: x, b: c }));
    other.dispose();
    for (const [entries, message] of [
      [{ location: "../a.onnx.data" }, /in "\.\.\/a\.onnx\.data", wanted the name of a file beside it/],
      [{ location: "weights/../../a.onnx.data" }, /wanted the name of a file beside it, or in a folder beside it/],
      [{ location: "weights//c.bin" }, /wanted the name of a file beside it/],
      [{ location: "/etc/passwd" }, /wanted the name of a file beside it/],
      [{}, /in "", wanted the name of a file beside it/],
      [{ location: "a.onnx.data", offset: "12" }, /"c" ends behind the end of/],
      [{ location: "a.onnx.data", length: "20" }, /"c" has 20 bytes; its shape wants 24/],
      [{ location: "a.onnx.data", offset: "-8" }, /"c" has no legal place/],
    ] as const) {
      await writeFile(path, encodeModel(model(entries)));
      await refuses(() => loadOnnxModel(gpu, path), WeightsError, "WEIGHTS", message);
    }
    const bytes = encodeModel(model({ location: "a.onnx.data" }));
    await refuses(() => loadOnnxModel(gpu, bytes), WeightsError, "WEIGHTS", /only a path or an address leads to/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.run();
