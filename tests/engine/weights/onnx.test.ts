import { buffer } from "node:stream/consumers";
import { create, toBinary } from "@bufbuild/protobuf";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Graph } from "../../../engine/graph/graph.ts";
import { ShadenetError, UsageError, WeightsError } from "../../../engine/ground/errors.ts";
import { TensorProto_DataType as DataType, ModelProtoSchema } from "../../../engine/node/onnx_pb.ts";
import { addOnnx } from "../../../engine/onnx/import.ts";
import type { ByteSource } from "../../../engine/weights/checkpoint.ts";
import { openOnnx } from "../../../engine/weights/onnx.ts";
import { bytesSource, openCheckpoint } from "../../../engine/weights/sources.ts";
import { exportOnnx } from "../../../index.ts";
import { restOnnxReaders } from "../../../kernels/onnx_import_rest.ts";
import { inDepth, int, isDeep, pick, random, refuses } from "../../harness.ts";
import { encodeModel, float32, int64, type ModelInit, type NodeInit, quantized } from "../onnx/models.ts";

const lenet5 = await buffer(exportOnnx("lenet5"));

test("a model is a checkpoint, of which no more is read than its graph", async () => {
  let read = 0;
  const inner = bytesSource(lenet5, "lenet5.onnx");
  const source: ByteSource = {
    ...inner,
    async read(offset, length) {
      read += length;
      return inner.read(offset, length);
    },
  };
  // Many megabytes of a tensor that nobody asks for.
  const large = encodeModel({
    inputs: { x: [1] },
    outputs: ["y"],
    tensors: [float32("w", [1 << 22], new Float32Array(1 << 22)), float32("b", [1], [3])],
    nodes: [["Add", ["x", "b"], ["y"]]],
  });
  const checkpoint = await openCheckpoint(source);
  assert.is(checkpoint.tensors.size, 10);
  assert.equal(checkpoint.tensors.get("conv1.weight"), {
    ...checkpoint.tensors.get("conv1.weight"),
    shape: [6, 1, 5, 5],
    dtype: "F32",
  });
  assert.is((await checkpoint.read("conv1.weight", 10, 7)).length, 7);
  assert.is((await checkpoint.readBytes?.("conv1.bias"))?.length, 24);
  await refuses(() => checkpoint.read("conv1.weight", 149, 2), WeightsError, "WEIGHTS", /has 150 elements/);

  const all = bytesSource(large, "large");
  read = 0;
  await openOnnx({
    ...all,
    async read(offset, length) {
      read += length;
      return all.read(offset, length);
    },
  });
  assert.ok(read < 1 << 20, `${read} bytes of ${large.length}`);
});

const SMALL: ModelInit = {
  inputs: { x: ["N", 1, 4, 4] },
  outputs: ["y"],
  tensors: [float32("w", [2, 1, 3, 3], new Float32Array(18).fill(0.5)), int64("shape", [-1, 2])],
  nodes: [
    ["Conv", ["x", "w"], ["conv"], { kernel_shape: [3, 3], auto_pad: "SAME_UPPER" }],
    ["Constant", [], ["slope"], { value: { tensor: float32("", [2, 1, 1], [0.1, 0.2]) } }],
    ["PRelu", ["conv", "slope"], ["relu"]],
    ["MaxPool", ["relu"], ["pool"], { kernel_shape: [2, 2], strides: [2, 2] }],
    ["Reshape", ["pool", "shape"], ["flat"]],
    ["Clip", ["flat"], ["y"]],
  ],
};

/** Opens a model and makes a graph of it. */
async function build(bytes: Uint8Array): Promise<Graph> {
  const checkpoint = await openOnnx(bytesSource(bytes, "a model"));
  const graph = new Graph();
  const inputs = checkpoint.model.inputs.map(({ name, shape = [] }) => {
    return [
      name,
      graph.input(
        name,
        shape.map((size) => size ?? 1),
      ),
    ] as const;
  });
  addOnnx(graph, checkpoint, new Map(inputs), restOnnxReaders);
  for (const [name, { shape }] of checkpoint.tensors) {
    const count = shape.reduce((product, size) => product * size, 1);
    if (count < 1e6) await checkpoint.read(name);
  }
  return graph;
}

