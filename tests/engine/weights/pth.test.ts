import { readFileSync } from "node:fs";
import * as zlib from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { WeightsError } from "../../../engine/ground/errors.ts";
import type { ByteSource, Checkpoint } from "../../../engine/weights/checkpoint.ts";
import { openPth } from "../../../engine/weights/pth.ts";
import { bytesSource } from "../../../engine/weights/sources.ts";
import { crc32, type InflateRaw } from "../../../engine/weights/zip.ts";
import { isDeep } from "../../harness.ts";

const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../../../tests/goldens/pth/${name}`, import.meta.url)));
const open = (file: Uint8Array, inflateRaw?: InflateRaw) => openPth(bytesSource(file, "x.pth"), inflateRaw);

async function refuses(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => assert.unreachable(`wanted ${message}`),
    (reason) => reason,
  );
  assert.instance(error, WeightsError, String(error?.stack));
  assert.match(error.message, message, error.message);
}

// ---- what PyTorch wrote ----

type Expected = Record<string, { dtype: string; shape: number[]; values: (number | string)[] }>;
const expected: { files: Record<string, string>; sets: Record<string, Expected> } = JSON.parse(
  new TextDecoder().decode(fixture("expected.json")),
);
const toNumber = (value: number | string) =>
  typeof value === "number" ? Math.fround(value) : Number(value.replace("inf", "Infinity"));

for (const [file, set] of Object.entries(expected.files)) {
  test(`${file} is read as PyTorch reads it, whole and in parts`, async () => {
    const tensors = new Map(Object.entries(expected.sets[set]));
    const checkpoint = await open(fixture(file));
    assert.equal([...checkpoint.tensors.keys()].sort(), [...tensors.keys()].sort());
    for (const [name, { dtype, shape, values }] of tensors) {
      assert.is(checkpoint.tensors.get(name)?.dtype, dtype);
      assert.equal(checkpoint.tensors.get(name)?.shape, shape);
      for (const [start, end] of [[0], [1], [0, -1], [2, 7], [5, 6]]) {
        if (start > values.length || (end ?? 0) > values.length) continue;
        const wanted = values.slice(start, end).map(toNumber);
        const got = await checkpoint.read(name, start, wanted.length);
        assert.ok(
          got.length === wanted.length && wanted.every((value, i) => Object.is(value, got[i])),
          `${name}: ${got} for ${wanted}`,
        );
      }
    }
  });
}

test("a pickled module is refused by its name", async () => {
  await refuses(
    open(fixture("module.pth")),
    /refers to "torch\.nn\.modules\.container\.Sequential".* torch\.save\(model\.state_dict/,
  );
});

// ---- pickles by hand ----

const utf8 = new TextEncoder();
const int32 = (value: number) => [...new Uint8Array(Int32Array.of(value).buffer)];
const int64 = (value: number) => [...new Uint8Array(BigInt64Array.of(BigInt(value)).buffer)];

type Code = number[];
const text = (value: string): Code => [0x58, ...int32(utf8.encode(value).length), ...utf8.encode(value)];
const int = (value: number): Code => ((value | 0) === value ? [0x4a, ...int32(value)] : [0x8a, 8, ...int64(value)]);
const global = (module: string, name: string): Code => [0x63, ...utf8.encode(`${module}\n${name}\n`)];
const tuple = (...items: Code[]): Code => [0x28, ...items.flat(), 0x74];
const list = (...items: Code[]): Code => [0x5d, 0x28, ...items.flat(), 0x65];
const dict = (...pairs: [Code, Code][]): Code => [0x7d, 0x28, ...pairs.flat(2), 0x75];
const call = (callee: Code, ...args: Code[]): Code => [...callee, ...tuple(...args), 0x52];
const pickle = (value: Code): Code => [0x80, 2, ...value, 0x2e];
const none: Code = [0x4e];

const orderedDict = global("collections", "OrderedDict");
const storage = (key: string, count: number, type = "FloatStorage", ...more: Code[]): Code => [
  ...tuple(text("storage"), global("torch", type), text(key), text("cpu"), int(count), ...more),
  0x51,
];
const flag = (value: boolean): Code => [value ? 0x88 : 0x89];
const tensorWith = (name: string, of: Code, offset: number, shape: number[], strides: number[], more: Code[]): Code =>
  call(global("torch._utils", name), of, int(offset), tuple(...shape.map(int)), tuple(...strides.map(int)), ...more);
/** As torch writes it; `more` are what a newer one says besides. */
const tensor = (of: Code, offset: number, shape: number[], strides: number[], ...more: Code[]): Code =>
  tensorWith("_rebuild_tensor_v2", of, offset, shape, strides, [flag(false), call(orderedDict), ...more]);
const oneTensor = dict([text("w"), tensor(storage("0", 6), 0, [2, 3], [3, 1])]);
const sixFloats = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);

// ---- archives by hand ----

interface ZipEntry {
  name: string;
  data: ArrayLike<number>;
  /** What to write instead of the truth. */
  method?: number;
  flags?: number;
  crc?: number;
  size?: number;
  packedSize?: number;
  start?: number;
  /** Added to the true start. */
  shift?: number;
  /** Writes sizes and start in a zip64 field, cut to so many bytes. */
  zip64?: number;
}

const join = (...parts: ArrayLike<number>[]): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
};
const u16 = (...values: number[]) => new Uint8Array(Uint16Array.from(values).buffer);
const u32 = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);
const u64 = (...values: number[]) => Uint8Array.from(values.flatMap(int64));

interface ZipTail {
  comment?: string;
  zip64?: boolean;
  count?: number;
  size?: number;
  start?: number;
}

function zip(entries: ZipEntry[], tail: ZipTail = {}): Uint8Array {
  let files = new Uint8Array(0);
  let directory = new Uint8Array(0);
  for (const entry of entries) {
    const data = Uint8Array.from(entry.data);
    const packed = entry.method === 8 ? zlib.deflateRawSync(data) : data;
    const name = utf8.encode(entry.name);
    const { size = data.length, packedSize = packed.length, shift = 0, start = files.length + shift } = entry;
    const wide = u64(size, packedSize, start).subarray(0, entry.zip64);
    const extra = entry.zip64 === undefined ? [] : join([9, 9, 1, 0, 7], u16(1, wide.length), wide);
    const known = join(u16(entry.flags ?? 0, entry.method ?? 0, 0, 0), u32(entry.crc ?? crc32(data)));
    const sizes = u32(packedSize, size);
    const local = join(u32(0x04034b50), u16(20), known, sizes, u16(name.length, 3), name, [0, 0, 0]);
    files = join(files, local, packed);
    const central = join(
      u32(0x02014b50),
      u16(20, 20),
      known,
      extra.length ? u32(-1, -1) : sizes,
      u16(name.length, extra.length),
    );
    directory = join(directory, central, u16(0, 0, 0, 0, 0), u32(extra.length ? -1 : start), name, extra);
  }
  const { count = entries.length, size = directory.length, start = files.length, comment = "" } = tail;
  const record = join(u32(0x06064b50), u64(44), u16(45, 45), u32(0, 0), u64(count, count, size, start));
  const locator = join(u32(0x07064b50, 0), u64(files.length + directory.length), u32(1));
  const end = tail.zip64 ? join(u16(-1, -1), u32(-1, -1)) : join(u16(count, count), u32(size, start));
  return join(
    ...[files, directory, ...(tail.zip64 ? [record, locator] : [])],
    ...[u32(0x06054b50), u16(0, 0), end, u16(comment.length), utf8.encode(comment)],
  );
}

const entriesOf = (root: Code, floats: ArrayLike<number> = sixFloats): ZipEntry[] => [
  { name: "x/data.pkl", data: pickle(root) },
  { name: "x/byteorder", data: utf8.encode("little") },
  { name: "x/data/0", data: floats },
];
const archive = (root: Code, floats?: ArrayLike<number>) => zip(entriesOf(root, floats));
/** Entry number `index` written differently. */
const altered = (index: number, changes: Partial<ZipEntry>) =>
  zip(entriesOf(oneTensor).map((entry, i) => (i === index ? { ...entry, ...changes } : entry)));

// ---- streams by hand ----

const magic: Code = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const system = (isLittle: boolean) => dict([text("little_endian"), [isLittle ? 0x88 : 0x89]]);
interface Stream {
  start?: Code;
  protocol?: Code;
  system?: Code;
  root?: Code;
  keys?: Code;
  data?: ArrayLike<number>;
}
const stream = (parts: Stream = {}): Uint8Array => {
  const { start = magic, protocol = int(1001), root = oneTensor, keys = list(text("0")) } = parts;
  const pickles = [start, protocol, parts.system ?? system(true), root, keys].flatMap(pickle);
  return join(pickles, parts.data ?? join(u64(6), sixFloats));
};

const first = async (checkpoint: Checkpoint) => [...(await checkpoint.read([...checkpoint.tensors.keys()][0]))];
const six = [1, 2, 3, 4, 5, 6];

test("archives and streams by hand are read", async () => {
  assert.equal(await first(await open(archive(oneTensor))), six);
  assert.equal(await first(await open(stream())), six);
  assert.equal(await first(await open(altered(2, { method: 8 }))), six);
  assert.equal(await first(await open(altered(0, { method: 8 }))), six);
  assert.equal(await first(await open(altered(2, { zip64: 24 }))), six);
  assert.equal(await first(await open(zip(entriesOf(oneTensor), { zip64: true }))), six);
  assert.equal(
    await first(await open(zip(entriesOf(oneTensor), { comment: "PK\x05\x06 and more, as a comment may say" }))),
    six,
  );
  const noOrder = entriesOf(oneTensor).filter(({ name }) => name !== "x/byteorder");
  assert.equal(await first(await open(zip(noOrder.reverse()))), six);
});

test("what Python 2 and torch before 0.4 wrote is read", async () => {
  const short = (value: string): Code => [0x55, value.length, ...utf8.encode(value)];
  const pair = list(short("w"), tensorWith("_rebuild_tensor", storage("0", 6, "FloatStorage", none), 0, [6], [1], []));
  const checkpoint = await open(stream({ root: call(orderedDict, list(pair)), keys: list(short("0")) }));
  assert.equal([...checkpoint.tensors.keys()], ["w"]);
  assert.equal(await first(checkpoint), six);
});

test("parameters, attributes and values that are no tensors are no trouble", async () => {
  const parameter = call(
    global("torch._utils", "_rebuild_parameter"),
    tensor(storage("0", 6), 1, [2], [2]),
    [0x88],
    call(orderedDict),
  );
  const more: [Code, Code][] = [
    [text("int"), int(2 ** 40)],
    [text("long"), [0x8a, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
    [text("float"), [0x47, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]],
    [text("bytes"), [0x43, 2, 1, 2]],
    [text("list"), list(none, int(-1))],
    [int(7), none],
  ];
  const root: Code = [...dict([text("w"), parameter], ...more), ...dict([text("_metadata"), dict()]), 0x62];
  const checkpoint = await open(archive(root));
  assert.equal([...checkpoint.tensors], [["w", checkpoint.tensors.get("w")]]);
  assert.equal(await first(checkpoint), [2, 4]);
});

test("what torch has put off is done: other signs, not complex conjugates", async () => {
  const of = storage("0", 6);
  const negative = dict([text("neg"), flag(true)], [text("conj"), flag(false)]);
  const checkpoint = await open(
    archive(
      dict(
        [text("dense"), tensor(of, 0, [2, 3], [3, 1], negative)],
        [text("strided"), tensor(of, 1, [3], [2], negative)],
        [text("plain"), tensor(of, 0, [6], [1], dict([text("neg"), flag(false)]))],
        [text("none"), tensor(of, 0, [6], [1], none)],
        [text("conjugate"), tensor(of, 0, [6], [1], dict([text("conj"), flag(true)]))],
      ),
    ),
  );
  assert.equal([...(await checkpoint.read("dense"))], [-1, -2, -3, -4, -5, -6]);
  assert.equal([...(await checkpoint.read("dense", 4, 2))], [-5, -6]);
  assert.equal([...(await checkpoint.read("strided"))], [-2, -4, -6]);
  assert.equal([...(await checkpoint.read("plain"))], six);
  assert.equal([...(await checkpoint.read("none"))], six);
  await refuses(checkpoint.read("conjugate"), /"conjugate" of x.pth cannot be read: it is a complex conjugate/);
  const bytes = (await checkpoint.readBytes?.("strided", 1)) ?? new Uint8Array();
  assert.equal([...new Float32Array(bytes.slice().buffer)], [-4, -6]);

  const longs = dict([text("w"), tensor(storage("0", 3, "LongStorage"), 0, [3], [1], negative)]);
  await refuses((await open(archive(longs))).read("w"), /"w" of x.pth cannot be read: it is the negative of I64/);
  const marked = (...more: Code[]) => open(archive(tensor(of, 0, [6], [1], ...more)));
  await refuses(marked(dict([text("zero"), flag(true)])), /a tensor with other marks than neg and conj/);
  await refuses(marked(dict([text("neg"), int(1)])), /other marks/);
  await refuses(marked(flag(true)), /other marks/);
  await refuses(marked(dict(), none), /_rebuild_tensor_v2 with 8 arguments, wanted 6 to 7/);
  const tail = (...more: Code[]) => open(archive(tensorWith("_rebuild_tensor_v2", of, 0, [6], [1], more)));
  await refuses(tail(int(1), call(orderedDict)), /requires_grad or hooks are not what torch writes/);
  await refuses(tail(flag(true), text("hook")), /requires_grad or hooks are not/);
});

test("what torch.load allows beside the weights is read and never called", async () => {
  const w = tensor(storage("0", 6), 0, [6], [1]);
  const utils = (name: string, ...args: Code[]) => call(global("torch._utils", name), ...args);
  const state = dict([text("note"), int(1)]);
  const parts = (of: Code, more: Code[]) => [
    ...[of, int(0), tuple(int(6)), tuple(int(1)), flag(false), call(orderedDict)],
    ...more,
  ];
  const weights: [Code, Code][] = [
    [text("v2"), w],
    [text("v3"), utils("_rebuild_tensor_v3", ...parts(storage("0", 6), [global("torch", "float32")]))],
    [text("state"), utils("_rebuild_parameter_with_state", w, flag(true), call(orderedDict), state)],
    [text("parameter"), call(global("torch.nn.parameter", "Parameter"), w, flag(true))],
    [
      text("attributes"),
      call(
        global("torch._tensor", "_rebuild_from_type_v2"),
        ...[global("torch._utils", "_rebuild_tensor_v2"), global("torch", "Tensor")],
        ...[tuple(...parts(storage("0", 6), [])), state],
      ),
    ],
    [
      text("xla"),
      utils("_rebuild_device_tensor_from_cpu_tensor", w, global("torch", "float32"), text("xla:0"), flag(false)),
    ],
  ];
  const noted: Code = [
    ...call(orderedDict),
    ...dict([text("tags"), call(global("builtins", "set"), list(int(1)))]),
    0x62,
  ];
  const others: [Code, Code][] = [
    [text("ordered"), noted],
    [text("counter"), call(global("collections", "Counter"), dict([text("a"), int(2)]))],
    [text("size"), call(global("torch", "Size"), tuple(int(1), int(2)))],
    [text("device"), call(global("torch", "device"), text("cuda"), int(0))],
    [text("dtype"), list(global("torch", "float32"), global("torch", "float8_e4m3fn"), global("torch", "uint4"))],
    [text("layout"), call(global("torch.serialization", "_get_layout"), text("torch.strided"))],
    [text("scheme"), global("torch", "per_tensor_affine")],
    [text("class"), global("torch.cuda", "HalfTensor")],
    [text("set"), call(global("__builtin__", "set"), list(int(1), text("b")))],
    [text("set 4"), [0x8f, 0x28, ...int(1), 0x90]],
    [text("frozen"), [0x28, ...int(1), 0x91]],
    [text("bytes"), call(global("_codecs", "encode"), text("ab"), text("latin1"))],
    [text("no bytes"), call(global("__builtin__", "bytes"))],
    [text("bytearray"), call(global("builtins", "bytearray"), [0x43, 1, 0])],
    [text("bytearray 5"), [0x96, ...int64(2), 1, 2]],
    [text("complex"), call(global("builtins", "complex"), int(0), int(1))],
    [text("nested"), utils("_rebuild_nested_tensor", w, w, w, w)],
  ];
  const root = dict(...others, [text("net"), dict(...weights)]);
  for (const file of [archive(root), stream({ root })]) {
    const checkpoint = await open(file);
    assert.equal([...checkpoint.tensors.keys()], ["v2", "v3", "state", "parameter", "attributes", "xla"]);
    for (const name of checkpoint.tensors.keys()) assert.equal([...(await checkpoint.read(name))], six, name);
  }

  const rebuilt = (name: Code, type: Code, args: Code) =>
    open(archive(call(global("torch._tensor", "_rebuild_from_type_v2"), name, type, args, none)));
  const type = global("torch", "Tensor");
  await refuses(rebuilt(orderedDict, type, tuple()), /rebuilt in a way that torch does not/);
  await refuses(rebuilt(global("torch._tensor", "_rebuild_from_type_v2"), type, tuple()), /rebuilt in a way/);
  await refuses(rebuilt(text("x"), type, tuple()), /rebuilt in a way/);
  await refuses(rebuilt(global("torch._utils", "_rebuild_tensor"), type, tuple()), /0 arguments, wanted 4/);
  const device = (dtype: Code) =>
    open(archive(utils("_rebuild_device_tensor_from_cpu_tensor", w, dtype, text("xla"), flag(true))));
  await refuses(device(global("torch", "float16")), /a tensor of another device that is not what torch writes/);
});

test("tensors without float32 values are listed, and refused when they are read", async () => {
  const utils = (name: string, ...args: Code[]) => call(global("torch._utils", name), ...args);
  const untyped = storage("0", 24, "UntypedStorage");
  const v3 = (dtype: string, size: number, offset = 0) =>
    tensorWith(
      "_rebuild_tensor_v3",
      untyped,
      offset,
      [size],
      [1],
      [flag(false), call(orderedDict), global("torch", dtype)],
    );
  const root = dict(
    [text("w"), v3("float32", 6)],
    [text("u16"), v3("uint16", 12)],
    [text("f8"), v3("float8_e4m3fn", 24)],
    [text("c128"), v3("complex128", 1)],
    [
      text("q"),
      utils(
        "_rebuild_qtensor",
        ...[storage("1", 6, "QInt8Storage"), int(0), tuple(int(2), int(3)), tuple(int(3), int(1))],
        ...[tuple(global("torch", "per_tensor_affine"), int(1), int(0)), flag(false), call(orderedDict)],
      ),
    ],
    [
      text("meta"),
      utils("_rebuild_meta_tensor_no_storage", global("torch", "float32"), tuple(int(7)), tuple(int(1)), flag(false)),
    ],
    [
      text("sparse"),
      utils("_rebuild_sparse_tensor", none, tuple(v3("int64", 2), v3("float32", 2), tuple(int(4), int(4)), flag(true))),
    ],
  );
  const entries = [...entriesOf(root), { name: "x/data/1", data: [1, 2, 3, 4, 5, 6] }];
  const checkpoint = await open(zip(entries));
  assert.equal(await first(checkpoint), six);
  const listed = [...checkpoint.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape]);
  assert.equal(listed.slice(1), [
    ["u16", "U16", [12]],
    ["f8", "F8_E4M3", [24]],
    ["c128", "complex128", [1]],
    ["q", "qint8", [2, 3]],
    ["meta", "F32", [7]],
    ["sparse", "F32", [4, 4]],
  ]);
  await refuses(
    checkpoint.read("u16"),
    /"u16" of x.pth cannot be read: it is stored as U16; save it as one of F64, F32,/,
  );
  await refuses(checkpoint.read("c128"), /it is stored as complex128/);
  await refuses(checkpoint.read("q"), /"q" of x.pth cannot be read: it is quantized; save it as plain float32/);
  await refuses(checkpoint.read("meta"), /it was saved without its values/);
  await refuses(checkpoint.read("sparse"), /it is sparse/);
  assert.equal([...((await checkpoint.readBytes?.("u16", 2, 2)) ?? [])], [...sixFloats.subarray(4, 8)]);

  await refuses(open(archive(dict([text("w"), v3("float32", 7)]))), /runs beyond its storage of 6 elements/);
  await refuses(open(archive(dict([text("w"), v3("float16", 1, 12)]))), /runs beyond its storage of 12 elements/);
  await refuses(open(archive(v3("per_tensor_affine", 1))), /a dtype that torch does not have/);
  await refuses(open(archive(utils("_rebuild_sparse_tensor", none, tuple()))), /not what torch writes/);
  await refuses(open(archive(utils("_rebuild_sparse_tensor", none, none))), /not what torch writes/);
});

test("all mappings are at hand, and the usual one is the checkpoint's own", async () => {
  const w = (offset: number) => tensor(storage("0", 6), offset, [1], [1]);
  const net = (offset: number) => dict([text("w"), w(offset)]);
  const state: Code = [...dict([int(0), dict([text("step"), w(5)])]), 0x71, 7];
  const root = dict(
    [text("loose"), w(0)],
    [text("ema"), dict([text("shadow"), net(1)])],
    [text("optimizer"), dict([text("state"), state], [text("again"), [0x68, 7]])],
    [text("model"), net(2)],
    [text("k".repeat(101)), net(3)],
    [tuple(int(1)), net(4)],
  );
  const checkpoint = await open(archive(root));
  assert.equal([...(checkpoint.parts?.keys() ?? [])], ["", "model", "ema.shadow", "optimizer.state.0"]);
  assert.equal(await first(checkpoint), [3]);
  assert.equal([...((await checkpoint.parts?.get("ema.shadow")?.read("w")) ?? [])], [2]);
  assert.equal([...((await checkpoint.parts?.get("")?.read("loose")) ?? [])], [1]);
  const outer = dict([text("w"), w(0)], [text("more"), net(1)]);
  assert.equal(await first(await open(archive(outer))), [1]);
  const alike = await open(archive(dict([text("a.b"), net(1)], [text("a"), dict([text("b"), net(2)])])));
  assert.equal([...(alike.parts?.keys() ?? [])], ["a.b", "a.b'"]);
});

test("long lists beside the weights are read, within a bound", async () => {
  const float = [0x47, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0];
  const long = Uint8Array.from({ length: 600_000 * 9 }, (_, i) => float[i % 9]);
  const bytes = join(
    [0x80, 2, 0x7d],
    text("losses"),
    [0x5d, 0x28],
    long,
    [0x65, 0x73],
    text("w"),
    tensor(storage("0", 6), 0, [6], [1]),
    [0x73, 0x2e],
  );
  const entries = entriesOf(oneTensor).map((entry, i) => (i === 0 ? { ...entry, data: bytes } : entry));
  assert.equal(await first(await open(zip(entries))), six);
});

test("strided tensors are picked out of storages of many blocks", async () => {
  const [rows, columns] = [1500, 1700];
  const floats = Float32Array.from({ length: rows * columns }, (_, i) => i);
  const root = dict(
    [text("t"), tensor(storage("0", floats.length), 0, [columns, rows], [1, columns])],
    [text("b"), tensor(storage("0", floats.length), 5, [2, 1, 3, 700], [800, 0, 1700 * 600, 1])],
    [text("s"), tensor(storage("0", floats.length), 9, [300, 2, 1], [0, 2_000_000, 4])],
  );
  const checkpoint = await open(archive(root, new Uint8Array(floats.buffer)));
  const at = (name: string, i: number) => {
    if (name === "t") return (i % rows) * columns + Math.floor(i / rows);
    if (name === "s") return 9 + (i % 2) * 2_000_000;
    return 5 + Math.floor(i / 2100) * 800 + (Math.floor(i / 700) % 3) * 1700 * 600 + (i % 700);
  };
  for (const [name, size] of [
    ["t", rows * columns],
    ["b", 4200],
    ["s", 600],
  ] as const) {
    for (const [start, count] of [
      [0, size],
      [size - 250, 250],
      [101, 400],
    ]) {
      const got = await checkpoint.read(name, start, count);
      assert.is(got.length, count);
      assert.ok(
        got.every((value, i) => value === at(name, start + i)),
        name,
      );
    }
  }
});

test("a range is read without the rest of the tensor, and a CRC-32 once", async () => {
  const floats = new Uint8Array(new Float32Array(2_000_000).fill(1).buffer);
  const root = dict([text("w"), tensor(storage("0", 2_000_000), 0, [2_000_000], [1])]);
  for (const [file, isChecked] of [
    [archive(root, floats), true],
    [stream({ root, data: join(u64(2_000_000), floats) }), false],
  ] as const) {
    const inner = bytesSource(file);
    const reads: number[] = [];
    let isClosed = false;
    const source: ByteSource = {
      ...inner,
      read(offset, length) {
        reads.push(length);
        return inner.read(offset, length);
      },
      async close() {
        isClosed = true;
      },
    };
    const sum = () => reads.splice(0).reduce((a, b) => a + b, 0);
    const checkpoint = await openPth(source);
    assert.ok(sum() < 140_000, "opening reads no tensor");
    await checkpoint.read("w", 1000, 10);
    if (isChecked) {
      assert.ok(Math.max(...reads) <= 1 << 20, "the check goes in pieces");
      assert.ok(sum() > floats.length);
    }
    sum();
    await checkpoint.read("w", 1000, 10);
    assert.is(sum(), 40);
    await checkpoint.read("w");
    assert.ok(Math.max(...reads) <= 1 << 22, "large tensors come in pieces");
    await checkpoint.close();
    assert.ok(isClosed);
  }
});

test("a deflated storage is inflated once for all its parts", async () => {
  let calls = 0;
  const inflateRaw: InflateRaw = async (bytes, size) => {
    calls++;
    const { inflateRawSync } = await import("node:zlib");
    return inflateRawSync(bytes, { maxOutputLength: size });
  };
  const checkpoint = await open(altered(2, { method: 8 }), inflateRaw);
  assert.equal([...(await checkpoint.read("w", 0, 2)), ...(await checkpoint.read("w", 2))], six);
  assert.is(calls, 1);
});

test("crc32 is that of zip, in one piece or several", () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i * i);
  assert.is(crc32(utf8.encode("123456789")), 0xcbf43926);
  assert.is(crc32(bytes.subarray(300), crc32(bytes.subarray(0, 300))), crc32(bytes));
  // Node 20.15 brought one.
  if (zlib.crc32) assert.is(crc32(bytes), zlib.crc32(bytes));
});

test("whatever a pickle names but tensors is refused by its name", async () => {
  for (const [module, name] of [
    ["os", "system"],
    ["builtins", "eval"],
    ["torch.nn.modules.linear", "Linear"],
    ["torch", "ComplexStorage"],
    ["torch", "load"],
    ["torch", "float31"],
    ["torch._utils", "_rebuild_wrapper_subclass"],
    ["collections", "defaultdict"],
    ["builtins", "getattr"],
    ["__builtin__", "eval"],
    ["", "__proto__"],
    ["\u{1f642}".repeat(1000), "x"],
  ]) {
    const written = `${module.replace("__builtin__", "builtins")}.${name}`;
    const refers = new RegExp(`refers to "${written.slice(0, 40).replaceAll(".", "\\.")}`);
    for (const reference of [global(module, name), [...text(module), ...text(name), 0x93]]) {
      await refuses(open(archive(reference)), refers);
      await refuses(open(stream({ root: call(reference, text("rm -rf /")) })), refers);
    }
  }
  await refuses(open(archive([...list(), ...text("x"), 0x93])), /refers to what has no name/);
  await refuses(open(archive(call(global("torch", "FloatStorage")))), /calls what is no function/);
  await refuses(open(archive(call(text("os.system")))), /calls what is no function/);
  await refuses(open(archive([...orderedDict, ...int(1), 0x52])), /calls what is no function/);
});

