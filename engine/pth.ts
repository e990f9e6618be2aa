import type { ByteSource, Checkpoint, TensorInfo } from "./checkpoint.ts";
import { WeightsError } from "./errors.ts";
import { countElements, DTYPES, type Dtype, makeCheckpoint, quote, readValues } from "./safetensors.ts";
import { formatShape, stridesOf } from "./tensor.ts";

/** Gives the `size` bytes that a raw deflate stream (RFC 1951) unpacks to; rejects when there are more. */
export type InflateRaw = (bytes: Uint8Array, size: number) => Promise<Uint8Array>;

/**
 * Opens what `torch.save(model.state_dict(), path)` wrote, as torch.load's `weights_only` would: the zip archive of
 * torch 1.6 and later, or the pickle stream before it (https://docs.pytorch.org/docs/stable/notes/serialization.html).
 * The mapping of names to tensors may also lie under "state_dict", "model_state_dict" or "model" of an outer mapping.
 * Entries that are no tensors (ints, strings, lists) are skipped.
 *
 * Nothing in the file is ever called: a pickle may name OrderedDict, tensors, parameters and storages, and anything
 * else is refused by its name. What a tensor claims is held against the bytes that are there.
 *
 * Opening reads the directory and the pickle; reading a range of a contiguous tensor reads the bytes of that range. A
 * storage of an archive has a CRC-32, which is checked when the storage is first used, a megabyte at a time. A tensor
 * with other strides is picked out of a pass over its storage, a few MB at a time, for each range that is read.
 * Deflated storages, which torch never writes, are unpacked whole, and the latest one is kept. The old stream has no
 * checksums.
 *
 * Closing the checkpoint closes the source.
 * @throws WeightsError when the file is damaged or holds anything but tensors, FileError when it cannot be read.
 */
export async function openPth(source: ByteSource, inflateRaw: InflateRaw = inflate): Promise<Checkpoint> {
  const broken: Broken = (problem) =>
    new WeightsError(`${source.name} cannot be read as a PyTorch checkpoint: ${problem}`);
  const isZip = source.size >= 4 && (await source.read(0, 1))[0] === 0x50;
  const { root, locate } = await (isZip ? openArchive(source, inflateRaw, broken) : openStream(source, broken));
  return makeCheckpoint(
    source.name,
    stateDict(root, broken),
    async (tensor, start, count) => readElements(await locate(tensor.storage), tensor, start, count),
    async () => source.close?.(),
  );
}

type Broken = (problem: string) => WeightsError;

/** A storage's bytes: little-endian, dense, from `offset` of `source`. */
interface Place {
  readonly source: ByteSource;
  readonly offset: number;
}

/** An opened file of either format: the pickled object, and where its storages lie. */
interface Saved {
  readonly root: Value;
  locate(storage: Storage): Promise<Place>;
}

// ---- tensors ----

interface Storage {
  readonly kind: "storage";
  readonly key: string;
  readonly dtype: string;
  /** In elements. */
  readonly count: number;
}

/** Offset and strides in elements of the storage. */
interface SavedTensor extends TensorInfo {
  readonly kind: "tensor";
  readonly storage: Storage;
  readonly offset: number;
  readonly strides: readonly number[];
}

const layoutOf = (storage: Storage) => DTYPES.get(storage.dtype) as Dtype;

const MAX_RANK = 64;

/** A tensor with more elements than its storage (stride 0, by expand()) may have this many: 64 MB as float32. */
const MAX_EXPANDED = 1 << 24;

/** The arguments of torch._utils._rebuild_tensor_v2, of which the first four say everything about the values. */
function rebuildTensor([storage, offset, shape, strides]: readonly Value[], broken: Broken): SavedTensor {
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
  // The sum may be rounded, but only where it is far beyond any storage.
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i], offset);
  if (count > 0 && last >= storage.count) throw broken(`${said} runs beyond its storage of ${storage.count} elements`);
  if (count > storage.count && count > MAX_EXPANDED) {
    throw broken(`${said} repeats its storage of ${storage.count} elements; the limit is ${MAX_EXPANDED} elements`);
  }
  return { kind: "tensor", storage, dtype: storage.dtype, offset, shape: [...shape], strides: [...strides] };
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length <= MAX_RANK && value.every(isSize);

