import { readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AnyNet, inputShape, trace } from "../../../engine/definition.ts";
import { deriveParam, Graph, paramShapes } from "../../../engine/graph/graph.ts";
import type { AnyKernel } from "../../../engine/graph/kernel.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { type Shape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import { layOutModel } from "../../../engine/node/onnx_file.ts";
import { onnxGraph } from "../../../engine/onnx/export.ts";
import { exportOnnx, nets } from "../../../index.ts";
import { ACTIVATIONS } from "../../../kernels/activation.ts";
import * as kernels from "../../../kernels/index.ts";
import { onnxOperators } from "../../../kernels/onnx.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { generatedCheckpoint, generatedInput } from "../../../tools/hashinit.ts";
import { packageFile } from "../../../tools/package.ts";
import { readNets } from "../../conformance/goldens.ts";
import {
  assertClose,
  drawBroadcast,
  drawPool,
  int,
  isDeep,
  open,
  pairOf,
  pick,
  randomOrder,
  randomShape,
  randomTensor,
  someOf,
  withNet,
} from "../../harness.ts";

// Exported models in ONNX Runtime, where it is installed for the comparison of peers.

/** What is used of npm `onnxruntime-node`. */
interface Runtime {
  readonly Tensor: new (type: "float32", data: Float32Array, shape: Shape) => object;
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: { readonly executionProviders: readonly string[] },
    ): Promise<{
      run(inputs: object): Promise<Record<string, { readonly dims: Shape; readonly data: Float32Array }>>;
      release(): Promise<void>;
    }>;
  };
}

function findRuntime(): Runtime | undefined {
  try {
    return createRequire(packageFile("bench/peers/package.json"))("onnxruntime-node");
  } catch {
    console.log("skipped: ONNX Runtime is not installed (npm ci --prefix bench/peers)");
    return undefined;
  }
}

const runtime = findRuntime();
const gpu = await open();

/** Adds a test that needs ONNX Runtime. */
const testRuntime = (name: string, body: (runtime: Runtime) => Promise<void>): void =>
  runtime ? test(name, () => body(runtime)) : test.skip(name);

/** Runs a model once on each of several inputs. */
async function runModel(
  { Tensor, InferenceSession }: Runtime,
  model: Uint8Array,
  ...batches: Readonly<Record<string, Tensor>>[]
): Promise<Record<string, Tensor>[]> {
  const session = await InferenceSession.create(model, { executionProviders: ["cpu"] });
  const results: Record<string, Tensor>[] = [];
  for (const inputs of batches) {
    const given = Object.entries(inputs).map(([name, { shape, data }]) => [name, new Tensor("float32", data, shape)]);
    const outputs = await session.run(Object.fromEntries(given));
    const read = Object.entries(outputs).map(([name, { dims, data }]) => [name, { shape: dims, data }]);
    results.push(Object.fromEntries(read));
  }
  await session.release();
  return results;
}

type Inputs = Readonly<Record<string, Tensor | undefined>>;

/** A model of one call of a kernel, with all that the call reads as inputs, and y as its output. */
function modelOf(kernel: AnyKernel, inputs: Inputs, options: object): Uint8Array {
  const graph = new Graph();
  const values = Object.entries(inputs).map(([name, x]) => x && graph.input(name, x.shape));
  graph.name("y", kernel(...values, options));
  return Buffer.concat(layOutModel(onnxGraph(kernel.name, [graph, graph], ["y"], onnxOperators), "0") as Uint8Array[]);
}

const tensorOf = (...shape: number[]): Tensor => randomTensor(shape);
const maybe = <T>(value: T): T | undefined => pick(undefined, value);
const image = () => tensorOf(int(1, 3), int(1, 5), int(1, 9), int(1, 9));
const yesNo = () => pick(false, true);

