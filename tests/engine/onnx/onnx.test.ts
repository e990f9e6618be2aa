import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { build } from "esbuild";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AnyNet, trace } from "../../../engine/definition.ts";
import { paramShapes } from "../../../engine/graph/graph.ts";
import { defineKernel, type KernelSpec } from "../../../engine/graph/kernel.ts";
import { UsageError, WeightsError } from "../../../engine/ground/errors.ts";
import { type Shape, sizeOf } from "../../../engine/ground/tensor.ts";
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type ValueInfoProto,
} from "../../../engine/node/onnx_pb.ts";
import { type ExportOptions, onnxGraph, traceOnnx } from "../../../engine/onnx/export.ts";
import type { Checkpoint } from "../../../engine/weights/checkpoint.ts";
import { exportOnnx, fileSource, nets, openCheckpoint } from "../../../index.ts";
import { add } from "../../../kernels/elementwise/add.ts";
import * as kernels from "../../../kernels/index.ts";
import { onnxOperators } from "../../../kernels/onnx.ts";
import { named } from "../../../nets/layers.ts";
import { packageFile } from "../../../tools/package.ts";
import { refuses, someOf } from "../../harness.ts";

async function join(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

async function exported(...args: Parameters<typeof exportOnnx>): Promise<ModelProto & { readonly graph: GraphProto }> {
  const model = fromBinary(ModelProtoSchema, await join(exportOnnx(...args)));
  assert.ok(model.graph);
  return model as ModelProto & { readonly graph: GraphProto };
}

/** Shapes by name, of a model's inputs or outputs. */
const shapesOf = (values: readonly ValueInfoProto[]) =>
  Object.fromEntries(
    values.map(({ name, type }) => {
      assert.is(type?.value.case, "tensorType");
      const dims = type?.value.case === "tensorType" ? (type.value.value.shape?.dim ?? []) : [];
      return [name, dims.map(({ value: { value } }) => (typeof value === "bigint" ? Number(value) : value))];
    }),
  );

/** An attribute's value, whatever its type. */
const attributesOf = ({ attribute }: GraphProto["node"][number]) =>
  Object.fromEntries(
    attribute.map(({ name, type, i, f, ints }) => [name, type === 1 ? f : type === 2 ? Number(i) : ints.map(Number)]),
  );

test("LeNet-5, decoded: its layers by their names, and its weights bit by bit", async () => {
  const { version } = JSON.parse(readFileSync(packageFile("package.json"), "utf8"));
  const { graph, ...model } = await exported("lenet5");
  assert.equal([model.irVersion, model.producerName, model.producerVersion], [8n, "shadenet", version]);
  assert.equal(
    model.opsetImport.map(({ domain, version }) => [domain, version]),
    [["", 17n]],
  );
  assert.is(model.docString, "lenet5: x [N, 1, 32, 32] -> logits [N, 10]");
  assert.is(graph.name, "lenet5");
  assert.equal(shapesOf(graph.input), { x: ["N", 1, 32, 32] });
  assert.equal(shapesOf(graph.output), { logits: ["N", 10] });
  assert.equal(
    graph.node.map(({ name, opType, input, output }) => [name, opType, input.join(" "), output.join(" ")]),
    [
      ["conv1", "Conv", "x conv1.weight conv1.bias", "conv1"],
      ["tanh1", "Tanh", "conv1", "tanh1"],
      ["pool1", "AveragePool", "tanh1", "pool1"],
      ["conv2", "Conv", "pool1 conv2.weight conv2.bias", "conv2"],
      ["tanh2", "Tanh", "conv2", "tanh2"],
      ["pool2", "AveragePool", "tanh2", "pool2"],
      ["conv3", "Conv", "pool2 conv3.weight conv3.bias", "conv3"],
      ["tanh3", "Tanh", "conv3", "tanh3"],
      ["flatten", "Flatten", "tanh3", "flatten"],
      ["linear1", "Gemm", "flatten linear1.weight linear1.bias", "linear1"],
      ["tanh4", "Tanh", "linear1", "tanh4"],
      // An output is called what it was asked for as.
      ["logits", "Gemm", "tanh4 linear2.weight linear2.bias", "logits"],
    ],
  );
  assert.equal(attributesOf(graph.node[0]), {
    kernel_shape: [5, 5],
    strides: [1, 1],
    pads: [0, 0, 0, 0],
    dilations: [1, 1],
    group: 1,
  });
  assert.equal(attributesOf(graph.node[9]), { transB: 1 });

  const weights = await openCheckpoint(await fileSource(packageFile("nets/weights/lenet5.safetensors")));
  assert.equal(graph.initializer.map(({ name }) => name).sort(), [...weights.tensors.keys()].sort());
  for (const { name, dims, dataType, rawData } of graph.initializer) {
    assert.equal([dims.map(Number), dataType], [weights.tensors.get(name)?.shape, 1], name);
    assert.equal(new Float32Array(new Uint8Array(rawData).buffer), await weights.read(name), name);
  }
  await weights.close();
});

test("a batch, an image size and outputs of one's own", async () => {
  const outputs = ["linear2", "logits", "probabilities", "pool1"];
  const { graph } = await exported("lenet5", { batch: 3, outputs });
  assert.equal(shapesOf(graph.input), { x: [3, 1, 32, 32] });
  assert.equal(shapesOf(graph.output), {
    linear2: [3, 10],
    logits: [3, 10],
    probabilities: [3, 10],
    pool1: [3, 6, 14, 14],
  });
  // One value cannot have two names.
  const [probabilities, logits] = graph.node.slice(-2);
  assert.equal([probabilities.opType, probabilities.input], ["Softmax", ["linear2"]]);
  assert.equal([logits.opType, logits.input, logits.output], ["Identity", ["linear2"], ["logits"]]);

  const early = await exported("lenet5", { outputs: ["tanh1"] });
  assert.equal(
    early.graph.initializer.map(({ name }) => name),
    ["conv1.weight", "conv1.bias"],
  );
  const small = traceOnnx(nets.resnet18, { imageSize: [64, 96], ...{ inChannels: 1, numClasses: 7 } }, onnxOperators);
  assert.equal([small.inputs, small.outputs], [{ x: ["N", 1, 64, 96] }, { logits: ["N", 7] }]);
});

/** Every value has one name, and is there before it is read. */
function checkNames({ inputs, outputs, nodes, constants, params }: ReturnType<typeof traceOnnx>): void {
  const given = [...Object.keys(inputs), ...Object.keys(constants), ...params.map(({ name }) => name)];
  const known = new Set(given);
  assert.is(known.size, given.length);
  for (const { name, inputs } of nodes) {
    for (const input of inputs) assert.ok(input === "" || known.has(input), `${name} reads ${input}`);
    assert.not(known.has(name), `two values are called ${name}`);
    known.add(name);
  }
  for (const name of Object.keys(outputs)) assert.ok(known.has(name), name);
}

/** A graph without the functions that derive parameters, of which no two are equal. */
const withoutFunctions = ({ params, ...graph }: ReturnType<typeof traceOnnx>) => ({
  ...graph,
  params: params.map(({ from, ...param }) => ({ ...param, sources: from?.sources })),
});

test("every net: whole, with torchvision's names, for any batch", () => {
  for (const [name, definition] of someOf(Object.entries(nets), 5)) {
    const traced = (batch: number) => trace(definition, { batch });
    const graph = traceOnnx(definition, { outputs: ["logits", "probabilities"] }, onnxOperators);
    checkNames(graph);
    const wanted = paramShapes(traced(1));
    const read = graph.params.flatMap(({ name, from }) => from?.sources ?? [name]);
    assert.equal([...new Set(read)].sort(), [...wanted.keys()].sort(), name);
    for (const param of graph.params) if (!param.from) assert.equal(param.shape, wanted.get(param.name), name);
    assert.equal(graph.outputs.logits, ["N", definition.options.numClasses], name);
    // Nothing but N depends on the batch.
    const other = onnxGraph(name, [traced(4), traced(5)], ["logits", "probabilities"], onnxOperators);
    assert.equal(withoutFunctions(other), withoutFunctions(graph), name);
    const nodes = new Set(graph.nodes.map((node) => node.name));
    const layers = traced(1).names;
    const ids = new Set(layers.values());
    const missing = [...ids].filter((id) => ![...layers].some(([layer, each]) => each === id && nodes.has(layer)));
    assert.equal(missing, [], `${name} has layers without a name`);
  }
});

/** Gives zeros in place of weights, and counts what is read. */
function emptyCheckpoint(net: string, failing?: string): Checkpoint & { reads: number; closed: boolean } {
  const shapes = paramShapes(trace(nets[net]));
  return {
    name: "zeros",
    tensors: new Map([...shapes].map(([name, shape]) => [name, { shape, dtype: "F32" }])),
    reads: 0,
    closed: false,
    async read(name, start = 0, count) {
      if (name === failing) throw new WeightsError(`${name} cannot be read`);
      this.reads++;
      return new Float32Array(count ?? sizeOf(shapes.get(name) as Shape) - start);
    },
    async close() {
      this.closed = true;
    },
  };
}

test("weights pass through a few megabytes at a time", async () => {
  const weights = emptyCheckpoint("alexnet");
  let size = 0;
  let progress = 0;
  const onProgress: ExportOptions["onProgress"] = ({ loaded, total }) => {
    progress = loaded / total;
  };
  for await (const piece of exportOnnx("alexnet", { weights, onProgress })) {
    assert.ok(piece.length <= 2 ** 22);
    assert.ok(weights.reads <= 1 + size / 2 ** 10, "it read ahead");
    size += piece.length;
  }
  assert.ok(size > 244e6 && size < 245e6);
  assert.equal([weights.closed, progress], [true, 1]);
});

test("what was opened is closed, whatever comes", async () => {
  const left = emptyCheckpoint("lenet5");
  for await (const piece of exportOnnx("lenet5", { weights: left })) {
    assert.ok(piece.length > 0);
    break;
  }
  assert.ok(left.closed);

  const failing = emptyCheckpoint("lenet5", "conv2.bias");
  await refuses(
    () => join(exportOnnx("lenet5", { weights: failing })),
    WeightsError,
    "WEIGHTS",
    /conv2.bias cannot be read/,
  );
  assert.ok(failing.closed);

  const other = emptyCheckpoint("alexnet");
  await refuses(() => join(exportOnnx("lenet5", { weights: other })), WeightsError, "WEIGHTS", /zeros does not fit/);
  assert.ok(other.closed && other.reads === 0);

  const stopped = emptyCheckpoint("lenet5");
  const stop = new AbortController();
  const onProgress = () => stop.abort(new Error("enough"));
  const error = await join(exportOnnx("lenet5", { weights: stopped, signal: stop.signal, onProgress })).catch((e) => e);
  assert.equal([error.message, stopped.closed, stopped.reads], ["enough", true, 1]);
});

/** A net of one's own for images of 8 x 8 pixels. */
const netOf = (build: AnyNet["build"]): AnyNet => ({ ...nets.lenet5, name: "mine", imageSize: [8, 8], build });

test("what ONNX cannot hold is refused in one clear line", async () => {
  const refusesUse = (net: string | AnyNet, options: Record<string, unknown>, message: RegExp) =>
    refuses(() => join(exportOnnx(net, options)), UsageError, "USAGE", message);
  const twice = defineKernel({ ...(kernels.relu as unknown as KernelSpec<"x", object>), name: "twice" });

  await refusesUse(
    netOf((x) => named("double", twice(x))),
    {},
    /logits cannot be exported: ONNX has no operator for twice, only for .*conv2d/,
  );
  await refusesUse(
    netOf((x) => kernels.lrn(x, { size: 4 })),
    {},
    /lrn of an even size \(4\)/,
  );
  await refusesUse(
    netOf((x) => (x.shape[0] > 2 ? kernels.relu(x) : x)),
    {},
    /another one for another batch.*give the option batch/,
  );
  await refusesUse(
    netOf((x) =>
      x.graph.reshape(kernels.matmul(x.graph.reshape(x, [x.shape[0], 64]), x.graph.reshape(x, [64, x.shape[0]])), [
        1,
        x.shape[0],
        x.shape[0],
      ]),
    ),
    {},
    /matmul is reshaped in a way that depends on the batch twice/,
  );
  await refusesUse(
    netOf((x) => named("x", kernels.relu(x))),
    { outputs: ["x"] },
    /the output x is called like an input or a parameter/,
  );
  await refusesUse("vgg16", { numClasses: 400_000 }, /vgg16 would be a model of 7\d{9} bytes.* ends at 2147483647/);
  await refusesUse("lenet6", {}, /no net "lenet6"/);
  await refusesUse("alexnet", {}, /alexnet comes without weights/);
  await refusesUse("lenet5", { outputs: ["conv9"] }, /no layer called "conv9"; there are conv1, /);
  await refusesUse("lenet5", { outputs: [] }, /outputs is \[\]; it must be an array of names/);
  await refusesUse(
    "lenet5",
    { passes: [] },
    /no option "passes"; its options are .*numClasses, weights, weightsKey, batch/,
  );
});

test("layers that are called like other values, and values without a name", () => {
  const net = netOf((x) => {
    const y = named("x", kernels.relu(kernels.tanh(x)));
    return add(named("w", kernels.sigmoid(y)), x.graph.param("w", [1]), { alpha: 2 });
  });
  const graph = traceOnnx(net, {}, onnxOperators);
  checkNames(graph);
  assert.equal(
    graph.nodes.map(({ name, inputs }) => `${name}: ${inputs.join(", ")}`),
    ["tanh: x", "x_2: tanh", "w_2: x_2", "logits/Mul: w, logits/Mul/constant", "logits: w_2, logits/Mul"],
  );
});

test("protobuf is loaded for an export only", async () => {
  const { metafile } = await build({
    entryPoints: [packageFile("dist/index.js"), packageFile("dist/cli/main.js")],
    outdir: "unused",
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    format: "esm",
    packages: "external",
  });
  const importers = (pattern: RegExp) =>
    Object.entries(metafile.inputs).flatMap(([file, { imports }]) =>
      imports.flatMap(({ path, kind }) => (pattern.test(path) ? [`${basename(file)}: ${kind}`] : [])),
    );
  assert.equal(
    new Set(importers(/^@bufbuild\//)),
    new Set(["onnx_file.js: import-statement", "onnx_pb.js: import-statement"]),
  );
  assert.equal(importers(/onnx_pb\.js$/), ["onnx_file.js: import-statement"]);
  assert.equal(importers(/onnx_file\.js$/), ["onnx.js: dynamic-import"]);
});

test.run();