/** The named tensors of what was pickled. */
function stateDict(root: Value, broken: Broken): Map<string, SavedTensor> {
  const wanted = "wanted the mapping of names to tensors that torch.save(model.state_dict(), path) writes";
  if (!(root instanceof Map)) throw broken(`it holds ${nameKind(root)}, ${wanted}`);
  const wrapped = ["state_dict", "model_state_dict", "model"].map((key) => root.get(key));
  const tensors = new Map<string, SavedTensor>();
  for (const [name, value] of wrapped.find((value) => value instanceof Map) ?? root) {
    if (value instanceof Map) throw broken(`its entry ${nameKey(name)} is a mapping itself, ${wanted}`);
    if (!isKind(value, "tensor")) continue;
    if (typeof name !== "string") throw broken(`a tensor is filed under ${nameKey(name)}, wanted a name`);
    tensors.set(name, value);
  }
  if (tensors.size === 0) throw broken(`it holds no tensors, ${wanted}`);
  return tensors;
}

const nameKey = (key: Value) => (typeof key === "string" ? quote(key) : nameKind(key));

function nameKind(value: Value): string {
  if (value === null) return "None";
  if (typeof value !== "object") return `a ${typeof value}`;
  if (Array.isArray(value)) return "a list";
  return value instanceof Map ? "a mapping" : value instanceof Uint8Array ? "bytes" : `a ${value.kind}`;
}

function readElements(place: Place, tensor: SavedTensor, start: number, count: number): Promise<Float32Array> {
  const { shape, strides, offset } = tensor;
  const dense = stridesOf(shape);
  if (count > 0 && shape.some((size, i) => size > 1 && strides[i] !== dense[i]))
    return gather(place, tensor, start, count);
  const layout = layoutOf(tensor.storage);
  return readValues(place.source, layout, place.offset + (offset + start) * layout.bytes, new Float32Array(count));
}

/**
 * Elements of a tensor with any strides. They may lie all over the storage, so it goes through the storage once, block
 * by block, and takes from each block what belongs to each row (the last dimension).
 */
async function gather(place: Place, tensor: SavedTensor, start: number, count: number): Promise<Float32Array> {
  const layout = layoutOf(tensor.storage);
  const values = new Float32Array(count);
  const { offset } = tensor;
  const end = tensor.shape.reduce((sum, size, i) => sum + (size - 1) * tensor.strides[i], offset + 1);
  const blockSize = Math.max(MIN_BLOCK, Math.ceil((end - offset) / MAX_BLOCKS));

  const dims = tensor.shape.map((size, i) => ({ size, stride: tensor.strides[i] })).filter(({ size }) => size > 1);
  const { size: width, stride } = dims[dims.length - 1];
  const outer = dims.slice(0, -1).reverse();

  const buffer = new Float32Array(Math.min(blockSize, end - offset));
  for (let low = offset; low < end; low += blockSize) {
    const block = buffer.subarray(0, end - low);
    await readValues(place.source, layout, place.offset + low * layout.bytes, block);
    for (let row = Math.floor(start / width); row * width < start + count; row++) {
      let origin = offset - low;
      let rest = row;
      for (const dim of outer) {
        origin += (rest % dim.size) * dim.stride;
        rest = Math.floor(rest / dim.size);
      }
      // The columns that were asked for, and of these the ones that lie in this block.
      let from = Math.max(0, start - row * width);
      let to = Math.min(width, start + count - row * width);
      if (stride > 0) {
        from = Math.max(from, Math.ceil(-origin / stride));
        to = Math.min(to, Math.ceil((block.length - origin) / stride));
      } else if (origin < 0 || origin >= block.length) {
        continue;
      }
      for (let column = from; column < to; column++) {
        values[row * width + column - start] = block[origin + column * stride];
      }
    }
  }
  return values;
}

/** Blocks of 4 MB as float32, larger only where there would be too many: every row is looked at once per block. */
const MIN_BLOCK = 1 << 20;
const MAX_BLOCKS = 32;

// ---- pickles ----

/** What a pickle can make here: lists and tuples are arrays, dicts and OrderedDicts are Maps. */
type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Value[]
  | Map<Value, Value>
  | { readonly kind: "global"; readonly name: string }
  | Storage
  | SavedTensor;