/** Random calls of every kernel, with whatever its options allow. */
const DRAW: Readonly<Record<string, () => readonly [inputs: Inputs, options?: object]>> = {
  conv2d() {
    const groups = pick(1, 1, 2, 3);
    const [outChannels, perGroup] = [groups * int(1, 4), int(1, 3)];
    const padding = pick(int(0, 3), [int(0, 2), int(0, 2)], [int(0, 3), int(0, 3), int(0, 3), int(0, 3)]);
    const geometry = { stride: pairOf(() => int(1, 3)), padding, dilation: pairOf(() => int(1, 3)), groups };
    const options = { ...geometry, activation: pick(...ACTIVATIONS) };
    const x = tensorOf(int(1, 3), groups * perGroup, int(10, 13), int(10, 13));
    const w = tensorOf(outChannels, perGroup, int(1, 4), int(1, 4));
    const y = (kernels.conv2d as AnyKernel).shape({ x: x.shape, w: w.shape }, options);
    return [{ x, w, b: maybe(tensorOf(outChannels)), r: maybe(randomTensor(y)) }, options];
  },
  linear() {
    const [inFeatures, outFeatures] = [int(1, 40), int(1, 20)];
    const x = tensorOf(...pick([], [1], [3], [2, 3], [1, 2, 2]), inFeatures);
    return [
      { x, w: tensorOf(outFeatures, inFeatures), b: maybe(tensorOf(outFeatures)) },
      { activation: pick(...ACTIVATIONS) },
    ];
  },
  batchnorm() {
    const channels = int(1, 6);
    const variance = { shape: [channels], data: tensorOf(channels).data.map((v) => Math.abs(v) + 0.1) };
    return [
      {
        x: tensorOf(int(1, 3), channels, ...pick([], [5], [4, 3])),
        mean: tensorOf(channels),
        variance,
        weight: maybe(tensorOf(channels)),
        bias: maybe(tensorOf(channels)),
      },
      { eps: pick(1e-5, 0.1) },
    ];
  },
  layernorm() {
    const last = randomShape(1, 3);
    const affine = { weight: maybe(randomTensor(last)), bias: maybe(randomTensor(last)) };
    const normalizedShape = affine.weight || affine.bias ? maybe(last) : last;
    return [
      { x: tensorOf(...randomShape(0, 3), ...last), ...affine },
      { normalizedShape: normalizedShape ?? null, eps: pick(1e-5, 0.1) },
    ];
  },
  lrn() {
    const options = { size: pick(1, 3, 5, 9), alpha: pick(1e-4, 0.1, 4), beta: pick(0.5, 0.75, 1), k: pick(1, 2) };
    return [{ x: randomTensor([int(1, 3), int(1, 8), ...randomShape(1, 3)], pick(1, 20)) }, options];
  },
  maxpool2d() {
    const dilation = pairOf(() => int(1, 3));
    const { x: shape, options } = drawPool(dilation);
    const x = randomTensor(shape);
    // A window that sees padding alone gives the lowest number there, not -infinity.
    const { data } = evaluateReference(kernels.maxPool2d, { x }, { ...options, dilation });
    return data.includes(-Infinity) ? DRAW.maxpool2d() : [{ x }, { ...options, dilation }];
  },
  avgpool2d() {
    const { x, options } = drawPool();
    return [{ x: randomTensor(x) }, { ...options, countIncludePad: yesNo(), divisorOverride: pick(null, null, 5) }];
  },
  adaptive_avgpool2d: () => [{ x: image() }, { outputSize: pairOf(() => pick(1, 2, 3, 4, 7)) }],
  pad() {
    const x = tensorOf(int(1, 3), int(1, 5), int(3, 9), int(3, 9));
    return [{ x }, { padding: [int(-1, 3), int(-1, 3), int(-1, 3), int(-1, 3)], value: pick(0, -1.5) }];
  },
  add() {
    const [a, b] = drawBroadcast(int(0, 7));
    return [
      { a: randomTensor(a), b: randomTensor(b) },
      { alpha: pick(1, -1, 0.5), activation: pick(...ACTIVATIONS) },
    ];
  },
  mul() {
    const [a, b] = drawBroadcast(int(0, 7));
    return [{ a: randomTensor(a), b: randomTensor(b) }];
  },
  matmul() {
    const [m, k, n] = [int(1, 9), int(1, 9), int(1, 9)];
    const [a, b] = pick(
      [[], []],
      [[3], [3]],
      [[2, 3], []],
      [[], [2, 3]],
      [
        [2, 1],
        [1, 3],
      ],
      [[3, 1, 2], [2]],
    );
    return [{ a: tensorOf(...a, m, k), b: tensorOf(...b, k, n) }, { scale: pick(1, 0.25) }];
  },
  concat() {
    const shape = randomShape(1);
    const dim = int(0, shape.length - 1);
    const parts = Array.from({ length: int(1, 4) }, (_, i) => [`x${i}`, randomTensor(shape.with(dim, int(1, 5)))]);
    return [Object.fromEntries(parts), { dim: pick(dim, dim - shape.length) }];
  },
  permute() {
    const x = randomTensor(randomShape(1, 5).map((size) => Math.min(size, 5)));
    return [{ x }, { dims: randomOrder(x.shape.length) }];
  },
  slice() {
    const x = randomTensor(randomShape(1));
    const dim = int(-x.shape.length, x.shape.length - 1);
    const start = int(0, (x.shape.at(dim) as number) - 1);
    return [{ x }, { dim, start, end: pick(Infinity, start + int(1, 3)), step: int(1, 3) }];
  },
  roll() {
    const x = randomTensor(randomShape(1));
    const dims = x.shape.flatMap((_, d) => pick([], [d], [d - x.shape.length]));
    return [{ x }, { shifts: dims.map(() => int(-9, 9)), dims }];
  },
  gather() {
    const x = randomTensor(randomShape(1, 3));
    const dim = int(-x.shape.length, x.shape.length - 1);
    const size = x.shape.at(dim) as number;
    const indices = tensorOf(...randomShape(0, 2));
    return [{ x, indices: { ...indices, data: indices.data.map(() => int(-size, size - 1)) } }, { dim }];
  },
  normalize() {
    const x = randomTensor(randomShape(2));
    return [{ x, scale: maybe(tensorOf(x.shape.at(-2) as number, 1)) }, { eps: pick(1e-12, 0.5) }];
  },
  mean() {
    const x = randomTensor(randomShape(1));
    const dims = x.shape.flatMap((_, d) => pick([], [d], [d - x.shape.length]));
    return [{ x }, { dims: dims.length > 0 ? dims : [0], keepDim: yesNo() }];
  },
  softmax() {
    const x = randomTensor(randomShape(1), 9);
    return [{ x }, { dim: int(-x.shape.length, x.shape.length - 1), log: yesNo() }];
  },
  channel_shuffle() {
    const groups = int(1, 4);
    return [{ x: tensorOf(int(1, 3), groups * int(1, 4), ...pick([5], [2, 3], [2, 3, 2])) }, { groups }];
  },
  clamp: () => [{ x: image() }, pick({}, { low: -0.3 }, { high: 0.4 }, { low: -0.5, high: 0.5 })],
  leaky_relu: () => [{ x: image() }, { negativeSlope: pick(0.01, 0.2) }],
  ...Object.fromEntries(
    ["relu", "tanh", "sigmoid", "hardsigmoid", "hardswish", "silu", "gelu"].map((name) => [
      name,
      () => [{ x: randomTensor(randomShape(), 5) }],
    ]),
  ),
};