test("an unsound pickle is refused", async () => {
  const cases: [Code, RegExp][] = [
    [[0x69], /opcode 0x69/],
    [[0x81], /opcode 0x81/],
    [[0x80, 6], /protocol 6/],
    [[0x30], /takes more than it has/],
    [[...none, 0x28, 0x30], /takes more than it has/],
    [[0x28], /takes more than it has/],
    [[0x71, 0], /takes more than it has/],
    [[0x86], /takes more than it has/],
    [[0x74], /too few marks/],
    [[0x31], /too few marks/],
    [[0x68, 0], /recalls what it never kept/],
    [[0x6a, 255, 255, 255, 255], /recalls/],
    [[...none, 0x28, 0x65], /appends to something else than a list/],
    [[...dict(), ...none, 0x61], /appends to something else/],
    [[...list(), ...none, ...none, 0x73], /sets items of something else than a dict/],
    [[...dict(), 0x28, ...none, 0x75], /sets items of something else/],
    [[...list(), ...dict(), 0x62], /sets attributes of something else/],
    [[0x55, 1, 0xff], /not UTF-8/],
    [[0x8a, 17, ...new Array(17).fill(1)], /integer of 17 bytes/],
    [[...int(5), 0x51], /persistent id that is not that of a storage/],
    [[...tuple(text("module"), text("x")), 0x51], /persistent id/],
    [storage("0", -1), /persistent id/],
    [storage("0", 6, "FloatStorage", tuple(text("0"), int(0), int(1))), /persistent id/],
    [[...tuple(text("storage"), orderedDict, text("0"), text("cpu"), int(6)), 0x51], /persistent id/],
    [list(storage("0", 6), storage("0", 5)), /storage "0" is described in two ways/],
    [list(storage("0", 6), storage("0", 6, "IntStorage")), /described in two ways/],
    [call(orderedDict, int(1)), /OrderedDict of something else than pairs/],
    [call(orderedDict, list(int(1))), /OrderedDict of something else/],
    [call(global("torch._utils", "_rebuild_parameter")), /_rebuild_parameter with 0 arguments, wanted 3/],
    [call(global("torch._utils", "_rebuild_parameter"), dict(), flag(true), none), /parameter that is no tensor/],
    ...(isDeep ? [[new Array(1 << 22).fill(0x4e), /more than 4194304 opcodes/] as [Code, RegExp]] : []),
    [new Array(1 << 19).fill(0x5d), /or of an eighth of that where they make objects/],
    [call(global("torch", "Size"), tuple(int(-1))), /calls a function with what it does not take/],
    [call(global("torch", "Size")), /torch.Size with 0 arguments, wanted 1/],
    [call(global("builtins", "set"), dict()), /calls a function with what it does not take/],
    [call(global("collections", "Counter"), list()), /calls a function with what it does not take/],
    [call(global("collections", "Counter"), dict(), dict()), /Counter with 2 arguments, wanted 0 to 1/],
  ];
  for (const [code, message] of cases) {
    await refuses(open(archive(code)), message);
    await refuses(open(stream({ root: code })), message);
  }
  for (const cut of [
    [0x58, 9, 0, 0, 0],
    [0x8d, 255, 255, 255, 255, 255, 255, 255, 255],
    [0x8c],
    [0x63, 0x61, 0x0a, 0x61],
    [0x4a, 1, 1],
  ]) {
    const entries = entriesOf([]);
    await refuses(open(zip([{ name: "x/data.pkl", data: cut }, ...entries.slice(1)])), /data.pkl is cut short/);
    await refuses(open(Uint8Array.from([...pickle(magic), ...cut])), /do not end within/);
  }
});

