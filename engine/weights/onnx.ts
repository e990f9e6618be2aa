import { WeightsError } from "../ground/errors.ts";
import { sizeOf } from "../ground/tensor.ts";
import {
  type ByteSource,
  type Checkpoint,
  checkedSource,
  countElements,
  isBeside,
  makeCheckpoint,
  quote,
  type TensorInfo,
} from "./checkpoint.ts";
import { type Message, readMessage, type Span, varint } from "./protobuf.ts";
import { ELEMENT_TYPES, readValues } from "./safetensors.ts";
import { bytesSource } from "./sources.ts";

// ONNX models (https://onnx.ai/onnx/repo-docs/IR.html): the graph is read, its tensors stay where they are.

// The fields of ONNX's messages that are read, by their numbers in onnx.proto.
const TENSOR = {
  1: ["dims", "int"],
  2: ["type", "int"],
  4: ["floats", "span"],
  5: ["int32s", "span"],
  6: ["strings", "span"],
  7: ["int64s", "span"],
  8: ["name", "text"],
  9: ["raw", "span"],
  10: ["doubles", "span"],
  11: ["uint64s", "span"],
  13: ["external", { 1: ["key", "text"], 2: ["value", "text"] }],
  14: ["location", "int"],
} as const;

const ATTRIBUTE = {
  1: ["name", "text"],
  2: ["float", "float"],
  3: ["int", "int"],
  4: ["text", "text"],
  5: ["tensor", TENSOR],
  6: ["graph", "span"],
  7: ["floats", "float"],
  8: ["ints", "int"],
} as const;

const NODE = {
  1: ["inputs", "text"],
  2: ["outputs", "text"],
  3: ["name", "text"],
  4: ["op", "text"],
  5: ["attributes", ATTRIBUTE],
  7: ["domain", "text"],
} as const;

const DIM = { 1: ["size", "int"], 2: ["name", "text"] } as const;
const TYPE = { 1: ["tensor", { 1: ["type", "int"], 2: ["shape", { 1: ["dims", DIM] }] }] } as const;
const VALUE = { 1: ["name", "text"], 2: ["type", TYPE] } as const;

const GRAPH = {
  1: ["nodes", NODE],
  5: ["tensors", TENSOR],
  11: ["inputs", VALUE],
  12: ["outputs", VALUE],
  15: ["sparse", "span"],
} as const;

const MODEL = {
  1: ["version", "int"],
  7: ["graph", GRAPH],
  8: ["opsets", { 1: ["domain", "text"], 2: ["version", "int"] }],
} as const;

/** A size; undefined where it is open. */
export type OpenShape = readonly (number | undefined)[];

/** An input. */
export interface OnnxValue {
  readonly name: string;
  /** Undefined where the file does not say. */
  readonly shape?: OpenShape;
  readonly dtype?: string;
}

/** Attributes by their names. */
export type Attributes = Readonly<Record<string, number | string | readonly number[]>>;

/** Nodes, each after those whose outputs it reads, and what they make. */
export interface OnnxNodes {
  readonly nodes: readonly OnnxNode[];
  /** Names of values. */
  readonly results: readonly string[];
}

/** An operator of a model. */
export interface OnnxNode {
  /** Its own name, or its first output's. */
  readonly name: string;
  /** With the domain in front if it is not ONNX's own: "com.microsoft.FusedConv". */
  readonly op: string;
  /** Names of values; empty for one that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
  /** What an "If" chooses from, by the names of the attributes. */
  readonly branches: Readonly<Record<string, OnnxNodes>>;
}

/** What an ONNX file says beside its tensors. "Constant" is none of its nodes: those are among the tensors. */
export interface OnnxGraph extends OnnxNodes {
  /** The version of ONNX's operators. */
  readonly opset: number;
  readonly inputs: readonly OnnxValue[];
  /** The elements of tensors that shapes and options are made of: those of integers, and of very few numbers. */
  readonly known: ReadonlyMap<string, readonly number[]>;
}

/** All tensors of a file, constants included. */
export interface OnnxCheckpoint extends Checkpoint {
  readonly model: OnnxGraph;
}