function isKind<K extends "global" | "storage" | "tensor">(
  value: Value,
  kind: K,
): value is Extract<Value, { readonly kind: K }> {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === kind;
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
const CALLABLE: ReadonlyMap<string, (args: Value[], broken: Broken) => Value> = new Map([
  ["collections.OrderedDict", orderedDict],
  ["torch._utils._rebuild_tensor", rebuildTensor], // torch before 0.4, and with it torchvision's vgg16
  ["torch._utils._rebuild_tensor_v2", rebuildTensor],
  ["torch._utils._rebuild_parameter", rebuildParameter],
]);

function rebuildParameter([tensor]: readonly Value[], broken: Broken): Value {
  if (!isKind(tensor, "tensor")) throw broken("a parameter that is no tensor");
  return tensor;
}

/** OrderedDict(), or OrderedDict([[key, value], ...]) as Python 2 wrote it. */
function orderedDict([pairs = []]: Value[], broken: Broken): Value {
  if (!Array.isArray(pairs)) throw broken("an OrderedDict of something else than pairs");
  const dict = new Map<Value, Value>();
  // Each list is used up, so that a short pickle cannot have a long one copied over and over.
  for (const pair of pairs.splice(0)) {
    if (!Array.isArray(pair) || pair.length !== 2) throw broken("an OrderedDict of something else than pairs");
    dict.set(pair[0], pair[1]);
  }
  return dict;
}

/** The largest pickle, in bytes, and the most opcodes; a ResNet-152 takes 110 KB and 35 thousand. */
const MAX_PICKLE_BYTES = 1 << 24;
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
function unpickle(
  bytes: Uint8Array,
  at: number,
  storages: Map<string, Storage>,
  broken: Broken,
): { value: Value; end: number } | undefined {
  const view = viewOf(bytes);
  const stack: Value[] = [];
  const marks: number[] = [];
  const memo = new Map<number, Value>();

  const pop = (): Value => {
    if (stack.length <= (marks.at(-1) ?? 0)) throw broken("a pickle that takes more than it has");
    return stack.pop() as Value;
  };
  const popToMark = (): Value[] => {
    const mark = marks.pop();
    if (mark === undefined) throw broken("a pickle with too few marks");
    return stack.splice(mark);
  };
  const top = (): Value => {
    const value = pop();
    stack.push(value);
    return value;
  };
  const tuple = (length: number) => Array.from({ length }, pop).reverse();
  const append = (items: Value[]) => {
    const list = top();
    if (!Array.isArray(list)) throw broken("a pickle that appends to something else than a list");
    for (const item of items) list.push(item);
  };
  const setItems = (items: Value[]) => {
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
    const [opcode, size] = OPCODES.get(code) ?? [];
    if (opcode === undefined || size === undefined) throw broken(`a pickle with the opcode 0x${code.toString(16)}`);
    let length = size;
    if (size < 0) {
      if (at - size > bytes.length) return;
      length = size === -1 ? view.getUint8(at) : size === -4 ? view.getUint32(at, true) : getUint64(view, at);
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
        stack.push(size === 1 ? view.getUint8(argument) : view.getUint16(argument, true));
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
        memo.set(size === 1 ? view.getUint8(argument) : view.getUint32(argument, true), top());
        break;
      case "MEMOIZE":
        memo.set(memo.size, top());
        break;
      case "GET": {
        const value = memo.get(size === 1 ? view.getUint8(argument) : view.getUint32(argument, true));
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
        stack.push(tuple(1));
        break;
      case "TUPLE2":
        stack.push(tuple(2));
        break;
      case "TUPLE3":
        stack.push(tuple(3));
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
      case "BUILD": {
        // Attributes. Those of an OrderedDict, such as a state_dict's _metadata, say nothing about the values.
        pop();
        if (!(top() instanceof Map)) throw broken("a pickle that sets attributes of something else than a dict");
        break;
      }
      case "PERSISTENT":
        stack.push(referStorage(pop(), storages, broken));
        break;
    }
  }
  throw broken(`a pickle of more than ${MAX_STEPS} opcodes`);
}

/** The storage of a persistent id: ("storage", type, key, device, count), and None for what used to be a view. */
function referStorage(id: Value, storages: Map<string, Storage>, broken: Broken): Storage {
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

/** Little-endian two's complement of any length: a number where it is exact, else a bigint. */
function decodeLong(bytes: Uint8Array, broken: Broken): number | bigint {
  if (bytes.length > 16) throw broken(`a pickle with an integer of ${bytes.length} bytes`);
  const bits = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const value = BigInt.asIntN(8 * bytes.length, bits);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function decodeText(bytes: Uint8Array, broken: Broken): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw broken("a text that is not UTF-8");
  }
}

/** Beyond 2^53 it is rounded, which is as far beyond any file as the exact number. */
const getUint64 = (view: DataView, at: number) => Number(view.getBigUint64(at, true));

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

// ---- torch before 1.6: one stream of pickles, and the storages after them ----

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

async function openStream(source: ByteSource, broken: Broken): Promise<Saved> {
  // Where the pickles end shows only in reading them, so more is read until they do.
  const limit = Math.min(source.size, MAX_PICKLE_BYTES);
  let pickles: ReturnType<typeof readPickles>;
  for (let length = 1 << 16; !pickles; length *= 4) {
    const head = await source.read(0, Math.min(length, limit));
    pickles = readPickles(head, broken);
    if (!pickles && head.length === limit) throw broken(`its pickles do not end within ${limit} bytes`);
  }

  const { root, keys, storages } = pickles;
  const places = new Map<string, Place>();
  let at = pickles.end;
  for (const key of keys) {
    const storage = typeof key === "string" && storages.get(key);
    if (!storage || places.has(storage.key))
      throw broken(`it has a storage ${nameKey(key)} that no tensor uses, or twice`);
    if (at + 8 > source.size) throw broken("it ends before its last storage");
    const count = getUint64(viewOf(await source.read(at, 8)), 0);
    if (count !== storage.count) throw broken(`storage ${nameKey(key)} has ${count} elements, wanted ${storage.count}`);
    places.set(storage.key, { source, offset: at + 8 });
    at += 8 + count * layoutOf(storage).bytes;
  }
  if (places.size < storages.size) throw broken(`it has ${places.size} storages, and its tensors use ${storages.size}`);
  if (at !== source.size) throw broken(`its storages end at byte ${at}, and the file at ${source.size}`);
  return { root, locate: async ({ key }) => places.get(key) as Place };
}

/** The five pickles at the start of a stream, or undefined when the bytes end first. */
function readPickles(bytes: Uint8Array, broken: Broken) {
  const storages = new Map<string, Storage>();
  const values: Value[] = [];
  let end = 0;
  for (let i = 0; i < 5; i++) {
    const pickle = unpickle(bytes, end, storages, broken);
    if (!pickle) return;
    if (i === 0 && pickle.value !== MAGIC) throw broken("it is a pickle that torch.save did not write");
    values.push(pickle.value);
    end = pickle.end;
  }
  const [, protocol, system, root, keys] = values;
  if (protocol !== PROTOCOL) throw broken(`it is not of the protocol version ${PROTOCOL}`);
  if (!(system instanceof Map) || system.get("little_endian") !== true) throw broken("it is not little-endian");
  if (!Array.isArray(keys)) throw broken("it has no list of storages");
  return { root, keys, storages, end };
}

// ---- torch 1.6 and later: a zip archive ----

/** An entry of a zip archive's directory; sizes in bytes. */
interface Entry {
  readonly name: string;
  readonly isDeflated: boolean;
  readonly crc: number;
  readonly packedSize: number;
  readonly size: number;
  /** Where its local header starts, and where the next one or the directory does. */
  readonly start: number;
  end: number;
}

async function openArchive(source: ByteSource, inflateRaw: InflateRaw, broken: Broken): Promise<Saved> {
  const entries = await readDirectory(source, broken);
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) {
    throw broken(`a zip archive with ${pickles.length} entries */data.pkl, wanted 1; is it something else's archive?`);
  }
  const folder = pickles[0].slice(0, -"data.pkl".length);

  const readSmall = async (name: string): Promise<Uint8Array | undefined> => {
    const entry = entries.get(folder + name);
    if (!entry) return;
    if (entry.size > MAX_PICKLE_BYTES)
      throw broken(`${name} has ${entry.size} bytes; the limit is ${MAX_PICKLE_BYTES}`);
    const place = await unpack(source, entry, inflateRaw, broken);
    return place.source.read(place.offset, entry.size);
  };
  const order = new TextDecoder().decode((await readSmall("byteorder")) ?? new TextEncoder().encode("little"));
  if (order !== "little") throw broken(`its byte order is ${quote(order)}; only "little" is read`);

  const storages = new Map<string, Storage>();
  const pickle = unpickle((await readSmall("data.pkl")) as Uint8Array, 0, storages, broken);
  if (!pickle) throw broken("data.pkl is cut short");

  const entryOf = new Map<string, Entry>();
  for (const storage of storages.values()) {
    const entry = entries.get(`${folder}data/${storage.key}`);
    const wanted = storage.count * layoutOf(storage).bytes;
    if (entry?.size !== wanted) {
      throw broken(`storage ${quote(storage.key)} has ${entry?.size ?? "no"} bytes in the archive, wanted ${wanted}`);
    }
    entryOf.set(storage.key, entry);
  }

  const places = new Map<string, Place>();
  let inflated = "";
  return {
    root: pickle.value,
    async locate({ key }) {
      const entry = entryOf.get(key) as Entry;
      const place = places.get(key) ?? (await unpack(source, entry, inflateRaw, broken));
      places.set(key, place);
      // What was inflated is in memory; to keep the latest is enough for one tensor after the other.
      if (entry.isDeflated && key !== inflated) {
        places.delete(inflated);
        inflated = key;
      }
      return place;
    },
  };
}

const MAX_DIRECTORY_BYTES = 1 << 24;

/** Reads a zip archive's directory (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3), zip64 or not. */
async function readDirectory(source: ByteSource, broken: Broken): Promise<Map<string, Entry>> {
  // The end record has 22 bytes and a comment of up to 65535, and its last field says how long the comment is.
  const tailSize = Math.min(source.size, 22 + 0xffff);
  const tail = viewOf(await source.read(source.size - tailSize, tailSize));
  let at = tailSize - 22;
  while (at >= 0 && !(tail.getUint32(at, true) === 0x06054b50 && at + 22 + tail.getUint16(at + 20, true) === tailSize))
    at--;
  if (at < 0) throw broken("a zip archive without an end record; it may be cut short");

  let count = tail.getUint16(at + 10, true);
  let size = tail.getUint32(at + 12, true);
  let start = tail.getUint32(at + 16, true);
  let end = source.size - tailSize + at;
  if (end >= 20) {
    const locator = viewOf(await source.read(end - 20, 20));
    if (locator.getUint32(0, true) === 0x07064b50) {
      end = getUint64(locator, 8);
      if (end + 56 > source.size) throw broken("a zip64 end record beyond the file");
      const record = viewOf(await source.read(end, 56));
      if (record.getUint32(0, true) !== 0x06064b50) throw broken("a zip64 locator that points to no end record");
      [count, size, start] = [32, 40, 48].map((field) => getUint64(record, field));
    }
  }
  if (start + size !== end)
    throw broken(`a zip directory at byte ${start} of ${size} bytes, wanted it to end at ${end}`);
  if (size > MAX_DIRECTORY_BYTES) throw broken(`a zip directory of ${size} bytes; the limit is ${MAX_DIRECTORY_BYTES}`);
  const entries = parseDirectory(await source.read(start, size), broken);
  if (entries.length !== count) throw broken(`a zip directory of ${entries.length} entries, wanted ${count}`);

  entries.sort((a, b) => a.start - b.start);
  entries.forEach((entry, i) => {
    entry.end = entries[i + 1]?.start ?? start;
  });
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  if (byName.size < count) throw broken("a zip archive with two entries of one name");
  return byName;
}

function parseDirectory(bytes: Uint8Array, broken: Broken): Entry[] {
  const view = viewOf(bytes);
  const entries: Entry[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== 0x02014b50) throw broken("a damaged zip directory");
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > bytes.length) throw broken("a damaged zip directory");
    const name = decodeText(bytes.subarray(at + 46, nameEnd), broken);
    const method = view.getUint16(at + 10, true);
    if (view.getUint16(at + 8, true) & 1) throw broken(`the zip entry ${quote(name)} is encrypted`);
    if (method !== 0 && method !== 8) throw broken(`the zip entry ${quote(name)} has the compression method ${method}`);

    // Fields that are all ones stand in an extra field instead, of those that are in this order.
    let extra = findExtra(view, nameEnd, extraEnd);
    const [size, packedSize, start] = [24, 20, 42].map((field) => {
      const value = view.getUint32(at + field, true);
      if (value !== 0xffffffff) return value;
      if (!extra || extra.at + 8 > extra.end) throw broken(`the zip entry ${quote(name)} lacks its zip64 sizes`);
      extra = { at: extra.at + 8, end: extra.end };
      return getUint64(view, extra.at - 8);
    });
    entries.push({
      name,
      isDeflated: method === 8,
      crc: view.getUint32(at + 16, true),
      packedSize,
      size,
      start,
      end: 0,
    });
    at = next;
  }
  return entries;
}