test("a tensor that its storage cannot hold is refused", async () => {
  const given = (offset: number, shape: number[], strides: number[], count = 6) =>
    open(archive(dict([text("w"), tensor(storage("0", count), offset, shape, strides)])));
  await given(5, [1], [1]);
  await given(99, [0, 3], [3, 1]);
  await given(0, [1], [2 ** 40]);
  await refuses(
    given(6, [1], [1]),
    /tensor of shape \[1\], strides \[1\] and offset 6 runs beyond its storage of 6 elements/,
  );
  await refuses(given(6, [], []), /runs beyond/);
  await refuses(given(0, [2, 4], [3, 1]), /runs beyond/);
  await refuses(given(0, [2, 2], [2 ** 52, 2 ** 52]), /runs beyond/);
  await refuses(given(2 ** 53 - 1, [1], [1]), /runs beyond/);
  await refuses(given(0, [2 ** 30, 2 ** 30], [0, 0]), /too many elements/);
  await refuses(given(0, [2 ** 24 + 1], [0]), /repeats its storage of 6 elements; the limit is 16777216 elements/);
  await refuses(given(0, [2 ** 40], [0]), /repeats its storage/);
  for (const [offset, shape, strides] of [
    [-1, [1], [1]],
    [0, [-1], [1]],
    [0, [1], [-1]],
    [0, [2], []],
    [2 ** 60, [1], [1]],
  ] as const) {
    await refuses(given(offset, [...shape], [...strides]), /not what torch writes/);
  }
  await refuses(given(0, new Array(65).fill(1), new Array(65).fill(1)), /not what torch writes/);
  const rebuild = global("torch._utils", "_rebuild_tensor");
  await refuses(open(archive(call(rebuild))), /_rebuild_tensor with 0 arguments, wanted 4/);
  await refuses(open(archive(call(rebuild, none, int(0), tuple(), tuple()))), /not what torch writes/);
  const expanded = await given(3, [1000, 1000], [0, 0]);
  assert.ok((await expanded.read("w")).every((value) => value === 4));

  await refuses(given(0, [1], [1], 7), /storage "0" has 24 bytes in the archive, wanted 28/);
  await refuses(
    open(archive(dict([text("w"), tensor(storage("9", 6), 0, [1], [1])]))),
    /storage "9" has no bytes in the archive/,
  );
});

