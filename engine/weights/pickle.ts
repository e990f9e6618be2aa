/** Reads what torch pickles without ever calling anything: whatever is neither plain data nor a tensor is refused. */

import { formatShape, type Shape } from "../ground/tensor.ts";
import type { TensorInfo } from "./checkpoint.ts";
import { countElements, quote } from "./checkpoint.ts";
import { ELEMENT_TYPES } from "./safetensors.ts";
import { type Broken, decodeText, getUint64, viewOf } from "./zip.ts";

/** What a pickle can make here: lists, tuples and sets are arrays, dicts of all kinds are Maps. */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | Pickled[]
  | Map<Pickled, Pickled>
  | { readonly kind: "global"; readonly name: string }
  | Other
  | Storage
  | SavedTensor;

/** What no weights are made of, such as bytes or a device: only that it was there is kept. */
interface Other {
  readonly kind: "other";
  readonly name: string;
}

export function isKind<K extends "global" | "storage" | "tensor">(
  value: Pickled,
  kind: K,
): value is Extract<Pickled, { readonly kind: K }> {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === kind;
}

export interface Storage {
  readonly kind: "storage";
  readonly key: string;
  readonly dtype: string;
  /** In elements. */
  readonly count: number;
}

/** Offset and strides in elements of the tensor's own dtype. */
export interface SavedTensor extends TensorInfo {
  readonly kind: "tensor";
  readonly storage: Storage;
  readonly offset: number;
  readonly strides: readonly number[];
  /** The values are those of the storage with the other sign. */
  readonly negative: boolean;
  /** Why its values cannot be read, if they cannot. */
  readonly unreadable?: string;
}

/** torch's dtypes by its names for them; safetensors' names where it has one, else torch's. */
const DTYPES: ReadonlyMap<string, string> = new Map([
  ...Object.entries({ float64: "F64", float32: "F32", float16: "F16", bfloat16: "BF16" }),
  ...Object.entries({ int64: "I64", int32: "I32", int16: "I16", int8: "I8", bool: "BOOL" }),
  ...Object.entries({ uint64: "U64", uint32: "U32", uint16: "U16", uint8: "U8", complex64: "C64" }),
  ...Object.entries({ float8_e4m3fn: "F8_E4M3", float8_e5m2: "F8_E5M2", float8_e8m0fnu: "F8_E8M0" }),
  ...Object.entries({ float8_e4m3fnuz: "F8_E4M3FNUZ", float8_e5m2fnuz: "F8_E5M2FNUZ" }),
]);

/** Bytes of those that safetensors does not have. Of the packed ones, torch counts bytes. */
const OTHER_BYTES: ReadonlyMap<string, number> = new Map([
  ...["qint8", "quint8", "quint4x2", "quint2x4", "bits8", "bits1x8", "bits2x4", "bits4x2", "float4_e2m1fn_x2"].map(
    (name) => [name, 1] as const,
  ),
  ["bits16", 2],
  ["complex32", 4],
  ["qint32", 4],
  ["complex128", 16],
]);

/** Bytes of an element of a dtype that a pickle can name. */
export const bytesOf = (dtype: string): number => ELEMENT_TYPES.get(dtype)?.bytes ?? OTHER_BYTES.get(dtype) ?? NaN;

/** The dtype that torch calls by this name. */
function dtypeOf(global: Pickled): string | undefined {
  if (!isKind(global, "global")) return undefined;
  const name = global.name.replace(/^torch\./, "");
  return DTYPES.get(name) ?? (OTHER_BYTES.has(name) ? name : undefined);
}

const STORAGE_DTYPES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ...{ Double: "F64", Float: "F32", Half: "F16", BFloat16: "BF16", Long: "I64", Int: "I32", Short: "I16" },
    ...{ Char: "I8", Byte: "U8", Bool: "BOOL", Untyped: "U8", ComplexFloat: "C64", ComplexDouble: "complex128" },
    ...{ QInt8: "qint8", QUInt8: "quint8", QInt32: "qint32", QUInt4x2: "quint4x2", QUInt2x4: "quint2x4" },
  }),
);

/** What a storage of this class holds: torch.FloatStorage, torch.storage.UntypedStorage, torch.cuda.FloatStorage. */
const storageDtype = (name: string): string | undefined =>
  STORAGE_DTYPES.get(/^torch\.(?:cuda\.|storage\.)?(\w+)Storage$/.exec(name)?.[1] ?? "");

