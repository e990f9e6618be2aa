import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type AnyNet, inputShape, trace } from "../../engine/definition.ts";
import { callOf, derive, type Graph, paramShapes } from "../../engine/graph/graph.ts";
import { formatShape, sizeOf } from "../../engine/ground/tensor.ts";
import type { Net } from "../../engine/net.ts";
import { layOutModel } from "../../engine/node/onnx_file.ts";
import { traceOnnx } from "../../engine/onnx/export.ts";
import { onnxNet } from "../../engine/onnx/import.ts";
import type { Checkpoint } from "../../engine/weights/checkpoint.ts";
import { type OnnxCheckpoint, openOnnx } from "../../engine/weights/onnx.ts";
import { bytesSource } from "../../engine/weights/sources.ts";
import { exportOnnx, type Gpu } from "../../index.ts";
import { onnxOperators } from "../../kernels/onnx.ts";
import { restOnnxReaders } from "../../kernels/onnx_import_rest.ts";
import { imagenet } from "../../nets/imagenet.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { loadOnnx } from "../../onnx.ts";
import { generate } from "../../tools/hashinit.ts";
import type { OnnxResult } from "./onnx.ts";

// Nets that are exported to ONNX and read back: on the plain kernels they give the same bits.

/** The plain kernels, as they are. */
const PLAIN = { passes: [], variants: { conv2d: "conv2d", linear: "linear" } } as const;

/** Exports a net with random weights, reads it back, and compares what both make of an image of the smallest size that it takes. */
export async function runRoundTrip(gpu: Gpu, definition: AnyNet): Promise<OnnxResult> {
  const imageSize = smallSize(definition);
  const weights = randomWeights(definition, { imageSize });
  const parameters = [...paramShapes(trace(definition, { imageSize })).values()].map(sizeOf).reduce((a, b) => a + b, 0);
  const compare = 4 * parameters < MAX_BYTES ? compareBits : compareGraphs;
  return { id: definition.name, ...(await compare(gpu, definition, imageSize, weights)) };
}

/** Over this there is no file: it is a limit of protobuf. */
const MAX_BYTES = 2 ** 31 - 2 ** 20;

const smallSize = (definition: AnyNet): number =>
  [32, 64, 96, ...definition.imageSize].find((imageSize) => {
    try {
      return trace(definition, { imageSize });
    } catch {
      return false;
    }
  }) as number;

type Outcome = Omit<OnnxResult, "id">;

async function compareBits(gpu: Gpu, definition: AnyNet, imageSize: number, weights: Checkpoint): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "onnx-"));
  try {
    const path = join(folder, "net.onnx");
    await pipeline(Readable.from(exportOnnx(definition, { imageSize, weights })), createWriteStream(path));
    const shape = inputShape(definition, { imageSize });
    const x = { shape, data: generate("x", 1, 0, sizeOf(shape), 2) };
    const options = { ...PLAIN, imageSize };
    const logitsOf = async (net: Net) => {
      try {
        return (await net.run(x)).logits;
      } finally {
        net.dispose();
      }
    };
    const want = await logitsOf(await gpu.loadNet(definition, { ...options, weights }));
    const got = await logitsOf(await loadOnnx(gpu, path, options));
    const differ = want.data.filter((v, i) => !Object.is(v, got.data[i])).length;
    const told = `${want.data.length} logits of an image of ${imageSize} x ${imageSize}`;
    if (!want.data.every(Number.isFinite) || new Set(want.data).size < want.data.length / 2)
      return { status: "fail", message: `${told} tell nothing: they are not finite, or alike` };
    return differ > 0 || want.data.length !== got.data.length
      ? { status: "fail", message: `${differ} of ${told} differ` }
      : { status: "pass", message: `${told}: the same bits` };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** For a net that is over what a file can hold: whether what would be read from one is the same graph of the same weights. */
async function compareGraphs(_: Gpu, definition: AnyNet, imageSize: number, weights: Checkpoint): Promise<Outcome> {
  const checkpoint = await withoutFile(definition, imageSize, weights);
  const read = onnxNet(checkpoint, { ...imagenet, labelled: 1000 }, restOnnxReaders);
  const want = await describe(trace(definition, { imageSize }), weights);
  const got = await describe(trace(read, { imageSize }), checkpoint);
  const at = want.findIndex((line, i) => line !== got[i]);
  if (at >= 0 || want.length !== got.length)
    return { status: "fail", message: `its graph differs at ${want[at]}, which is ${got[at]}` };
  return {
    status: "pass",
    message: `over the 2 GiB of a file, compared by graph: ${want.length} values with the same operators, shapes and bits of weights`,
  };
}

/** A model as it would be read, without its weights between. */
async function withoutFile(definition: AnyNet, imageSize: number, weights: Checkpoint): Promise<OnnxCheckpoint> {
  const graph = traceOnnx(definition, { imageSize }, onnxOperators);
  const params = new Map(graph.params.map((param) => [param.name, param]));
  const shapes = Object.fromEntries(graph.params.map(({ name, shape }) => [name, shape]));
  const parts = layOutModel({ ...graph, inputs: { ...graph.inputs, ...shapes }, params: [] }, "0");
  const file = await openOnnx(bytesSource(Buffer.concat(parts as Uint8Array[]), `${definition.name}.onnx`));
  const inputs = file.model.inputs.filter(({ name }) => !params.has(name));
  const stored = graph.params.map(({ name, shape }) => [name, { shape, dtype: "F32" }] as const);
  return {
    ...file,
    model: { ...file.model, inputs },
    tensors: new Map([...file.tensors, ...stored]),
    async read(name, start = 0, count) {
      const param = params.get(name);
      if (!param) return file.read(name, start, count);
      const values = param.from ? await derive(param.from, (source) => weights.read(source)) : await weights.read(name);
      return values.subarray(start, start + (count ?? values.length));
    },
  };
}

/** What the logits are computed by, a line for each value, without names; weights by a hash of their bits. */
async function describe(graph: Graph, weights: Checkpoint): Promise<string[]> {
  const lines: string[] = [];
  const places = new Map<number, number>();
  const visit = async (id: number): Promise<number> => {
    const node = graph.nodes[id];
    // A view of the same shape is nothing.
    const isSame = node.kind === "view" && formatShape(graph.nodes[node.x].shape) === formatShape(node.shape);
    const known = isSame ? await visit(node.x) : places.get(id);
    if (known !== undefined) return known;
    let line: unknown[] = [node.kind];
    if (node.kind === "view") line = ["view", await visit(graph.root(id))];
    if (node.kind === "param") {
      const read = (name: string) => weights.read(name);
      const values = node.from ? await derive(node.from, read) : await read(node.name);
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      line = ["param", createHash("sha256").update(bytes).digest("hex")];
    }
    if (node.kind === "op") {
      const inputs: [string, number][] = [];
      for (const [name, input] of Object.entries(node.inputs)) inputs.push([name, await visit(input)]);
      const call = callOf(graph, node);
      const params = Object.entries(node.kernel.params(call, { start: 0, count: 1 }));
      // As it is on the device, where a file's float32 is what was rounded to it.
      line = [node.kernel.name, inputs, node.kernel.consts(call), params.map(([name, v]) => [name, Math.fround(v)])];
    }
    places.set(id, lines.push(JSON.stringify([...line, node.shape])) - 1);
    return lines.length - 1;
  };
  await visit(graph.find("logits"));
  return lines;
}