test("a file of anything but named tensors is refused", async () => {
  const w = tensor(storage("0", 6), 0, [6], [1]);
  await refuses(open(archive(w)), /it holds a tensor, wanted the mapping of names to tensors/);
  await refuses(open(archive(list(w))), /it holds a list, wanted/);
  await refuses(open(archive(none)), /it holds None/);
  await refuses(open(archive(dict())), /it holds no tensors/);
  await refuses(open(archive(dict([text("a"), int(1)]))), /it holds no tensors/);
  await refuses(open(archive(dict([int(1), w]))), /a tensor is filed under a number, wanted a name/);
  await refuses(open(archive(dict([text("model"), dict([text("model"), dict()])]))), /it holds no tensors/);
});

test("an unsound archive is refused", async () => {
  const whole = archive(oneTensor);
  await refuses(open(whole.subarray(0, -1)), /without an end record; it may be cut short/);
  await refuses(open(Uint8Array.of(0x50, 0x4b, 3, 4)), /without an end record/);
  await refuses(open(Uint8Array.from([...whole, 0])), /without an end record/);
  await refuses(open(Uint8Array.from([0x50, ...whole])), /a zip directory at byte/);
  for (const zip64 of [false, true]) {
    const tailed = (tail: object) => open(zip(entriesOf(oneTensor), { zip64, ...tail }));
    await refuses(tailed({ count: 2 }), /directory of 3 entries, wanted 2/);
    await refuses(tailed({ size: 0 }), /wanted it to end at/);
    await refuses(tailed({ size: 2 ** 31 - 1 }), /wanted it to end at/);
    await refuses(tailed({ start: 5 }), /wanted it to end at/);
  }
  const lost = zip(entriesOf(oneTensor), { zip64: true });
  lost[lost.length - 22 - 12]++;
  await refuses(open(lost), /points to no end record/);
  lost[lost.length - 22 - 6] = 9;
  await refuses(open(lost), /zip64 end record beyond the file/);
  const damaged = Uint8Array.from(whole);
  damaged[damaged.lastIndexOf(0x4b, damaged.length - 22)]++;
  await refuses(open(damaged), /a damaged zip directory/);
  const large = { ...bytesSource(new Uint8Array(0)), size: 2 ** 31 };
  const end = zip([], { start: 2 ** 31 - 22 - 2 ** 25, size: 2 ** 25 });
  const read = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    bytes[0] = offset === 0 ? 0x50 : 0;
    if (length > 22) bytes.set(end, length - 22);
    return bytes;
  };
  await refuses(openPth({ ...large, read }), /zip directory of 33554432 bytes; the limit is 16777216/);

  await refuses(open(zip([])), /0 entries \*\/data.pkl, wanted 1/);
  await refuses(open(zip([{ name: "data.pkl", data: [] }])), /0 entries/);
  await refuses(open(zip([...entriesOf(oneTensor), { name: "y/data.pkl", data: [] }])), /2 entries/);
  await refuses(open(zip([...entriesOf(oneTensor), { name: "x/data/0", data: sixFloats }])), /two entries of one name/);
  await refuses(open(altered(1, { data: utf8.encode("big") })), /its byte order is "big"; only "little" is read/);
  await refuses(open(altered(1, { size: (1 << 24) + 1 })), /byteorder has 16777217 bytes; the limit is/);
  await refuses(open(altered(1, { flags: 1 })), /"x\/byteorder" is encrypted/);
  await refuses(open(altered(2, { method: 12 })), /has the compression method 12/);
  await refuses(open(altered(2, { zip64: 12 })), /lacks its zip64 sizes/);
  await refuses(open(altered(2, { size: 2 ** 31 - 1 })), /storage "0" has 2147483647 bytes in the archive, wanted 24/);

  const readFirst = async (file: Uint8Array) => first(await open(file));
  await refuses(open(altered(0, { crc: 1 })), /"x\/data.pkl" has another CRC-32/);
  await refuses(readFirst(altered(2, { crc: 1 })), /"x\/data\/0" has another CRC-32 .* download or save it again/);
  await refuses(readFirst(altered(2, { method: 8, crc: 1 })), /has another CRC-32/);
  await refuses(readFirst(altered(2, { shift: 1 })), /is not where the directory says/);
  await refuses(readFirst(altered(2, { start: 2 ** 31 - 1 })), /overlaps another/);
  await refuses(readFirst(altered(2, { start: 0 })), /overlaps another/);
  await refuses(readFirst(altered(2, { packedSize: 2 ** 31 - 1 })), /overlaps another/);
  await refuses(readFirst(altered(2, { packedSize: 23 })), /stored, but in another size/);
});