/** Names that stand for themselves: dtypes, kinds of quantization, classes of tensors. */
const isPlainName = (name: string): boolean =>
  dtypeOf({ kind: "global", name }) !== undefined ||
  storageDtype(name) !== undefined ||
  /^torch\.(u?int[1-7]|per_(tensor|channel)_(affine|symmetric)|per_channel_affine_float_qparams)$/.test(name) ||
  /^torch\.(cuda\.)?(sparse\.)?(BFloat16|Bool|Byte|Char|Double|Float|Half|Int|Long|Short)?Tensor$/.test(name);

type Rebuild = (args: Pickled[], broken: Broken) => Pickled;
type Callables = ReadonlyMap<string, readonly [least: number, most: number, Rebuild]>;

/** What makes a tensor of what a pickle says, and how many arguments it takes. Each of them is looked at. */
const REBUILD: Callables = new Map([
  // torch before 0.4, and with it torchvision's vgg16.
  ["torch._utils._rebuild_tensor", [4, 4, (args, broken) => rebuild(args, broken)]],
  ["torch._utils._rebuild_tensor_v2", [6, 7, rebuildV2]],
  ["torch._utils._rebuild_tensor_v3", [7, 8, rebuildV3]],
  ["torch._utils._rebuild_qtensor", [7, 7, rebuildQuantized]],
  ["torch._utils._rebuild_meta_tensor_no_storage", [4, 4, rebuildMeta]],
  ["torch._utils._rebuild_sparse_tensor", [2, 2, rebuildSparse]],
  ["torch._utils._rebuild_nested_tensor", [4, 4, () => other("a nested tensor")]],
  ["torch._utils._rebuild_device_tensor_from_cpu_tensor", [4, 4, rebuildFromCpu]],
]);

/** All that a pickle may call: stand-ins of our own that only arrange what was read. */
const CALLABLE: Callables = new Map([
  ...REBUILD,
  ["torch._utils._rebuild_parameter", [3, 3, parameter]],
  // Its fourth argument are attributes, which say nothing about the values.
  ["torch._utils._rebuild_parameter_with_state", [4, 4, parameter]],
  ["torch.nn.parameter.Parameter", [1, 2, ([tensor, grad = true], broken) => parameter([tensor, grad, null], broken)]],
  ["torch._tensor._rebuild_from_type_v2", [4, 4, rebuildFromType]],
  ["collections.OrderedDict", [0, 1, orderedDict]],
  ["collections.Counter", [0, 1, ([counts = new Map()], broken) => asGiven(counts, counts instanceof Map, broken)]],
  ["builtins.bytes", [0, 0, () => other("bytes")]],
  ["builtins.frozenset", [0, 1, ([items = []], broken) => asGiven(items, Array.isArray(items), broken)]],
  ["builtins.set", [0, 1, ([items = []], broken) => asGiven(items, Array.isArray(items), broken)]],
  ["torch.Size", [1, 1, ([shape], broken) => asGiven(shape, isSizes(shape), broken)]],
  ["torch.device", [1, 2, () => other("a device")]],
  ["torch.serialization._get_layout", [1, 1, () => other("a layout")]],
  ["_codecs.encode", [2, 2, () => other("bytes")]],
  ["builtins.bytearray", [0, 2, () => other("bytes")]],
  ["builtins.complex", [2, 2, () => other("a complex number")]],
]);

const other = (name: string): Other => ({ kind: "other", name });

/** What is given to the likes of torch.Size() is what they make: never a copy, which a short pickle could ask for often. */
function asGiven(value: Pickled, isRight: boolean, broken: Broken): Pickled {
  if (!isRight) throw broken("a pickle that calls a function with what it does not take");
  return value;
}

/** Whether gradients were wanted, and what was called with them: neither says anything about the values. */
function checkGradients(grad: Pickled, hooks: Pickled, broken: Broken): void {
  if (typeof grad !== "boolean" || !(hooks === null || hooks instanceof Map))
    throw broken("a tensor whose requires_grad or hooks are not what torch writes");
}

function rebuildV2([storage, offset, shape, strides, grad, hooks, bits]: Pickled[], broken: Broken): Pickled {
  checkGradients(grad, hooks, broken);
  return rebuild([storage, offset, shape, strides], broken, { bits });
}