const all = Object.values<object>(kernels).filter(
  (value): value is AnyKernel => "shape" in value && Object.hasOwn(onnxOperators, (value as AnyKernel).name),
);

test("there are calls of every kernel that ONNX has", () => {
  assert.equal(Object.keys(DRAW).sort(), Object.keys(onnxOperators).sort());
  assert.equal(all.map(({ name }) => name).sort(), Object.keys(onnxOperators).sort());
});

for (const kernel of all) {
  testRuntime(`${kernel.name} in ONNX Runtime, 12 random calls`, async (ort) => {
    for (let i = 0; i < 12; i++) {
      const [inputs, options = {}] = DRAW[kernel.name]();
      const want = evaluateReference(kernel, inputs, options);
      const present = Object.fromEntries(Object.entries(inputs).flatMap(([name, x]) => (x ? [[name, x]] : [])));
      const [{ y }] = await runModel(ort, modelOf(kernel, inputs, options), present);
      const largest = want.data.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
      const shapes = Object.entries(present).map(([name, x]) => `${name} [${x.shape}]`);
      const what = `${kernel.name} of ${shapes.join(", ")} with ${JSON.stringify(options)}`;
      // Its power function, which LRN needs, is not exact.
      const tolerance = kernel === kernels.lrn ? 3e-4 : 1e-5;
      assertClose(y, want, () => tolerance * largest, what);
    }
  });
}

async function join(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return Buffer.concat(parts);
}

