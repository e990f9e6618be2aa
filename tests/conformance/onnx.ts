import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { clone, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ShadenetError, ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { fromHalf } from "../../engine/ground/half.ts";
import { sizeOf, type Tensor } from "../../engine/ground/tensor.ts";
import {
  TensorProto_DataType as DataType,
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from "../../engine/node/onnx_pb.ts";
import type { Gpu } from "../../index.ts";
import { loadOnnxModel } from "../../onnx.ts";

// ONNX's backend tests (https://github.com/onnx/onnx/tree/main/onnx/backend/test/data): folders with model.onnx, and the
// inputs and outputs that a runtime has to agree on in test_data_set_0.

export interface OnnxResult {
  readonly id: string;
  readonly status: "pass" | "fail" | "skip";
  readonly message: string;
}

/** What the reference runner of ONNX allows, relative and absolute, and a little for sums in another order. */
const [RELATIVE, ABSOLUTE] = [1e-3, 1e-5];

/** The folders of a path that are tests: itself, that of a model, or those in it. */
export function onnxCases(path: string): string[] {
  if (path.endsWith(".onnx")) return [dirname(path)];
  if (existsSync(join(path, "model.onnx"))) return [path];
  return readdirSync(path)
    .sort()
    .map((name) => join(path, name))
    .filter((folder) => existsSync(join(folder, "model.onnx")));
}

/** Runs a test; "skip" is for what the library says it has not. */
export async function runOnnx(gpu: Gpu, folder: string): Promise<OnnxResult> {
  const id = basename(folder);
  const skip = (message: string): OnnxResult => ({ id, status: "skip", message });
  let model: ModelProto;
  let tensors: readonly (TensorProto | undefined)[][];
  try {
    model = fromBinary(ModelProtoSchema, readFileSync(join(folder, "model.onnx")));
    tensors = ["input", "output"].map((kind) => readTensors(folder, kind));
  } catch (error) {
    return skip(`its files hold other things than tensors (${(error as Error).message})`);
  }
  const [inputs, outputs] = tensors;
  const isFloat = (tensor: TensorProto | undefined) => tensor && FLOATS.includes(tensor.dataType ?? 0);
  let refused: ShadenetError | undefined;
  // What is no activation in any net is a part of the model: lists of integers, or all but the first input.
  for (const isGiven of [isFloat, (_: unknown, i: number) => i === 0]) {
    const given = inputs.map((tensor, i) => (tensor && isGiven(tensor, i) ? tensor : undefined));
    try {
      const shapes = Object.fromEntries(
        given.flatMap((tensor, i) => (tensor ? [[nameOf(model, i), dimsOf(tensor)]] : [])),
      );
      const loaded = await loadOnnxModel(gpu, withConstants(model, inputs, given), { shapes, precision: "strict" });
      try {
        // What is not done as the model has it.
        if (loaded.warnings.length > 0) return skip(loaded.warnings.join("; "));
        const x = given.flatMap((tensor, i) => (tensor ? [[nameOf(model, i), tensorOf(tensor)] as const] : []));
        const results = await loaded.run(Object.fromEntries(x));
        const wrong = outputs.map(
          (want, i) => want && differs(results[model.graph?.output[i].name ?? ""], tensorOf(want)),
        );
        const message = wrong.find((each) => each) ?? "";
        return { id, status: message ? "fail" : "pass", message };
      } finally {
        loaded.dispose();
      }
    } catch (error) {
      if (!(error instanceof ShadenetError)) throw error;
      refused = error;
      if (!(error instanceof UsageError || error instanceof ShapeError)) break;
    }
  }
  return skip(refused?.message ?? "");
}

/** Before version 4 of the format tensors of a model were inputs, too. */
function nameOf({ graph }: ModelProto, input: number): string {
  const tensors = new Set(graph?.initializer.map(({ name }) => name));
  return graph?.input.filter(({ name }) => !tensors.has(name))[input]?.name ?? "";
}

function readTensors(folder: string, kind: string): (TensorProto | undefined)[] {
  const set = join(folder, "test_data_set_0");
  const files = readdirSync(set).filter((name) => name.startsWith(kind));
  return files.map((_, i) => fromBinary(TensorProtoSchema, readFileSync(join(set, `${kind}_${i}.pb`))));
}

/** The model with those inputs as tensors of its own that are not given when it runs. */
function withConstants(
  model: ModelProto,
  inputs: readonly (TensorProto | undefined)[],
  given: readonly (TensorProto | undefined)[],
): Uint8Array {
  const own = inputs.flatMap((tensor, i) => (tensor && !given[i] ? [{ ...tensor, name: nameOf(model, i) }] : []));
  const changed = clone(ModelProtoSchema, model);
  changed.graph?.initializer.push(...own);
  return toBinary(ModelProtoSchema, changed);
}

const FLOATS: readonly number[] = [DataType.FLOAT, DataType.DOUBLE, DataType.FLOAT16];

const dimsOf = ({ dims }: TensorProto): number[] => dims.map(Number);

function tensorOf(tensor: TensorProto): Tensor {
  const { dataType = DataType.UNDEFINED, rawData, floatData } = tensor;
  const shape = dimsOf(tensor);
  const { buffer } = new Uint8Array(rawData);
  const read: Readonly<Record<number, () => ArrayLike<number>>> = {
    [DataType.FLOAT]: () => (floatData.length > 0 ? floatData : new Float32Array(buffer)),
    [DataType.DOUBLE]: () => new Float64Array(buffer),
    [DataType.FLOAT16]: () => Array.from(new Uint16Array(buffer), fromHalf),
    [DataType.INT64]: () => Array.from(new BigInt64Array(buffer), Number),
    [DataType.INT32]: () => new Int32Array(buffer),
    [DataType.UINT8]: () => new Uint8Array(buffer),
    [DataType.INT8]: () => new Int8Array(buffer),
    [DataType.BOOL]: () => new Uint8Array(buffer),
  };
  const values = read[dataType]?.();
  if (!values) throw new UsageError(`elements of the type ${dataType}`);
  if (values.length !== sizeOf(shape)) throw new UsageError("a tensor that is not what it says");
  return { shape, data: Float32Array.from(values) };
}

/** How a result is not what is wanted; undefined where it is. */
function differs(got: Tensor | undefined, want: Tensor): string | undefined {
  if (!got || String(got.shape) !== String(want.shape)) return `is [${got?.shape}], wanted [${want.shape}]`;
  const largest = want.data.reduce((most, v) => (Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most), 0);
  const at = want.data.findIndex((v, i) => {
    const isSame = Object.is(v, got.data[i]) || v === got.data[i];
    return !isSame && !(Math.abs(v - got.data[i]) <= RELATIVE * Math.abs(v) + ABSOLUTE * largest);
  });
  return at < 0 ? undefined : `is ${got.data[at]} at ${at}, wanted ${want.data[at]}`;
}