/** Of the newer dtypes: the storage holds bytes. */
function rebuildV3([storage, offset, shape, strides, grad, hooks, type, bits]: Pickled[], broken: Broken): Pickled {
  checkGradients(grad, hooks, broken);
  const dtype = dtypeOf(type);
  if (!dtype) throw broken("a tensor of a dtype that torch does not have");
  return rebuild([storage, offset, shape, strides], broken, { bits, dtype });
}

function rebuildQuantized([storage, offset, shape, strides, , grad, hooks]: Pickled[], broken: Broken): Pickled {
  checkGradients(grad, hooks, broken);
  const dtype = isKind(storage, "storage") && isSize(offset) && isSizes(strides) ? storage.dtype : undefined;
  return withoutValues(dtype, shape, "it is quantized", broken);
}

function rebuildMeta([dtype, shape]: Pickled[], broken: Broken): Pickled {
  return withoutValues(dtypeOf(dtype), shape, "it was saved without its values", broken);
}

/** A layout, and indices of one kind or two, values and the shape; for one layout also whether it is coalesced. */
function rebuildSparse([, parts]: Pickled[], broken: Broken): Pickled {
  const given = Array.isArray(parts) ? parts.slice(0, 4) : [];
  const values = given.findLast((part) => isKind(part, "tensor"));
  const shape = given.findLast((part) => Array.isArray(part));
  return withoutValues(values && isKind(values, "tensor") ? values.dtype : undefined, shape, "it is sparse", broken);
}

function rebuildFromCpu([tensor, dtype, , grad]: Pickled[], broken: Broken): Pickled {
  if (isKind(tensor, "tensor") && tensor.dtype === dtypeOf(dtype) && typeof grad === "boolean") return tensor;
  throw broken("a tensor of another device that is not what torch writes");
}

function parameter([tensor, grad, hooks]: readonly Pickled[], broken: Broken): Pickled {
  if (!isKind(tensor, "tensor")) throw broken("a parameter that is no tensor");
  checkGradients(grad, hooks, broken);
  return tensor;
}

/** A tensor of a class of its own, or with attributes, which say nothing about the values. */
function rebuildFromType([callee, type, args]: Pickled[], broken: Broken): Pickled {
  const isKnown = isKind(callee, "global") && isKind(type, "global") && Array.isArray(args);
  // Not itself, which a pickle could nest without end.
  if (!isKnown || !REBUILD.has(callee.name)) throw broken("a tensor that is rebuilt in a way that torch does not");
  return apply(callee.name, args, broken);
}

function apply(name: string, args: Pickled[], broken: Broken): Pickled {
  const [least, most, call] = CALLABLE.get(name) as [number, number, Rebuild];
  if (args.length < least || args.length > most) {
    const range = least === most ? `${least}` : `${least} to ${most}`;
    throw broken(`a pickle that calls ${name} with ${args.length} arguments, wanted ${range}`);
  }
  return call(args, broken);
}

/** OrderedDict(), or OrderedDict([[key, value], ...]) as Python 2 wrote it. */
function orderedDict([pairs = []]: readonly Pickled[], broken: Broken): Pickled {
  // Each list is used up, so that a short pickle cannot have a long one copied over and over.
  const items = Array.isArray(pairs) ? pairs.splice(0) : [pairs];
  if (!items.every(isPair)) throw broken("an OrderedDict of something else than pairs");
  return new Map(items);
}

const isPair = (value: Pickled): value is [Pickled, Pickled] => Array.isArray(value) && value.length === 2;

const MAX_RANK = 64;

/** A tensor with more elements than its storage (stride 0, by expand()) may have this many: 64 MB as float32. */
const MAX_EXPANDED = 1 << 24;