testRuntime("a parameter that is derived when the weights load is in the model as it was computed", async (ort) => {
  const table = tensorOf(10, 16);
  const reversed = (values: Float32Array) => values.slice().reverse();
  const build = (x: Value) =>
    kernels.linear(
      kernels.flatten(x),
      deriveParam(x.graph.param("table", table.shape), "reversed", table.shape, reversed),
    );
  const model = await join(
    exportOnnx({ ...nets.lenet5, name: "mine", imageSize: [4, 4], build }, { weights: { table } }),
  );
  const x = tensorOf(2, 1, 4, 4);
  const [{ logits }] = await runModel(ort, model, { x });
  const inputs = { x: { ...x, shape: [2, 16] }, w: { ...table, data: reversed(table.data) } };
  assertClose(logits, evaluateReference(kernels.linear, inputs), () => 1e-5);
});

const parametersOf = (net: AnyNet): number =>
  [...paramShapes(trace(net)).values()].reduce((sum, shape) => sum + sizeOf(shape), 0);

/** The smallest net of every family: those that one file defines. */
async function smallestOfFamilies(): Promise<AnyNet[]> {
  const folder = new URL("../../../nets/", import.meta.url);
  const files = (await readdir(folder)).filter((file) => file.endsWith(".js") && file !== "index.js");
  const known = new Set<unknown>(Object.values(nets));
  const found: AnyNet[] = [];
  for (const file of files) {
    const family = Object.values<AnyNet>(await import(new URL(file, folder).href)).filter((value) => known.has(value));
    if (family.length > 0) found.push(family.reduce((a, b) => (parametersOf(b) < parametersOf(a) ? b : a)));
  }
  return found;
}

/** The smallest of some sizes that a net takes, in pixels. */
const smallSize = (net: AnyNet): number =>
  [64, 96, ...net.imageSize].find((imageSize) => {
    try {
      return trace(net, { imageSize });
    } catch {
      return false;
    }
  }) as number;

const families = runtime ? await smallestOfFamilies() : [];
// The others take seconds each.
const isQuick = (net: AnyNet): boolean => parametersOf(net) < 2e7;
for (const net of someOf(isDeep ? families : families.filter(isQuick), 2)) {
  testRuntime(`the family of ${net.name} gives in ONNX Runtime what it gives here, in layers, too`, async (ort) => {
    const options = { imageSize: smallSize(net) };
    const weights = randomWeights(net, options, int(1, 1e6));
    const features = someOf([...trace(net, options).names.keys()], 8).filter((name) => name !== "probabilities");
    const outputs = [...new Set(["logits", ...features])];
    const x = randomTensor(inputShape(net, { ...options, batch: 2 }));
    const [theirs] = await runModel(ort, await join(exportOnnx(net, { ...options, weights, outputs })), { x });
    await withNet(gpu, net, { ...options, weights, batch: 2 }, async (loaded) => {
      const ours = await loaded.run(x, { features: outputs });
      for (const name of outputs) {
        const { shape, data } = ours.features[name];
        const rms = Math.sqrt(data.reduce((sum, v) => sum + v * v, 0) / data.length);
        assert.ok(rms > 0, `${net.name}: ${name} is zero`);
        assertClose(theirs[name], { shape, data }, () => 3e-4 * rms, `${net.name}: ${name}`);
      }
    });
  });
}

for (const key of ["lenet5", "resnet18"]) {
  testRuntime(`${key} in ONNX Runtime: logits and layers are PyTorch's, for two images and for one`, async (ort) => {
    const goldens = readNets();
    const { logits_f64: logits, logits_rms: rms, stages, input_shape: shape } = goldens.nets[key];
    const outputs = ["logits", ...stages.map(({ stage }) => stage)];
    const model = await join(exportOnnx(key, { weights: generatedCheckpoint(goldens, key), outputs }));
    const x = { shape, data: generatedInput(goldens, key) };
    const first = { shape: shape.with(0, 1), data: x.data.subarray(0, sizeOf(shape.slice(1))) };
    const [both, one] = await runModel(ort, model, { x }, { x: first });
    for (const result of [both, one]) {
      const [images, classes] = result.logits.shape;
      const want = Float64Array.from(logits.slice(0, images * classes));
      assertClose(result.logits, { shape: [images, classes], data: want }, () => 1e-5 * rms, key);
    }
    for (const { stage, shape, rms, samples } of stages) {
      assert.equal(both[stage].shape, shape, stage);
      for (const [index, value] of samples) {
        assert.ok(Math.abs(both[stage].data[index] - value) <= 1e-4 * rms, `${stage}: ${index}`);
      }
    }
  });
}

test.run();