/** Where the zip64 field lies among the extra fields from `at` to `end`. */
function findExtra(view: DataView, at: number, end: number): { at: number; end: number } | undefined {
  while (at + 4 <= end) {
    const next = at + 4 + view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === 1 && next <= end) return { at: at + 4, end: next };
    at = next;
  }
}

/** Deflate makes at most 1032 bytes of one. */
const MAX_RATIO = 1032;

/** Where an entry's content lies: in the file when it is stored, else inflated in memory. Checks its CRC-32. */
async function unpack(source: ByteSource, entry: Entry, inflateRaw: InflateRaw, broken: Broken): Promise<Place> {
  const damaged = (problem: string) => broken(`the zip entry ${quote(entry.name)} ${problem}`);

  // The local header repeats the directory's, but its name and extra field, of their own length, come before the data.
  if (entry.start + 30 > entry.end) throw damaged("overlaps another");
  const header = viewOf(await source.read(entry.start, 30));
  if (header.getUint32(0, true) !== 0x04034b50) throw damaged("is not where the directory says");
  const offset = entry.start + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  if (offset + entry.packedSize > entry.end) throw damaged("overlaps another");

  let place: Place = { source, offset };
  if (entry.isDeflated) {
    if (entry.size > entry.packedSize * MAX_RATIO) throw damaged(`cannot inflate to ${entry.size} bytes`);
    let bytes: Uint8Array;
    try {
      bytes = await inflateRaw(await source.read(offset, entry.packedSize), entry.size);
    } catch (cause) {
      throw new WeightsError(damaged("does not inflate").message, { cause });
    }
    if (bytes.length !== entry.size) throw damaged(`inflates to ${bytes.length} bytes, wanted ${entry.size}`);
    const read = async (from: number, length: number) => bytes.subarray(from, from + length);
    place = { source: { name: source.name, size: bytes.length, read }, offset: 0 };
  } else if (entry.packedSize !== entry.size) {
    throw damaged("is stored, but in another size");
  }

  let crc = 0;
  for (let at = 0; at < entry.size; at += CRC_CHUNK) {
    crc = crc32(await place.source.read(place.offset + at, Math.min(CRC_CHUNK, entry.size - at)), crc);
  }
  if (crc !== entry.crc) throw damaged("has another CRC-32 than the directory says; download or save it again");
  return place;
}