test("what is no model, or says what cannot be, is refused in one line", async () => {
  const broken = (change: Partial<ModelInit>, message: RegExp) =>
    refuses(() => build(encodeModel({ ...SMALL, ...change })), WeightsError, "WEIGHTS", message);
  const nodes = SMALL.nodes;
  await broken(
    {
      nodes: [
        ["Relu", ["later"], ["y"]],
        ["Relu", ["x"], ["later"]],
      ],
    },
    /"y" reads "later", which nothing makes before it/,
  );
  await broken({ nodes: [["Relu", ["y"], ["y"]]] }, /"y" reads "y"/);
  await broken({ nodes: [...nodes, ["Relu", ["x"], ["y"]]] }, /two of its values are called "y"/);
  await broken({ outputs: ["z"] }, /nothing makes its output "z"/);
  await broken({ outputs: [] }, /it has no outputs/);
  await broken({ tensors: [float32("w", [2 ** 40, 2 ** 40], [1])] }, /"w" has no legal shape/);
  await broken({ tensors: [float32("w", [-1], [1])] }, /"w" has no legal shape/);
  await broken({ tensors: [float32("w", [7], [1])] }, /"w" has 4 bytes; its shape wants 28/);
  await broken(
    { tensors: [int64("w", [1, 2, 3], [2])] },
    /"w" has numbers that do not end, or more than its shape wants/,
  );
  await broken({ tensors: [{ ...float32("w", [1], [1]), floatData: [1] }] }, /"w" has its elements twice/);
  await broken({ tensors: [{ ...float32("w", [1], [1]), dataType: 77 }] }, /"w" has no type of elements/);
  const strings = { name: "w", dims: [1n], dataType: DataType.STRING, stringData: [new Uint8Array(3)] };
  await broken(
    { tensors: [strings], nodes: [["Add", ["x", "w"], ["y"]]] },
    /"w" of a model cannot be read: it is stored as STRING/,
  );
  const empty = toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: 8n }));
  await refuses(() => build(empty), WeightsError, "WEIGHTS", /it has 0 graphs/);
  // A length beyond the end, a number that does not end, a list of a billion numbers that are not there.
  for (const bytes of [
    [8, 8, 0x3a, 200, 1],
    [8, 0xff, 0xff],
    [8, 8, 0x3a, 6, 0x2a, 4, 0x0a, 0xff, 0xff, 0xff],
    [8, 8, 0x0b],
  ])
    await refuses(
      () => build(Uint8Array.from(bytes)),
      WeightsError,
      "WEIGHTS",
      /^a model cannot be read as an ONNX model: /,
    );
});

inDepth("what would take for ever to compute is refused at once", async () => {
  const chain = (op: string, first: NodeInit[], read: (before: string) => string[], length = 4000): Uint8Array => {
    const nodes: NodeInit[] = [...first];
    for (let i = 1; i < length; i++) nodes.push([op, read(`v${i - 1}`), [`v${i}`]]);
    const tensors = [float32("w", [1 << 12], new Float32Array(1 << 12)), int64("shape", [1 << 20])];
    return encodeModel({
      inputs: { x: [1] },
      outputs: ["y"],
      tensors,
      nodes: [...nodes, ["Add", ["x", `v${length - 1}`], ["y"]]],
    });
  };
  const refused = (bytes: Uint8Array, message: RegExp) => refuses(() => build(bytes), UsageError, "USAGE", message);
  // What is read twice is computed once: without that the sixty-four of these were for ever.
  const doubled = await build(chain("Add", [["Neg", ["w"], ["v0"]]], (v) => [v, v], 64));
  const last = doubled.nodes.find((node) => node.kind === "param" && node.from);
  assert.is(last?.kind === "param" && last.from?.compute(new Float32Array(1 << 12).fill(2 ** -62))[7], -2);
  await refused(
    chain("Neg", [["Neg", ["w"], ["v0"]]], (v) => [v]),
    /more than 1000 operators make its weights/,
  );
  await refused(
    chain("Neg", [["ConstantOfShape", ["shape"], ["v0"]]], (v) => [v], 200),
    /which makes more than 67108864 constants/,
  );
});

/** Some bytes of a model changed, taken out, doubled or cut off. */
function mutated(bytes: Uint8Array): Uint8Array {
  let all = Uint8Array.from(bytes);
  for (let changes = int(1, 4); changes > 0; changes--) {
    const at = int(0, all.length - 1);
    const length = Math.min(int(1, 9), all.length - at);
    const way = int(0, 5);
    if (way < 3) all[at] = pick(0, 1, 0x7f, 0x80, 0xff, int(0, 255));
    else if (way === 3) all = Uint8Array.from([...all.subarray(0, at), ...all.subarray(at + length)]);
    else if (way === 4) all = Uint8Array.from([...all.subarray(0, at + length), ...all.subarray(at)]);
    else if (random() < 0.2) all = all.slice(0, at);
    if (all.length === 0) return all;
  }
  return all;
}

test("changed at random, a model is another one or a clear error", async () => {
  const models = [encodeModel(SMALL), encodeModel({ ...SMALL, opset: 9 }), SHAPES, RARE];
  const most = process.memoryUsage().rss + 2 ** 30;
  let refused = 0;
  const count = isDeep ? 3e4 : 1000;
  for (let i = 0; i < count; i++) {
    const bytes = mutated(models[i % models.length]);
    try {
      await build(bytes);
    } catch (error) {
      refused++;
      const isOurs = error instanceof ShadenetError && error.message.length < 4000;
      if (!isOurs) console.error(Buffer.from(bytes).toString("hex"));
      assert.ok(isOurs, String((error as Error).stack));
    }
    if (i % 1000 === 0) assert.ok(process.memoryUsage().rss < most, "it takes more and more memory");
  }
  assert.ok(refused > count / 10 && refused < count, `${refused} of ${count} were refused`);
});