/** The types of tensors by ONNX's numbers, as safetensors calls them where it has them. */
const DTYPES: readonly (string | undefined)[] = [
  ...[undefined, "F32", "U8", "I8", "U16", "I16", "I32", "I64", "STRING", "BOOL", "F16", "F64", "U32", "U64", "C64"],
  ...["C128", "BF16", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "U4", "I4", "F4", "F8_E8M0", "U2", "I2"],
];

const FLOATS: ReadonlySet<string> = new Set(["F32", "F16", "BF16", "F64"]);

/** Whether elements of a type are no integers. */
export const isFloat = (dtype: string): boolean => FLOATS.has(dtype);

/** So many elements are read with the graph: of a tensor of integers, of one of other numbers, and of all together. */
const MOST_INTEGERS = 1 << 16;
const MOST_NUMBERS = 16;
const MOST_KNOWN = 1 << 22;

/** Nodes and tensors of a model, one "If" in another, and files of its tensors, at most. */
const MAX_NODES = 1 << 17;
const MAX_DEPTH = 16;
const MAX_FILES = 1024;

interface Stored extends TensorInfo {
  readonly source: ByteSource;
  readonly offset: number;
}

/**
 * Opens an ONNX model of opset 7 or later. Reads its graph and the few numbers that shapes are made of, and leaves all other
 * tensors where they are: in the file or, as external data, in files beside it. Closing the checkpoint closes them all.
 * @throws WeightsError when it is damaged, names files elsewhere, or is not what it says.
 */