const CRC_CHUNK = 1 << 20;

/** At 256 k + byte: the CRC register's bits after that byte and k zero bytes. */
let crcTable: Int32Array | undefined;

function makeCrcTable(): Int32Array {
  const table = new Int32Array(8 * 256);
  for (let i = 0; i < table.length; i++) {
    let bits = i < 256 ? i : table[i - 256];
    // The first row takes in a byte, bit by bit; the others look up what one more byte of zeros does to the row above.
    if (i < 256) for (let bit = 0; bit < 8; bit++) bits = bits & 1 ? (bits >>> 1) ^ 0xedb88320 : bits >>> 1;
    else bits = table[bits & 255] ^ (bits >>> 8);
    table[i] = bits;
  }
  return table;
}

/**
 * The CRC-32 of bytes (ISO 3309, as zip and PNG have it), going on from the CRC-32 of what came before them. It takes
 * eight bytes a step (Kounavis and Berry, 2005), four times as fast as one by one.
 */
export function crc32(bytes: Uint8Array, before = 0): number {
  crcTable ??= makeCrcTable();
  const table = crcTable;
  let crc = ~before;
  let i = 0;
  for (const last = bytes.length - 8; i <= last; i += 8) {
    crc =
      table[0x700 | ((crc ^ bytes[i]) & 255)] ^
      table[0x600 | (((crc >>> 8) ^ bytes[i + 1]) & 255)] ^
      table[0x500 | (((crc >>> 16) ^ bytes[i + 2]) & 255)] ^
      table[0x400 | ((crc >>> 24) ^ bytes[i + 3])] ^
      table[0x300 | bytes[i + 4]] ^
      table[0x200 | bytes[i + 5]] ^
      table[0x100 | bytes[i + 6]] ^
      table[bytes[i + 7]];
  }
  for (; i < bytes.length; i++) crc = table[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

async function inflate(bytes: Uint8Array, size: number): Promise<Uint8Array> {
  const whole = new Uint8Array(size);
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new DecompressionStream("deflate-raw"));
  const reader = stream.getReader();
  for (let length = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return whole.subarray(0, length);
    if (length + value.length > size) {
      await reader.cancel();
      throw new WeightsError(`it inflates to more than ${size} bytes`);
    }
    whole.set(value, length);
    length += value.length;
  }
}