test("what inflates to more or less than it says is refused", async () => {
  const zeros = new Uint8Array(400_000);
  const claim = (count: number, data = zeros) =>
    zip([
      { name: "x/data.pkl", data: pickle(dict([text("w"), tensor(storage("0", count, "ByteStorage"), 0, [1], [1])])) },
      { name: "x/data/0", data, method: 8, size: count },
    ]);
  await first(await open(claim(400_000)));
  await refuses(open(claim(390_000)).then(first), /"x\/data\/0" does not inflate/);
  await refuses(open(claim(400_001)).then(first), /inflates to 400000 bytes, wanted 400001/);
  await refuses(open(claim(10_000_000)).then(first), /cannot inflate to 10000000 bytes/);
  const bad = altered(2, { method: 8 });
  const start = new TextDecoder("latin1").decode(bad).indexOf("x/data/0") + 11;
  bad.fill(0xff, start, start + 4);
  await refuses(open(bad).then(first), /"x\/data\/0" does not inflate/);
});

test("an unsound stream is refused", async () => {
  const data = [...int64(6), ...sixFloats];
  await refuses(open(stream({ start: int(5) })), /a pickle that torch.save did not write/);
  await refuses(open(stream({ protocol: int(1000) })), /not of the protocol version 1001/);
  await refuses(open(stream({ system: system(false) })), /not little-endian/);
  await refuses(open(stream({ system: none })), /not little-endian/);
  await refuses(open(stream({ keys: text("0") })), /has no list of storages/);
  await refuses(open(stream({ keys: list() })), /has 0 storages, and its tensors use 1/);
  await refuses(open(stream({ keys: list(text("1")) })), /has a storage "1" that no tensor uses, or twice/);
  await refuses(open(stream({ keys: list(none) })), /has a storage None/);
  await refuses(
    open(stream({ keys: list(text("0"), text("0")), data: [...data, ...data] })),
    /a storage "0" that no tensor uses, or twice/,
  );
  await refuses(open(stream({ data: [] })), /ends before its last storage/);
  await refuses(open(stream({ data: [...int64(7), ...sixFloats] })), /storage "0" has 7 elements, wanted 6/);
  await refuses(open(stream({ data: [...int64(-1), ...sixFloats] })), /storage "0" has 18446744073709552000 elements/);
  await refuses(open(stream({ data: data.slice(0, -1) })), /its storages end at byte \d+, and the file at/);
  await refuses(open(stream({ data: [...data, 0] })), /its storages end at byte/);
  await refuses(open(stream().subarray(0, 50)), /its pickles do not end within 50 bytes/);
  await refuses(open(new Uint8Array(0)), /do not end within 0 bytes/);
});