export async function openOnnx(given: ByteSource): Promise<OnnxCheckpoint> {
  const source = checkedSource(given);
  const broken = (problem: string) => new WeightsError(`${source.name} cannot be read as an ONNX model: ${problem}`);
  const files = new Map<string, ByteSource>();
  const close = async () => {
    for (const file of [source, ...files.values()]) await file.close?.();
  };

  /** The file of this name beside the model. */
  const fileOf = async (name: string): Promise<ByteSource> => {
    const known = files.get(name);
    if (known) return known;
    if (!name.split("/").every(isBeside) || name.length > 255)
      throw broken(`its tensors are in ${quote(name)}, wanted the name of a file beside it, or in a folder beside it`);
    if (!source.beside)
      throw broken(`its tensors are in another file, ${quote(name)}, which only a path or an address leads to`);
    if (files.size === MAX_FILES) throw broken(`its tensors are in more than ${MAX_FILES} files`);
    const file = checkedSource(await source.beside(name));
    files.set(name, file);
    return file;
  };

  /** Where a tensor's elements are, one after the other. */
  const locate = async (name: string, tensor: Message<typeof TENSOR>): Promise<Stored> => {
    const shape = tensor.dims;
    const count = countElements(shape);
    if (Number.isNaN(count) || shape.length > 16) throw broken(`${quote(name)} has no legal shape`);
    const dtype = DTYPES[tensor.type.at(-1) ?? 0];
    if (!dtype) throw broken(`${quote(name)} has no type of elements that ONNX has`);
    const stored = { shape, dtype };
    const { bytes } = ELEMENT_TYPES.get(dtype) ?? {};
    // What no file of safetensors could hold is listed, and refused when it is read.
    if (bytes === undefined) return { ...stored, source, offset: 0 };
    // Of some types several share a byte.
    const size = Math.ceil(count * bytes);
    const at = async (from: ByteSource, { offset, length }: Span): Promise<Stored> => {
      if (length !== count * bytes)
        throw broken(`${quote(name)} has ${length} bytes; its shape wants ${count * bytes}`);
      if (offset + length > from.size) throw broken(`${quote(name)} ends behind the end of ${quote(from.name)}`);
      return { ...stored, source: from, offset };
    };
    if (tensor.location.at(-1) === 1) {
      const {
        location = "",
        offset = "0",
        length = String(size),
      } = Object.fromEntries(tensor.external.map(({ key: [key], value: [value] }) => [key, value]));
      if (![offset, length].every((text) => /^\d{1,15}$/.test(text)))
        throw broken(`${quote(name)} has no legal place in ${quote(location)}`);
      return at(await fileOf(location), { offset: Number(offset), length: Number(length) });
    }
    const { raw, floats, doubles, int32s, int64s, uint64s } = tensor;
    const lists = [raw, floats, doubles, int32s, int64s, uint64s].filter((list) => list.length > 0);
    if (lists.length > 1) throw broken(`${quote(name)} has its elements twice`);
    const [spans = []] = lists;
    const isPlain = spans === raw || spans === floats || spans === doubles;
    if (spans === floats && dtype !== "F32") throw broken(`${quote(name)} is ${dtype} and has floats`);
    if (spans === doubles && dtype !== "F64") throw broken(`${quote(name)} is ${dtype} and has doubles`);
    if (isPlain && spans.length === 1) return at(source, spans[0]);
    const parts: Uint8Array[] = [];
    for (const { offset, length } of spans) parts.push(await source.read(offset, length));
    const packed = concat(parts);
    const own = isPlain ? packed : unpack(packed, Math.min(count, packed.length), bytes);
    if (!own) throw broken(`${quote(name)} has numbers that do not end, or more than its shape wants`);
    return at(bytesSource(own, source.name), { offset: 0, length: own.length });
  };

  const tensors = new Map<string, Stored>();
  const made = new Set<string>();
  let count = 0;

  /** A graph, or a branch of an "If", which can read what was made around it, and whose tensors are among all others. */
  const nodesOf = async (graph: Message<typeof GRAPH>, depth = 0): Promise<OnnxNodes> => {
    const own: string[] = [];
    const make = (name: string): void => {
      if (made.has(name) || tensors.has(name)) throw broken(`two of its values are called ${quote(name)}`);
      made.add(name);
      own.push(name);
    };
    const keep = async (name: string, tensor: Message<typeof TENSOR>): Promise<void> => {
      make(name);
      tensors.set(name, await locate(name, tensor));
    };
    if (graph.sparse.length > 0) throw broken("its weights are sparse; save them as dense tensors");
    count += graph.nodes.length + graph.tensors.length;
    if (count > MAX_NODES || depth > MAX_DEPTH)
      throw broken(`it has more than ${MAX_NODES} nodes and tensors, or ${MAX_DEPTH} graphs in one another`);
    for (const tensor of graph.tensors) await keep(tensor.name.at(-1) ?? "", tensor);
    if (depth === 0) for (const { name } of inputsOf(graph)) make(name);

    const nodes: OnnxNode[] = [];
    for (const node of graph.nodes) {
      const { inputs, outputs } = node;
      const op = ours(node) ? (node.op.at(-1) ?? "") : `${node.domain.at(-1)}.${node.op.at(-1)}`;
      const name = node.name.at(-1) || outputs.find((output) => output) || op;
      const unknown = inputs.find((input) => input !== "" && !made.has(input));
      if (unknown !== undefined) throw broken(`${quote(name)} reads ${quote(unknown)}, which nothing makes before it`);
      const branches: Record<string, OnnxNodes> = {};
      for (const { name, graph } of op === "If" ? node.attributes : []) {
        for (const span of graph)
          branches[name.at(-1) ?? ""] = await nodesOf(await readMessage(source, GRAPH, broken, span), depth + 1);
      }
      const tensor = node.attributes.flatMap((each) => each.tensor).at(0);
      if (tensor && op === "Constant" && outputs[0]) {
        await keep(outputs[0], tensor);
        continue;
      }
      for (const output of outputs) if (output !== "") make(output);
      // A tensor that is an attribute is one more input.
      const more = tensor ? [`${outputs[0]}, constant`] : [];
      for (const name of more) await keep(name, tensor as Message<typeof TENSOR>);
      const attributes = Object.fromEntries(node.attributes.map(attribute));
      nodes.push({ name, op, inputs: [...inputs, ...more], outputs, attributes, branches });
    }
    const results = graph.outputs.map((output) => infoOf(output).name);
    const missing = results.find((name) => !made.has(name));
    if (missing !== undefined) throw broken(`nothing makes its output ${quote(missing)}`);
    // No graph around a branch sees what is in it.
    if (depth > 0) for (const name of own) made.delete(name);
    return { nodes, results };
  };

  /** Before version 4 of the format tensors were inputs, too. */
  const inputsOf = (graph: Message<typeof GRAPH>): OnnxValue[] =>
    graph.inputs.map(infoOf).filter(({ name }) => !tensors.has(name));

  try {
    const message = await readMessage(source, MODEL, broken);
    const graph = message.graph.at(-1);
    if (message.graph.length !== 1 || !graph) throw broken(`it has ${message.graph.length} graphs; wanted one`);
    const opset = message.opsets.findLast(ours)?.version.at(-1) ?? 1;
    if (!(opset >= 7))
      throw broken(`it is of opset ${opset}; wanted 7 or later: convert it with onnx.version_converter`);
    const { nodes, results } = await nodesOf(graph);
    if (results.length === 0) throw broken("it has no outputs");

    const read = async ({ dtype, source, offset }: Stored, first: number, count: number, name: string) => {
      const { bytes = NaN } = ELEMENT_TYPES.get(dtype) ?? {};
      return readValues(source, dtype, offset + first * bytes, new Float32Array(count), quote(name));
    };
    const readBytes = async ({ dtype, source, offset }: Stored, first: number, count: number, name: string) => {
      const { bytes } = ELEMENT_TYPES.get(dtype) ?? {};
      if (bytes === undefined) throw broken(`${quote(name)} is stored as ${dtype}`);
      return source.read(offset + first * bytes, count * bytes);
    };
    const known = new Map<string, readonly number[]>();
    let room = MOST_KNOWN;
    for (const [name, stored] of tensors) {
      const count = sizeOf(stored.shape);
      if (count > Math.min(room, isFloat(stored.dtype) ? MOST_NUMBERS : MOST_INTEGERS)) continue;
      room -= count;
      if (stored.dtype === "I64") known.set(name, integers(await readBytes(stored, 0, count, name)));
      else if (ELEMENT_TYPES.get(stored.dtype)?.decode) known.set(name, [...(await read(stored, 0, count, name))]);
    }
    const model = { opset, inputs: inputsOf(graph), nodes, results, known };
    return { ...makeCheckpoint(source.name, tensors, { read, readBytes, close }), model };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Whether it is of ONNX's own operators. */
const ours = ({ domain }: { readonly domain: readonly string[] }): boolean =>
  ["", "ai.onnx"].includes(domain.at(-1) ?? "");

function infoOf({ name, type: [type] }: Message<typeof VALUE>): OnnxValue {
  const [tensor] = type?.tensor ?? [];
  const [shape] = tensor?.shape ?? [];
  const sizeOf = ({ size: [size] }: Message<typeof DIM>) => (size !== undefined && size > 0 ? size : undefined);
  return { name: name.at(-1) ?? "", dtype: DTYPES[tensor?.type.at(-1) ?? 0], shape: shape?.dims.map(sizeOf) };
}

function attribute({ name, ...lists }: Message<typeof ATTRIBUTE>): [string, number | string | readonly number[]] {
  const { float, int, text, floats, ints } = lists;
  return [name.at(-1) ?? "", float.at(-1) ?? int.at(-1) ?? text.at(-1) ?? (floats.length > 0 ? floats : ints)];
}

/** Elements of integers that are stored as varints, as the bytes that they stand for. */
function unpack(packed: Uint8Array, most: number, bytes: number): Uint8Array<ArrayBuffer> | undefined {
  const all = new Uint8Array(most * bytes);
  const view = new DataView(all.buffer);
  let count = 0;
  for (let at = 0; at < packed.length; count++) {
    const known = varint(packed, at);
    if (!known || count === most) return undefined;
    if (bytes === 8) view.setBigInt64(8 * count, BigInt(known[0]), true);
    else for (let i = 0; i < bytes; i++) all[count * bytes + i] = known[0] >> (8 * i);
    at = known[1];
  }
  return all.subarray(0, count * bytes);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const integers = (bytes: Uint8Array): number[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 8 }, (_, i) => Number(view.getBigInt64(8 * i, true)));
};
