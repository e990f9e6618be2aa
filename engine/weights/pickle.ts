/** Reads what torch pickles without ever calling anything: whatever is neither plain data nor a tensor is refused. */

import { formatShape, type Shape } from "../ground/tensor.ts";
import type { TensorInfo } from "./checkpoint.ts";
import { countElements, quote } from "./checkpoint.ts";
import { type Broken, decodeText, getUint64, viewOf } from "./zip.ts";

/** What a pickle can make here: lists and tuples are arrays, dicts and OrderedDicts are Maps. */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Pickled[]
  | Map<Pickled, Pickled>
  | { readonly kind: "global"; readonly name: string }
  | Storage
  | SavedTensor;

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

/** Offset and strides in elements of the storage. */
export interface SavedTensor extends TensorInfo {
  readonly kind: "tensor";
  readonly storage: Storage;
  readonly offset: number;
  readonly strides: readonly number[];
}

const STORAGE_DTYPES: ReadonlyMap<string, string> = new Map([
  ["torch.DoubleStorage", "F64"],
  ["torch.FloatStorage", "F32"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.ShortStorage", "I16"],
  ["torch.CharStorage", "I8"],
  ["torch.ByteStorage", "U8"],
  ["torch.BoolStorage", "BOOL"],
  ["torch.UntypedStorage", "U8"],
  ["torch.storage.UntypedStorage", "U8"],
]);

/** What a pickle may call: stand-ins of our own that only arrange what was read. */
const CALLABLE: ReadonlyMap<string, (args: Pickled[], broken: Broken) => Pickled> = new Map([
  ["collections.OrderedDict", orderedDict],
  ["torch._utils._rebuild_tensor", rebuildTensor], // torch before 0.4, and with it torchvision's vgg16
  ["torch._utils._rebuild_tensor_v2", rebuildTensor],
  ["torch._utils._rebuild_parameter", rebuildParameter],
]);

function rebuildParameter([tensor]: readonly Pickled[], broken: Broken): Pickled {
  if (!isKind(tensor, "tensor")) throw broken("a parameter that is no tensor");
  return tensor;
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

/** The arguments of torch._utils._rebuild_tensor_v2, of which the first four say everything about the values. */
function rebuildTensor([storage, offset, shape, strides]: readonly Pickled[], broken: Broken): SavedTensor {
  const isLegal =
    isKind(storage, "storage") &&
    isSize(offset) &&
    isSizes(shape) &&
    isSizes(strides) &&
    shape.length === strides.length;
  if (!isLegal) throw broken("a tensor whose storage, offset, shape or strides are not what torch writes");
  const count = countElements(shape);
  const said = `a tensor of shape ${formatShape(shape)}, strides ${formatShape(strides)} and offset ${offset}`;
  if (Number.isNaN(count)) throw broken(`${said} has too many elements`);
  if (count > 0 && lastOf(offset, shape, strides) >= storage.count)
    throw broken(`${said} runs beyond its storage of ${storage.count} elements`);
  if (count > storage.count && count > MAX_EXPANDED) {
    throw broken(`${said} repeats its storage of ${storage.count} elements; the limit is ${MAX_EXPANDED} elements`);
  }
  return { kind: "tensor", storage, dtype: storage.dtype, offset, shape: [...shape], strides: [...strides] };
}

/** The last element of the storage that is used. The sum may be rounded, but only where it is far beyond any storage. */
export const lastOf = (offset: number, shape: Shape, strides: readonly number[]): number =>
  shape.reduce((sum, size, i) => sum + (size - 1) * strides[i], offset);

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length <= MAX_RANK && value.every(isSize);

/** The largest pickle, in bytes, and the most opcodes; a ResNet-152 takes 110 KB and 35 thousand. */
export const MAX_PICKLE_BYTES = 1 << 24;
const MAX_STEPS = 1 << 19;

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
  [0x93, ["STACK_GLOBAL", 0]],
  [0x94, ["MEMOIZE", 0]],
  [0x95, ["FRAME", 8]],
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
  const refer = (name: string) => {
    if (!CALLABLE.has(name) && !STORAGE_DTYPES.has(name)) {
      throw broken(
        `it refers to ${quote(name)}, and only tensors are read; torch.save(model.state_dict(), path) writes nothing else`,
      );
    }
    stack.push({ kind: "global", name });
  };

  for (let steps = 0; steps < MAX_STEPS; steps++) {
    if (at >= bytes.length) return;
    const code = bytes[at++];
    const known = OPCODES.get(code);
    if (!known) throw broken(`a pickle with the opcode 0x${code.toString(16)}`);
    const [opcode, size] = known;
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
        stack.push(bytes.subarray(argument, at));
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
        stack.push([]);
        break;
      case "EMPTY_DICT":
        stack.push(new Map());
        break;
      case "TUPLE":
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
        const call = isKind(callee, "global") && CALLABLE.get(callee.name);
        if (!call || !Array.isArray(args)) throw broken("a pickle that calls what is no function of torch's");
        stack.push(call(args, broken));
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
  throw broken(`a pickle of more than ${MAX_STEPS} opcodes`);
}

/** The storage of a persistent id: ("storage", type, key, device, count), and None for what used to be a view. */
function referStorage(id: Pickled, storages: Map<string, Storage>, broken: Broken): Storage {
  const [tag, type, key, , count, isView = null] = Array.isArray(id) ? id : [];
  const dtype = isKind(type, "global") && STORAGE_DTYPES.get(type.name);
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