/** A tensor over a storage. Its dtype is the storage's unless it has one of its own; `bits` are torch's lazy operations. */
function rebuild(
  [storage, offset, shape, strides]: readonly Pickled[],
  broken: Broken,
  { bits = null, dtype: own }: { readonly bits?: Pickled; readonly dtype?: string } = {},
): SavedTensor {
  const isLegal =
    isKind(storage, "storage") &&
    isSize(offset) &&
    isSizes(shape) &&
    isSizes(strides) &&
    shape.length === strides.length;
  if (!isLegal) throw broken("a tensor whose storage, offset, shape or strides are not what torch writes");
  const dtype = own ?? storage.dtype;
  const room = Math.floor((storage.count * bytesOf(storage.dtype)) / bytesOf(dtype));
  const count = countElements(shape);
  const said = `a tensor of shape ${formatShape(shape)}, strides ${formatShape(strides)} and offset ${offset}`;
  if (Number.isNaN(count)) throw broken(`${said} has too many elements`);
  if (count > 0 && lastOf(offset, shape, strides) >= room)
    throw broken(`${said} runs beyond its storage of ${room} elements`);
  if (count > room && count > MAX_EXPANDED) {
    throw broken(`${said} repeats its storage of ${room} elements; the limit is ${MAX_EXPANDED} elements`);
  }
  const marks = readBits(bits, dtype, broken);
  return { kind: "tensor", storage, dtype, offset, shape: [...shape], strides: [...strides], ...marks };
}

/** What torch has put off until somebody looks: the other sign, or the complex conjugate. */
function readBits(bits: Pickled, dtype: string, broken: Broken): Pick<SavedTensor, "negative" | "unreadable"> {
  if (bits === null) return { negative: false };
  const known = ["neg", "conj"];
  const isLegal =
    bits instanceof Map &&
    [...bits].every(([key, value]) => known.includes(key as string) && typeof value === "boolean");
  if (!isLegal) throw broken(`a tensor with other marks than ${known.join(" and ")}`);
  const negative = bits.get("neg") === true;
  if (bits.get("conj") === true) return { negative, unreadable: "it is a complex conjugate" };
  // Whole numbers as small as they get have no negative.
  if (negative && !/^B?F\d+$/.test(dtype)) return { negative, unreadable: `it is the negative of ${dtype}` };
  return { negative };
}

/** A tensor that is listed, but whose values are not to be had. */
function withoutValues(
  dtype: string | undefined,
  shape: Pickled | undefined,
  unreadable: string,
  broken: Broken,
): SavedTensor {
  if (!dtype || !isSizes(shape) || Number.isNaN(countElements(shape)))
    throw broken("a tensor whose dtype, offset or shape are not what torch writes");
  const storage: Storage = { kind: "storage", key: "", dtype, count: 0 };
  return { kind: "tensor", storage, dtype, offset: 0, shape: [...shape], strides: [], negative: false, unreadable };
}

/** The last element of the storage that is used. The sum may be rounded, but only where it is far beyond any storage. */
export const lastOf = (offset: number, shape: Shape, strides: readonly number[]): number =>
  shape.reduce((sum, size, i) => sum + (size - 1) * strides[i], offset);

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length <= MAX_RANK && value.every(isSize);

/** The largest pickle, in bytes; a ResNet-152 takes 110 KB. */
export const MAX_PICKLE_BYTES = 1 << 24;

/**
 * The most opcodes, where each that makes something larger than a number counts as eight: half a million of those, or a
 * list of four million numbers. A ResNet-152 takes 35 thousand opcodes.
 */
const MAX_WORK = 1 << 22;
const LARGE = /^(EMPTY|TUPLE|FROZEN|PUT|MEMOIZE|REDUCE|PERSISTENT|GLOBAL|STACK_GLOBAL)/;

/**
 * The opcodes (Python's pickletools documents each) in which protocols 2 to 5 write dicts, lists, tuples, strings,
 * bytes and numbers, with their bytes of argument: -n where the argument starts with its own length in n bytes.
 */
