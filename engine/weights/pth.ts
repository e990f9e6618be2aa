/** PyTorch checkpoints: pickle.ts reads what was pickled, zip.ts the archive, and here they make the two formats. */

import { WeightsError } from "../ground/errors.ts";
import { stridesOf } from "../ground/tensor.ts";
import type { ByteSource, Checkpoint } from "./checkpoint.ts";
import { makeCheckpoint, quote } from "./checkpoint.ts";
import {
  bytesOf,
  isKind,
  lastOf,
  MAX_PICKLE_BYTES,
  type Pickled,
  type SavedTensor,
  type Storage,
  unpickle,
} from "./pickle.ts";
import { readValues } from "./safetensors.ts";
import {
  type Broken,
  type Entry,
  getUint64,
  type InflateRaw,
  inflate,
  readDirectory,
  type Stored,
  unpack,
  viewOf,
} from "./zip.ts";

/** Opens what is no safetensors by its first bytes. @throws WeightsError for what is no PyTorch checkpoint either. */
export async function openOther(
  source: ByteSource,
  start: Uint8Array,
  openCheckpoint: (source: ByteSource) => Promise<Checkpoint>,
): Promise<Checkpoint> {
  // "PK" opens a zip archive, 0x80 and a protocol number a pickle.
  if ((start[0] === 0x50 && start[1] === 0x4b) || (start[0] === 0x80 && start[1] < 6)) return openPth(source);
  if (/^\s*\{/.test(new TextDecoder().decode(start)))
    return (await import("./sharded.ts")).openSharded(source, openCheckpoint);
  // The version of its format comes first.
  if (start[0] === 0x08) return (await import("./onnx.ts")).openOnnx(source);
  throw new WeightsError(
    `${source.name}: got ${describe(start)}, wanted a .safetensors, a PyTorch .pth/.pt or an .onnx file`,
  );
}

function describe(start: Uint8Array): string {
  const text = new TextDecoder().decode(start).trimStart();
  if (start.length === 0) return "an empty file";
  if (text.startsWith("version https://git-lfs")) return "a git-lfs pointer (git lfs pull fetches the file itself)";
  if (/^<(!|\?xml|html|head|body)/i.test(text))
    return "an HTML page (a download that answered with an error or a login?)";
  return `a file that starts with ${quote(text.slice(0, 16))}`;
}

/**
 * Opens what `torch.save(model.state_dict(), path)` wrote, as torch.load's `weights_only` would: the zip archive of
 * torch 1.6 and later, or the pickle stream before it (https://docs.pytorch.org/docs/stable/notes/serialization.html).
 * The mapping of names to tensors may also lie inside others. Where there are several, `parts` has them all, and the
 * tensors are those of the usual one: "state_dict", "model_state_dict", ..., else the outermost. Entries that are no
 * tensors (ints, strings, lists) are skipped. Tensors whose values are not to be had as float32 (complex, quantized,
 * sparse, float8, ...) are listed, and refused when they are read.
 *
 * Nothing in the file is ever called: a pickle may name what torch.load(weights_only=True) allows, and anything else is
 * refused by its name. What a tensor claims is held against the bytes that are there.
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
  const broken: Broken = (problem, options) =>
    new WeightsError(`${source.name} cannot be read as a PyTorch checkpoint: ${problem}`, options);
  const isZip = source.size >= 4 && (await source.read(0, 1))[0] === 0x50;
  const { root, locate } = await (isZip ? openArchive(source, inflateRaw, broken) : openStream(source, broken));
  const mappings = findMappings(root, broken);
  const checkpointOf = (tensors: ReadonlyMap<string, SavedTensor>, parts?: ReadonlyMap<string, Checkpoint>) =>
    makeCheckpoint(source.name, tensors, {
      parts,
      read: (...given) => readElements(source.name, locate, ...given),
      readBytes: (...given) => readStored(source.name, locate, ...given),
      close: async () => source.close?.(),
    });
  const parts = new Map([...mappings].map(([path, tensors]) => [path, checkpointOf(tensors)]));
  const usual = USUAL.find((path) => mappings.has(path)) ?? [...mappings.keys()][0];
  return checkpointOf(mappings.get(usual) as ReadonlyMap<string, SavedTensor>, parts);
}

/** Where training programs put a net's weights. */
const USUAL = ["state_dict", "model_state_dict", "model_state", "model", "net", "params", "weights"];

/** An opened file of either format: the pickled object, and where its storages lie, little-endian and dense. */
interface Saved {
  readonly root: Pickled;
  locate(storage: Storage): Promise<Stored>;
}

/** How deep a mapping of tensors may lie in others, and the longest key that leads there, in characters. */
const MAX_DEPTH = 8;
const MAX_KEY = 100;

/** The mappings of names to tensors in what was pickled, by the keys that lead there; "" for the outermost. */
function findMappings(root: Pickled, broken: Broken): Map<string, Map<string, SavedTensor>> {
  const wanted = "wanted the mapping of names to tensors that torch.save(model.state_dict(), path) writes";
  if (!(root instanceof Map)) throw broken(`it holds ${nameKind(root)}, ${wanted}`);
  const found = new Map<string, Map<string, SavedTensor>>();
  // One that lies in two places is found at the first.
  const seen = new Set<Pickled>([root]);
  const queue = [{ keys: [] as string[], mapping: root }];
  let misfiled: Pickled | undefined;
  for (const { keys, mapping } of queue) {
    const tensors = new Map<string, SavedTensor>();
    for (const [key, value] of mapping) {
      if (isKind(value, "tensor")) {
        if (typeof key === "string") tensors.set(key, value);
        else misfiled ??= key;
      } else if (value instanceof Map && !seen.has(value) && keys.length < MAX_DEPTH) {
        seen.add(value);
        const name = typeof key === "string" || typeof key === "number" ? String(key) : undefined;
        if (name !== undefined && name.length <= MAX_KEY) queue.push({ keys: [...keys, name], mapping: value });
      }
    }
    let path = keys.join(".");
    while (tensors.size > 0 && found.has(path)) path += "'";
    if (tensors.size > 0) found.set(path, tensors);
  }
  if (misfiled !== undefined && found.size === 0)
    throw broken(`a tensor is filed under ${nameKey(misfiled)}, wanted a name`);
  if (found.size === 0) throw broken(`it holds no tensors, ${wanted}`);
  return found;
}

const nameKey = (key: Pickled) => (typeof key === "string" ? quote(key) : nameKind(key));

function nameKind(value: Pickled): string {
  if (value === null) return "None";
  if (typeof value !== "object") return `a ${typeof value}`;
  if (Array.isArray(value)) return "a list";
  return value instanceof Map ? "a mapping" : value.kind === "other" ? value.name : `a ${value.kind}`;
}

type Locate = Saved["locate"];

/** Throws for a tensor whose values are not to be had; where they lie otherwise. */
async function placeOf(file: string, locate: Locate, { storage, unreadable }: SavedTensor, name: string) {
  if (unreadable)
    throw new WeightsError(`${quote(name)} of ${file} cannot be read: ${unreadable}; save it as plain float32`);
  return locate(storage);
}

async function readElements(
  file: string,
  locate: Locate,
  tensor: SavedTensor,
  start: number,
  count: number,
  name: string,
): Promise<Float32Array> {
  const place = await placeOf(file, locate, tensor, name);
  const read = (first: number, values: Float32Array) =>
    readValues(place.source, tensor.dtype, place.offset + first * bytesOf(tensor.dtype), values, quote(name));
  const values = new Float32Array(count);
  await (isDense(tensor) ? read(tensor.offset + start, values) : gather(tensor, start, values, read));
  if (tensor.negative) for (let i = 0; i < count; i++) values[i] = -values[i];
  return values;
}

/** The elements as they are stored, as convert copies them. */
async function readStored(
  file: string,
  locate: Locate,
  tensor: SavedTensor,
  start: number,
  count: number,
  name: string,
): Promise<Uint8Array> {
  const place = await placeOf(file, locate, tensor, name);
  const each = bytesOf(tensor.dtype);
  const Words = WORDS.get(each);
  if (!Words) throw new WeightsError(`${quote(name)} of ${file} cannot be copied: it is stored as ${tensor.dtype}`);
  const read = async (first: number, words: Words) => {
    const bytes = await place.source.read(place.offset + first * each, words.byteLength);
    new Uint8Array(words.buffer, words.byteOffset, words.byteLength).set(bytes);
  };
  const words = new Words(count);
  await (isDense(tensor) ? read(tensor.offset + start, words) : gather(tensor, start, words, read));
  const bytes = new Uint8Array(words.buffer);
  // The sign is the last byte's first bit.
  if (tensor.negative) for (let i = each - 1; i < bytes.length; i += each) bytes[i] ^= 0x80;
  return bytes;
}

/** Elements that are only moved, by their size in bytes. */
type Words = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;
const WORDS: ReadonlyMap<number, new (count: number) => Words> = new Map<number, new (count: number) => Words>([
  [1, Uint8Array],
  [2, Uint16Array],
  [4, Uint32Array],
  [8, BigUint64Array],
]);

function isDense({ shape, strides }: SavedTensor): boolean {
  const dense = stridesOf(shape);
  return shape.includes(0) || shape.every((size, i) => size <= 1 || strides[i] === dense[i]);
}

/**
 * Elements of a tensor with any strides. They may lie all over the storage, so it goes through the storage once, block
 * by block, and takes from each block what belongs to each row (the last dimension). `read` fills an array from an
 * element of the storage on.
 */
async function gather<T extends Float32Array | Words>(
  { shape, strides, offset }: SavedTensor,
  start: number,
  values: T,
  read: (first: number, block: T) => Promise<unknown>,
): Promise<void> {
  const count = values.length;
  if (count === 0) return;
  const end = lastOf(offset, shape, strides) + 1;
  const blockSize = Math.max(MIN_BLOCK, Math.ceil((end - offset) / MAX_BLOCKS));

  const dims = shape.map((size, i) => ({ size, stride: strides[i] })).filter(({ size }) => size > 1);
  const { size: width, stride } = dims[dims.length - 1];
  const outer = dims.slice(0, -1).reverse();

  const buffer = new (values.constructor as new (count: number) => T)(Math.min(blockSize, end - offset));
  for (let low = offset; low < end; low += blockSize) {
    const block = buffer.subarray(0, end - low) as T;
    await read(low, block);
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
}

/** Blocks of 4 MB as float32, larger only where there would be too many: every row is looked at once per block. */
const MIN_BLOCK = 1 << 20;
const MAX_BLOCKS = 32;

const sizeOfStorage = ({ dtype, count }: Storage): number => count * bytesOf(dtype);

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
  const places = new Map<string, Stored>();
  let at = pickles.end;
  for (const key of keys) {
    const storage = typeof key === "string" && storages.get(key);
    if (!storage || places.has(storage.key))
      throw broken(`it has a storage ${nameKey(key)} that no tensor uses, or twice`);
    if (at + 8 > source.size) throw broken("it ends before its last storage");
    const count = getUint64(viewOf(await source.read(at, 8)), 0);
    if (count !== storage.count) throw broken(`storage ${nameKey(key)} has ${count} elements, wanted ${storage.count}`);
    places.set(storage.key, { source, offset: at + 8 });
    at += 8 + sizeOfStorage(storage);
  }
  if (places.size < storages.size) throw broken(`it has ${places.size} storages, and its tensors use ${storages.size}`);
  if (at !== source.size) throw broken(`its storages end at byte ${at}, and the file at ${source.size}`);
  return { root, locate: async ({ key }) => places.get(key) as Stored };
}

/** The five pickles at the start of a stream, or undefined when the bytes end first. */
function readPickles(bytes: Uint8Array, broken: Broken) {
  const storages = new Map<string, Storage>();
  const values: Pickled[] = [];
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
  const byteOrder = await readSmall("byteorder");
  const order = byteOrder ? new TextDecoder().decode(byteOrder) : "little";
  if (order !== "little") throw broken(`its byte order is ${quote(order)}; only "little" is read`);

  const storages = new Map<string, Storage>();
  const pickle = unpickle((await readSmall("data.pkl")) as Uint8Array, 0, storages, broken);
  if (!pickle) throw broken("data.pkl is cut short");

  const entryOf = new Map<string, Entry>();
  for (const storage of storages.values()) {
    const entry = entries.get(`${folder}data/${storage.key}`);
    const wanted = sizeOfStorage(storage);
    if (entry?.size !== wanted) {
      throw broken(`storage ${quote(storage.key)} has ${entry?.size ?? "no"} bytes in the archive, wanted ${wanted}`);
    }
    entryOf.set(storage.key, entry);
  }

  const places = new Map<string, Stored>();
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
