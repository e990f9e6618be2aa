import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { halfOfBits } from "../../../engine/ground/half.ts";
import {
  type AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProtoSchema,
  ModelProtoSchema,
  type TensorProtoSchema,
} from "../../../engine/node/onnx_pb.ts";

// Models as others write them, by hand: for what our own export never does.

export type TensorInit = MessageInitShape<typeof TensorProtoSchema>;

/** Attributes: numbers are integers, but for { float }. */
type Attribute =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly tensor: TensorInit }
  | { readonly graph: GraphInit };

/** An operator: its name, what it reads and makes, and its attributes. */
export type NodeInit = readonly [
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes?: Readonly<Record<string, Attribute>>,
];

/** A size; a text names one that is open. */
type Dims = readonly (number | string)[];

export interface GraphInit {
  readonly inputs: Readonly<Record<string, Dims>>;
  readonly outputs: readonly string[];
  readonly nodes: readonly NodeInit[];
  readonly tensors?: readonly TensorInit[];
}

export interface ModelInit extends GraphInit {
  readonly opset?: number;
}

export const float32 = (
  name: string,
  dims: readonly number[],
  values: readonly number[] | Float32Array,
): TensorInit => ({
  ...{ name, dims: dims.map(BigInt), dataType: DataType.FLOAT },
  rawData: new Uint8Array(Float32Array.from(values).buffer),
});

export const int64 = (name: string, values: readonly number[], dims = [values.length]): TensorInit => ({
  ...{ name, dims: dims.map(BigInt), dataType: DataType.INT64 },
  int64Data: values.map(BigInt),
});

/** Integers of 8 bits, U8 or I8, or of 32. */
export const quantized = (
  name: string,
  dims: readonly number[],
  values: readonly number[],
  dataType: DataType,
): TensorInit => ({
  ...{ name, dims: dims.map(BigInt), dataType },
  int32Data: [...values],
});

const scratch = new Int32Array(1);
const bitsOf = (value: number): number => {
  new Float32Array(scratch.buffer)[0] = value;
  return scratch[0];
};

/** As others store them: as bytes, or as numbers in int32_data. */
export const float16 = (
  name: string,
  dims: readonly number[],
  values: readonly number[],
  isRaw: boolean,
): TensorInit => {
  const halves = Uint16Array.from(values, (value) => halfOfBits(bitsOf(value)));
  const head = { name, dims: dims.map(BigInt), dataType: DataType.FLOAT16 };
  return isRaw ? { ...head, rawData: new Uint8Array(halves.buffer) } : { ...head, int32Data: [...halves] };
};

const attribute = (name: string, value: Attribute): MessageInitShape<typeof AttributeProtoSchema> => {
  if (typeof value === "number") return { name, type: AttributeType.INT, i: BigInt(value) };
  if (typeof value === "string") return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if ("float" in value) return { name, type: AttributeType.FLOAT, f: value.float };
  if ("tensor" in value) return { name, type: AttributeType.TENSOR, t: value.tensor };
  if ("graph" in value) return { name, type: AttributeType.GRAPH, g: graph(value.graph) };
  return { name, type: AttributeType.INTS, ints: value.map(BigInt) };
};

const value = ([name, dims]: readonly [string, Dims | undefined]) => {
  const dim = (size: number | string) =>
    typeof size === "number"
      ? ({ value: { case: "dimValue", value: BigInt(size) } } as const)
      : ({ value: { case: "dimParam", value: size } } as const);
  const shape = dims && { dim: dims.map(dim) };
  return { name, type: { value: { case: "tensorType", value: { elemType: DataType.FLOAT, shape } } } } as const;
};

const graph = ({ inputs, outputs, nodes, tensors = [] }: GraphInit): MessageInitShape<typeof GraphProtoSchema> => ({
  name: "by hand",
  node: nodes.map(([opType, input, output, attributes = {}]) => ({
    // One of another domain is called with that in front.
    ...{ opType: opType.replace(/.*\./, ""), domain: opType.replace(/\.?[^.]*$/, "") },
    ...{ input: [...input], output: [...output] },
    attribute: Object.entries(attributes).map(([name, each]) => attribute(name, each)),
  })),
  initializer: [...tensors],
  input: Object.entries(inputs).map(value),
  output: outputs.map((name) => value([name, undefined])),
});

/** The bytes of a model. */
export const encodeModel = ({ opset = 17, ...init }: ModelInit): Uint8Array =>
  toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, { irVersion: 8n, opsetImport: [{ version: BigInt(opset) }], graph: graph(init) }),
  );