const OPCODES: ReadonlyMap<number, readonly [name: string, argument: number]> = new Map([
  [0x28, ["MARK", 0]],
  [0x29, ["EMPTY_TUPLE", 0]],
  [0x2e, ["STOP", 0]],
  [0x30, ["POP", 0]],
  [0x31, ["POP_MARK", 0]],
  [0x32, ["DUP", 0]],
  [0x42, ["BYTES", -4]],
  [0x43, ["BYTES", -1]],
  [0x47, ["FLOAT", 8]],
  [0x4a, ["INT", 4]],
  [0x4b, ["UINT", 1]],
  [0x4d, ["UINT", 2]],
  [0x4e, ["NONE", 0]],
  [0x51, ["PERSISTENT", 0]],
  [0x52, ["REDUCE", 0]],
  [0x54, ["STRING", -4]],
  [0x55, ["STRING", -1]],
  [0x58, ["STRING", -4]],
  [0x5d, ["EMPTY_LIST", 0]],
  [0x61, ["APPEND", 0]],
  [0x62, ["BUILD", 0]],
  [0x63, ["GLOBAL", 0]],
  [0x65, ["APPENDS", 0]],
  [0x68, ["GET", 1]],
  [0x6a, ["GET", 4]],
  [0x71, ["PUT", 1]],
  [0x72, ["PUT", 4]],
  [0x73, ["SETITEM", 0]],
  [0x74, ["TUPLE", 0]],
  [0x75, ["SETITEMS", 0]],
  [0x7d, ["EMPTY_DICT", 0]],
  [0x80, ["PROTO", 1]],
  [0x85, ["TUPLE1", 0]],
  [0x86, ["TUPLE2", 0]],
  [0x87, ["TUPLE3", 0]],
  [0x88, ["TRUE", 0]],
  [0x89, ["FALSE", 0]],
  [0x8a, ["LONG", -1]],
  [0x8b, ["LONG", -4]],
  [0x8c, ["STRING", -1]],
  [0x8d, ["STRING", -8]],
  [0x8e, ["BYTES", -8]],
  [0x8f, ["EMPTY_SET", 0]],
  [0x90, ["APPENDS", 0]],
  [0x91, ["FROZENSET", 0]],
  [0x93, ["STACK_GLOBAL", 0]],
  [0x94, ["MEMOIZE", 0]],
  [0x95, ["FRAME", 8]],
  [0x96, ["BYTES", -8]],
]);

/**
 * The object pickled from `at` on and where its pickle ends, or undefined when the bytes end first. `storages`
 * collects the storages that it refers to, by key.
 */
