import { readFileSync } from "node:fs";
import { type AnyNet, type LoadOptions, type Nets, openFitting } from "../definition.ts";
import { derive } from "../graph/graph.ts";
import type { OnnxOperators } from "../graph/onnx.ts";
import { sizeOf } from "../ground/tensor.ts";
import { type ExportOptions, type OnnxParam, traceOnnx } from "../onnx/export.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { openFile } from "./files.ts";

/** The bytes of a net as an ONNX model, a few megabytes at a time. See exportOnnx in index.ts. */
export async function* encodeOnnx(
  definition: AnyNet,
  options: ExportOptions & object,
  operators: OnnxOperators,
  nets: Nets,
): AsyncGenerator<Uint8Array, void, undefined> {
  const graph = traceOnnx(definition, options, operators);
  // Loaded only here: who exports nothing needs no protobuf.
  const { layOutModel } = await import("./onnx_file.ts");
  const parts = layOutModel(graph, ownVersion());
  const checkpoint = await openFitting(definition, graph.checkpoint, options, openFile, nets);
  try {
    const total = graph.params.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    let loaded = 0;
    for (const part of parts) {
      if (part instanceof Uint8Array) yield part;
      else {
        for await (const values of readPieces(checkpoint, part, options.signal)) {
          yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
          loaded += values.length;
          options.onProgress?.({ phase: "load", file: checkpoint.name, loaded, total });
        }
      }
    }
  } finally {
    await checkpoint.close();
  }
}

/** Values that are read at a time, so that a file of any size takes little memory. */
const PIECE = 2 ** 20;

async function* readPieces(
  checkpoint: Checkpoint,
  { name, shape, from }: OnnxParam,
  signal: LoadOptions["signal"],
): AsyncGenerator<Float32Array, void, undefined> {
  const derived = from && (await derive(from, (source) => checkpoint.read(source)));
  const size = sizeOf(shape);
  for (let start = 0; start < size; start += PIECE) {
    signal?.throwIfAborted();
    const count = Math.min(PIECE, size - start);
    yield derived?.subarray(start, start + count) ?? (await checkpoint.read(name, start, count));
  }
}

const ownVersion = (): string =>
  JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")).version;