test("pickles longer than the first read of a stream are read", async () => {
  const notes = Array.from({ length: 30_000 }, (_, i): [Code, Code] => [text(`note${i}`), int(i)]);
  const root = dict(...notes, [text("w"), tensor(storage("0", 6), 0, [6], [1])]);
  assert.ok(root.length > 300_000);
  assert.equal(await first(await open(stream({ root }))), six);
});

test("short pickles that stand for huge objects are no trouble", async () => {
  // Each list holds the one before it twice; then the same as a type, a key, a name and a tensor's shape.
  const bomb: Code = [...list(), 0x71, 1];
  for (let i = 0; i < 200; i++) bomb.push(0x30, ...list([0x68, 1], [0x68, 1]), 0x71, 1);
  const again: Code = [0x68, 1];
  await refuses(open(archive(bomb)), /it holds a list/);
  await refuses(open(stream({ protocol: bomb })), /protocol version/);
  await refuses(open(stream({ keys: list(bomb) })), /has a storage a list/);
  await refuses(open(archive([...bomb, ...again, 0x93])), /refers to what has no name/);
  await refuses(open(archive(tensor([...bomb, ...again], 0, [], []))), /not what torch writes|calls/);
  const nested: Code = [...new Array(200_000).fill(0x5d), ...new Array(199_999).fill(0x61)];
  await refuses(open(archive(nested)), /it holds a list/);
  await refuses(open(stream({ protocol: nested })), /protocol version/);
});

test.run();