export function unpickle(
  bytes: Uint8Array,
  at: number,
  storages: Map<string, Storage>,
  broken: Broken,
): { value: Pickled; end: number } | undefined {
  const view = viewOf(bytes);
  const stack: Pickled[] = [];
  const marks: number[] = [];
  const memo = new Map<number, Pickled>();

  const readUint = (at: number, size: number): number => {
    if (size === 8) return getUint64(view, at);
    return size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
  };
  const pop = (): Pickled => {
    if (stack.length <= (marks.at(-1) ?? 0)) throw broken("a pickle that takes more than it has");
    return stack.pop() as Pickled;
  };
  const popToMark = (): Pickled[] => {
    const mark = marks.pop();
    if (mark === undefined) throw broken("a pickle with too few marks");
    return stack.splice(mark);
  };
  const top = (): Pickled => {
    const value = pop();
    stack.push(value);
    return value;
  };
  const tuple = (length: number) => Array.from({ length }, pop).reverse();
  const append = (items: Pickled[]) => {
    const list = top();
    if (!Array.isArray(list)) throw broken("a pickle that appends to something else than a list");
    for (const item of items) list.push(item);
  };
  const setItems = (items: Pickled[]) => {
    const dict = top();
    if (!(dict instanceof Map) || items.length % 2 > 0)
      throw broken("a pickle that sets items of something else than a dict");
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
  };
  const refer = (written: string) => {
    // Python 2's name, which protocol 2 keeps.
    const name = written.replace(/^__builtin__\./, "builtins.");
    if (!CALLABLE.has(name) && !isPlainName(name)) {
      throw broken(
        `it refers to ${quote(name)}, and only tensors are read; torch.save(model.state_dict(), path) writes nothing else`,
      );
    }
    stack.push({ kind: "global", name });
  };

  for (let work = 0; work < MAX_WORK; ) {
    if (at >= bytes.length) return;
    const code = bytes[at++];
    const known = OPCODES.get(code);
    if (!known) throw broken(`a pickle with the opcode 0x${code.toString(16)}`);
    const [opcode, size] = known;
    work += LARGE.test(opcode) ? 8 : 1;
    let length = size;
    if (size < 0) {
      if (at - size > bytes.length) return;
      length = readUint(at, -size);
      at -= size;
    }
    if (at + length > bytes.length) return;
    const argument = at;
    at += length;

    switch (opcode) {
      case "PROTO":
        if (bytes[argument] > 5) throw broken(`a pickle of protocol ${bytes[argument]}; known are those up to 5`);
        break;
      case "FRAME":
        break;
      case "STOP":
        return { value: pop(), end: at };

      case "NONE":
        stack.push(null);
        break;
      case "TRUE":
      case "FALSE":
        stack.push(opcode === "TRUE");
        break;
      case "INT":
        stack.push(view.getInt32(argument, true));
        break;
      case "UINT":
        stack.push(readUint(argument, size));
        break;
      case "LONG":
        stack.push(decodeLong(bytes.subarray(argument, at), broken));
        break;
      case "FLOAT":
        stack.push(view.getFloat64(argument));
        break;
      case "STRING":
        stack.push(decodeText(bytes.subarray(argument, at), broken));
        break;
      case "BYTES":
        stack.push(other("bytes"));
        break;

      case "MARK":
        marks.push(stack.length);
        break;
      case "POP":
        pop();
        break;
      case "POP_MARK":
        popToMark();
        break;
      case "DUP":
        stack.push(top());
        break;
      case "PUT":
        memo.set(readUint(argument, size), top());
        break;
      case "MEMOIZE":
        memo.set(memo.size, top());
        break;
      case "GET": {
        const value = memo.get(readUint(argument, size));
        if (value === undefined) throw broken("a pickle that recalls what it never kept");
        stack.push(value);
        break;
      }

      case "EMPTY_LIST":
      case "EMPTY_TUPLE":
      case "EMPTY_SET":
        stack.push([]);
        break;
      case "EMPTY_DICT":
        stack.push(new Map());
        break;
      case "TUPLE":
      case "FROZENSET":
        stack.push(popToMark());
        break;
      case "TUPLE1":
      case "TUPLE2":
      case "TUPLE3":
        stack.push(tuple(Number(opcode.slice(-1))));
        break;
      case "APPEND":
        append([pop()]);
        break;
      case "APPENDS":
        append(popToMark());
        break;
      case "SETITEM":
        setItems(tuple(2));
        break;
      case "SETITEMS":
        setItems(popToMark());
        break;

      case "GLOBAL": {
        // Two lines of text: the module and the name.
        const middle = bytes.indexOf(0x0a, at) + 1;
        const end = middle > 0 ? bytes.indexOf(0x0a, middle) + 1 : 0;
        if (end === 0) return;
        at = end;
        const names = [bytes.subarray(argument, middle - 1), bytes.subarray(middle, end - 1)];
        refer(names.map((name) => decodeText(name, broken)).join("."));
        break;
      }
      case "STACK_GLOBAL": {
        const names = tuple(2);
        if (!names.every((name) => typeof name === "string")) throw broken("a pickle that refers to what has no name");
        refer(names.join("."));
        break;
      }
      case "REDUCE": {
        const [callee, args] = tuple(2);
        if (!isKind(callee, "global") || !CALLABLE.has(callee.name) || !Array.isArray(args))
          throw broken("a pickle that calls what is no function of torch's");
        stack.push(apply(callee.name, args, broken));
        break;
      }
      case "BUILD":
        // Attributes. Those of an OrderedDict, such as a state_dict's _metadata, say nothing about the values.
        pop();
        if (!(top() instanceof Map)) throw broken("a pickle that sets attributes of something else than a dict");
        break;
      case "PERSISTENT":
        stack.push(referStorage(pop(), storages, broken));
        break;
    }
  }
  throw broken(`a pickle of more than ${MAX_WORK} opcodes, or of an eighth of that where they make objects`);
}

/** The storage of a persistent id: ("storage", type, key, device, count), and None for what used to be a view. */
function referStorage(id: Pickled, storages: Map<string, Storage>, broken: Broken): Storage {
  const [tag, type, key, , count, isView = null] = Array.isArray(id) ? id : [];
  const dtype = isKind(type, "global") && storageDtype(type.name);
  if (tag !== "storage" || !dtype || typeof key !== "string" || !isSize(count) || isView !== null) {
    throw broken("a persistent id that is not that of a storage");
  }
  const storage = storages.get(key) ?? { kind: "storage", key, dtype, count };
  if (storage.dtype !== dtype || storage.count !== count)
    throw broken(`storage ${quote(key)} is described in two ways`);
  storages.set(key, storage);
  return storage;
}

/** Little-endian two's complement: a number where it is exact, else a bigint. */
function decodeLong(bytes: Uint8Array, broken: Broken): number | bigint {
  if (bytes.length > 16) throw broken(`a pickle with an integer of ${bytes.length} bytes`);
  const bits = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const value = BigInt.asIntN(8 * bytes.length, bits);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