/** What is computed as a model is read. */
const SHAPES = encodeModel({
  inputs: { x: [2, 3, 4, 4] },
  outputs: ["y"],
  tensors: [
    ...[int64("one", [1], []), int64("axes", [0]), int64("two", [2]), float32("scales", [4], [1, 1, 2, 2])],
    ...[float32("half", [], [0.5]), int64("pads", [0, 0, 1, 0, 0, 0, 0, 1])],
  ],
  nodes: [
    ["Shape", ["x"], ["shape"]],
    ["Gather", ["shape", "one"], ["channels"], { axis: 0 }],
    ["Unsqueeze", ["channels", "axes"], ["list"]],
    ["Slice", ["shape", "axes", "two"], ["some"]],
    ["Concat", ["list", "some"], ["all"], { axis: 0 }],
    ["ConstantOfShape", ["all"], ["zeros"], { value: { tensor: int64("", [0]) } }],
    ["Cast", ["all"], ["floats"], { to: 1 }],
    ["Mul", ["floats", "half"], ["halves"]],
    ["Resize", ["x", "", "scales"], ["large"], { mode: "linear" }],
    ["Pad", ["large", "pads", "half"], ["padded"]],
    ["Split", ["padded"], ["a", "b", "c"], { axis: 1 }],
    ["Sum", ["a", "b", "c"], ["sum"]],
    ["Range", ["one", "one", "one"], ["none"]],
    ["Transpose", ["sum"], ["y"], { perm: [0, 2, 3, 1] }],
  ],
});

const inner = (nodes: readonly NodeInit[]) => ({
  graph: { inputs: {}, outputs: [nodes[nodes.length - 1][2][0]], nodes, tensors: [] },
});

/** Branches, integers, and what is spelled in letters. */
const RARE = encodeModel({
  inputs: { x: [2, 4, 6] },
  outputs: ["y"],
  tensors: [
    ...[int64("yes", [1], []), float32("s", [], [0.5]), float32("matrix", [6, 6], new Float32Array(36).fill(0.1))],
    ...[quantized("z", [], [3], DataType.INT8), quantized("w", [4, 2, 3], new Array(24).fill(-7), DataType.INT8)],
  ],
  nodes: [
    [
      "If",
      ["yes"],
      ["chosen"],
      {
        then_branch: inner([
          ["Relu", ["x"], ["relu"]],
          ["If", ["yes"], ["deep"], { then_branch: inner([["Neg", ["relu"], ["negative"]]]) }],
        ]),
        else_branch: inner([["Exp", ["x"], ["exp"]]]),
      },
    ],
    ["DynamicQuantizeLinear", ["chosen"], ["q", "qs", "qz"]],
    ["ConvInteger", ["q", "w", "qz", "z"], ["integers"], { group: 2, pads: [1, 1] }],
    ["QuantizeLinear", ["integers", "s", "z"], ["q1"]],
    ["QLinearConv", ["q1", "s", "z", "w", "s", "z", "s", "z"], ["q2"], { group: 2, pads: [1, 1] }],
    ["DequantizeLinear", ["q2", "s", "z"], ["real"]],
    ["Einsum", ["real", "matrix"], ["product"], { equation: "bcw,vw->bcv" }],
    ["AveragePool", ["product"], ["y"], { kernel_shape: [4], pads: [0, 3] }],
  ],
});

test("branches in one another, and names in them, have limits", async () => {
  const nest = (depth: number): NodeInit =>
    depth === 0 ? ["Relu", ["x"], ["v0"]] : ["If", ["yes"], [`v${depth}`], { then_branch: inner([nest(depth - 1)]) }];
  const model = (nodes: NodeInit[]): Uint8Array =>
    encodeModel({ inputs: { x: [1] }, outputs: ["y"], tensors: [int64("yes", [1], [])], nodes });
  const deep = (depth: number) => model([nest(depth), ["Neg", [`v${depth}`], ["y"]]]);
  const { nodes } = await build(deep(16));
  assert.ok(nodes.some((node) => node.kind === "op" && node.kernel.name === "relu"));
  const refused = (bytes: Uint8Array, message: RegExp) => refuses(() => build(bytes), WeightsError, "WEIGHTS", message);
  await refused(deep(17), /or 16 graphs in one another/);
  await refused(deep(500), /or 16 graphs in one another/);
  const branch = (nodes: NodeInit[]) => model([["If", ["yes"], ["y"], { then_branch: inner(nodes) }]]);
  await refused(branch([["Relu", ["x"], ["x"]]]), /two of its values are called "x"/);
  await refused(branch([["Relu", ["y"], ["z"]]]), /"z" reads "y", which nothing makes/);
  await refuses(() => build(model([["If", ["yes"], ["y"]]])), UsageError, "USAGE", /If, it has no then_branch \("y"\)/);
});

test.run();
