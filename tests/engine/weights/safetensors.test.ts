import { test } from "uvu";
import * as assert from "uvu/assert";
import { WeightsError } from "../../../engine/ground/errors.ts";
import { fromHalf, toHalf } from "../../../engine/ground/half.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import type { ByteSource } from "../../../engine/weights/checkpoint.ts";
import { encodeSafetensors, openSafetensors } from "../../../engine/weights/safetensors.ts";
import { bytesSource } from "../../../engine/weights/sources.ts";

const utf8 = new TextEncoder();

/** A file with this header, as text or as an object, and this much data. */
function fileOf(header: string | object, data: ArrayLike<number> = []): Uint8Array {
  const text = utf8.encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

const open = (file: Uint8Array) => openSafetensors(bytesSource(file, "x.safetensors"));

async function refuses(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => assert.unreachable(`wanted ${message}`),
    (reason) => reason,
  );
  assert.instance(error, WeightsError, String(error?.stack));
  assert.match(error.message, message, error.message);
}

test("what is written is read back", async () => {
  const tensors = new Map<string, Tensor>([
    ["fc.weight", { shape: [2, 3], data: Float32Array.of(1, -0, 1e-45, Infinity, NaN, 3.4e38) }],
    ["__proto__", { shape: [1], data: Float32Array.of(7) }],
    ["", { shape: [], data: Float32Array.of(-2.5) }],
    ['"quoted": {} \\ ünïcode 🙂', { shape: [3, 0], data: new Float32Array(0) }],
    ["10", { shape: [1, 1, 2], data: Float32Array.of(5, 6) }],
  ]);
  const file = encodeSafetensors(tensors, { format: "pt", 'a": "b': "::" });
  assert.is(new DataView(file.buffer).getUint32(0, true) % 8, 0);
  const checkpoint = await open(file);
  assert.is(checkpoint.name, "x.safetensors");
  assert.equal([...checkpoint.tensors.keys()].sort(), [...tensors.keys()].sort());
  for (const [name, { shape, data }] of tensors) {
    assert.equal(checkpoint.tensors.get(name)?.shape, shape);
    assert.is(checkpoint.tensors.get(name)?.dtype, "F32");
    const got = await checkpoint.read(name);
    assert.ok(got.length === data.length && data.every((value, i) => Object.is(value, got[i])), name);
  }
  assert.equal((await open(encodeSafetensors(new Map()))).tensors.size, 0);
});

test("reads are of ranges, and of these bytes only", async () => {
  const data = Float32Array.from({ length: 3_000_000 }, (_, i) => i);
  const inner = bytesSource(encodeSafetensors(new Map([["w", { shape: [3, 1_000_000], data }]])));
  const reads: number[] = [];
  let isClosed = false;
  const source: ByteSource = {
    ...inner,
    read(offset, length) {
      reads.push(length);
      return inner.read(offset, length);
    },
    close: async () => {
      isClosed = true;
    },
  };
  const checkpoint = await openSafetensors(source);
  assert.ok(reads.reduce((a, b) => a + b) < 200, "opening reads the header only");
  reads.length = 0;
  assert.equal([...(await checkpoint.read("w", 1_999_999, 3))], [1_999_999, 2_000_000, 2_000_001]);
  assert.equal([...(await checkpoint.read("w", 2_999_998))], [2_999_998, 2_999_999]);
  assert.equal((await checkpoint.read("w", 3_000_000)).length, 0);
  assert.equal(reads, [12, 8]);
  reads.length = 0;
  assert.equal(await checkpoint.read("w"), data);
  assert.ok(Math.max(...reads) <= 1 << 22 && reads.length > 1, "large tensors come in pieces");
  await refuses(checkpoint.read("w", -1), /has 3000000 elements/);
  await refuses(checkpoint.read("w", 0.5), /has 3000000 elements/);
  await refuses(checkpoint.read("w", 1, 3_000_000), /got the range of 3000000 from element 1/);
  await refuses(checkpoint.read("w", 0, NaN), /has 3000000 elements/);
  await refuses(checkpoint.read("v"), /has no tensor "v"; it has "w"/);
  await checkpoint.close();
  assert.ok(isClosed);
});

test("every half is exact, and every float32 goes to the nearest one", () => {
  for (let half = 0; half < 0x10000; half++) {
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    const size =
      exponent === 0
        ? fraction * 2 ** -24
        : exponent < 31
          ? (1024 + fraction) * 2 ** (exponent - 25)
          : fraction
            ? NaN
            : Infinity;
    const value = half & 0x8000 ? -size : size;
    assert.ok(Object.is(fromHalf(half), value), `${half}`);
    assert.is(toHalf(value), Number.isNaN(value) ? 0x7e00 : half);
  }
  const float = new Float32Array(1);
  const bits = new Int32Array(float.buffer);
  const neighbour = (value: number, step: number) => {
    float[0] = value;
    bits[0] += step;
    return float[0];
  };
  for (let half = 0; half < 0x7c00; half++) {
    const above = half === 0x7bff ? 65536 : fromHalf(half + 1);
    const middle = (fromHalf(half) + above) / 2;
    assert.is(toHalf(middle), half + (half & 1), `tie at ${middle}`);
    assert.is(toHalf(neighbour(middle, -1)), half);
    assert.is(toHalf(neighbour(middle, 1)), half + 1);
    assert.is(toHalf(-middle), 0x8000 | (half + (half & 1)));
    assert.is(toHalf(-neighbour(middle, 1)), 0x8000 | (half + 1));
  }
  for (const tiny of [1e-45, 2 ** -26, 2 ** -25]) assert.is(toHalf(tiny), 0);
  assert.is(toHalf(3.4e38), 0x7c00);
});

test("f16 is written rounded, and too large a value is refused", async () => {
  const values = Float32Array.of(1 / 3, -6e-8, 65519, Infinity, -Infinity, NaN, -0);
  const checkpoint = await open(encodeSafetensors(new Map([["a.b", { shape: [7], data: values }]]), undefined, "f16"));
  assert.is(checkpoint.tensors.get("a.b")?.dtype, "F16");
  const got = await checkpoint.read("a.b");
  const wanted = [0.333251953125, -(2 ** -24), 65504, Infinity, -Infinity, NaN, -0];
  assert.ok(wanted.every((value, i) => Object.is(value, got[i])));
  for (const value of [65520, -1e30]) {
    const write = () => encodeSafetensors(new Map([["a.b", { shape: [1], data: Float32Array.of(value) }]]), {}, "f16");
    assert.throws(
      write,
      (error: Error) => error instanceof WeightsError && /"a.b" holds .* f16 ends at 65504/.test(error.message),
    );
  }
});

test("what cannot be written is refused", () => {
  const write = (name: string, shape: number[]) => () =>
    encodeSafetensors(new Map([[name, { shape, data: new Float32Array(2) }]]));
  assert.throws(write("__metadata__", [2]), /keeps the name __metadata__ for itself/);
  assert.throws(write("w", [3]), /"w" has shape \[3\] but 2 elements/);
  assert.throws(write("w", [-1, -2]), /has shape/);
});

test("every dtype is read as float32", async () => {
  const typed: [string, ArrayBufferView, number[]][] = [
    ["F64", Float64Array.of(Math.PI, 1e300, 16777217), [Math.fround(Math.PI), Infinity, 16777216]],
    ["F32", Float32Array.of(-0, 1e-45), [-0, Math.fround(1e-45)]],
    ["I64", BigInt64Array.of(-1n, 2n ** 40n, -(2n ** 63n)), [-1, 2 ** 40, -(2 ** 63)]],
    ["I32", Int32Array.of(-(2 ** 31), 7), [-(2 ** 31), 7]],
    ["I16", Int16Array.of(-32768, 32767), [-32768, 32767]],
    ["I8", Int8Array.of(-128, 127), [-128, 127]],
    ["U8", Uint8Array.of(0, 255), [0, 255]],
    ["BOOL", Uint8Array.of(0, 1), [0, 1]],
  ];
  for (const [dtype, array, wanted] of typed) {
    const bytes = new Uint8Array(array.buffer);
    const checkpoint = await open(
      fileOf({ x: { dtype, shape: [wanted.length], data_offsets: [0, bytes.length] } }, bytes),
    );
    assert.is(checkpoint.tensors.get("x")?.dtype, dtype);
    const got = await checkpoint.read("x");
    assert.ok(got.length === wanted.length && wanted.every((value, i) => Object.is(value, got[i])), `${dtype}: ${got}`);
    assert.ok(Object.is((await checkpoint.read("x", 1, 1))[0], wanted[1]));
  }
  const all = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
  const file = fileOf(
    { x: { dtype: "BF16", shape: [256, 256], data_offsets: [0, 0x20000] } },
    new Uint8Array(all.buffer),
  );
  const got = await (await open(file)).read("x");
  const wanted = new Float32Array(Uint32Array.from(all, (half) => half << 16).buffer);
  assert.ok(wanted.every((value, i) => Object.is(value, got[i])));
});

test("an unsound file is refused", async () => {
  const info = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
  const eight = new Uint8Array(8);
  const withInfo = (changes: object, data: ArrayLike<number> = eight) =>
    open(fileOf({ w: { ...info, ...changes } }, data));
  await withInfo({});

  await refuses(open(Uint8Array.of(1, 2, 3)), /has 3 bytes/);
  await refuses(
    open(fileOf({ w: info }, eight).subarray(0, 40)),
    /a header of \d+ bytes in a file of 40; it may be cut short/,
  );
  const large = { ...bytesSource(fileOf({})), size: 1e12 };
  await refuses(
    openSafetensors({ ...large, read: async () => Uint8Array.of(1, 0xe1, 0xf5, 5, 0, 0, 0, 0) }),
    /header of 100000001 bytes; the limit is 100000000/,
  );
  await refuses(openSafetensors({ ...large, read: async () => new Uint8Array(8).fill(255) }), /the limit is/);

  await refuses(open(fileOf("")), /its header: /);
  await refuses(open(fileOf("{")), /its header: /);
  await refuses(open(fileOf("[]")), /not a JSON object/);
  await refuses(open(fileOf(" {}")), /not a JSON object/);
  await refuses(open(fileOf("\ufeff{}")), /its header: /);
  await refuses(open(fileOf("null")), /not a JSON object/);
  const notUtf8 = fileOf('{"__metadata__":{"a":"b"}}');
  notUtf8[notUtf8.indexOf(98)] = 0xff;
  await refuses(open(notUtf8), /its header: /);

  await refuses(open(fileOf(`{"w":${JSON.stringify(info)},"w":${JSON.stringify(info)}}`, eight)), /same key twice/);
  await refuses(
    open(fileOf(`{"w":${JSON.stringify(info)},"\\u0077":${JSON.stringify(info)}}`, eight)),
    /same key twice/,
  );
  await refuses(open(fileOf('{"__metadata__":{"a":"1","b":"2","a":"3"}}')), /same key twice/);
  await refuses(open(fileOf('{"__metadata__":{},"__metadata__":{}}')), /same key twice/);
  await refuses(open(fileOf('{"__proto__":1,"__proto__":2}')), /is not an object/);
  await refuses(
    open(fileOf('{"w":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,8]}}', eight)),
    /same key twice/,
  );
  await refuses(open(fileOf({ __metadata__: { a: 1 } })), /__metadata__ must hold strings/);
  await refuses(open(fileOf({ __metadata__: ["a"] })), /"__metadata__" is not an object/);
  await refuses(open(fileOf({ w: null })), /"w" is not an object/);
  // As the reference implementation does; JSON.parse takes all of these for whole numbers.
  for (const number of ["0.0", "0e0", "-0", "0E1", "0.0e-12"]) {
    const written = open(fileOf(`{"w.-e":{"dtype":"F32","shape":[2],"data_offsets":[${number},8]}}`, eight));
    await refuses(written, new RegExp(`a number that is no plain integer: ${number}$`));
  }
  for (const shape of ["2.0", "0.2e1", "2E0"]) {
    const written = open(fileOf(`{"w":{"dtype":"F32","shape":[${shape}],"data_offsets":[0,8]}}`, eight));
    await refuses(written, new RegExp(`no plain integer: ${shape}$`));
  }
  await refuses(open(fileOf({ w: 1 })), /"w" is not an object/);
  await refuses(withInfo({ more: 1 }), /"w" has an unknown field "more"/);

  await refuses(withInfo({ dtype: "F8" }), /"w" has the dtype "F8"; legal are F64, F32, /);
  await refuses(withInfo({ dtype: "F4", shape: [3] }), /"w" takes 1\.5 bytes; its data_offsets say 8/);
  await refuses(withInfo({ dtype: undefined }), /"w" has no dtype/);
  await refuses(withInfo({ dtype: ["F32"] }), /"w" has no dtype/);
  await refuses(withInfo({ shape: undefined }), /"w" has no legal shape/);
  await refuses(withInfo({ shape: "2" }), /no legal shape/);
  await refuses(withInfo({ shape: [-2] }), /no legal shape/);
  await refuses(withInfo({ shape: [-1, -2] }), /no legal shape/);
  await refuses(withInfo({ shape: [0.5, 4] }), /no legal shape/);
  await refuses(withInfo({ shape: ["2"] }), /no legal shape/);
  await refuses(withInfo({ shape: [2 ** 32, 2 ** 32] }), /no legal shape/);
  await refuses(withInfo({ shape: [2 ** 53, 0] }), /no legal shape/);
  await refuses(withInfo({ shape: [2 ** 32, 2 ** 32, 0] }), /no legal shape/);
  await refuses(withInfo({ shape: [3] }), /"w" takes 12 bytes; its data_offsets say 8/);
  await refuses(withInfo({ dtype: "F16" }), /"w" takes 4 bytes; its data_offsets say 8/);
  for (const span of [undefined, 8, [0], [0, 8, 8], [-8, 0], [0, 8.5], ["0", "8"], [0, 2 ** 53]]) {
    await refuses(withInfo({ data_offsets: span }), /"w" has no legal data_offsets/);
  }
  await refuses(withInfo({ data_offsets: [8, 0] }), /its data_offsets say -8/);
  await refuses(withInfo({ data_offsets: [4, 12] }, new Uint8Array(12)), /"w" starts at byte 4 of the data, wanted 0/);
  await refuses(withInfo({}, new Uint8Array(9)), /its tensors take 8 bytes, and the file has 9 for them/);
  await refuses(withInfo({}, new Uint8Array(7)), /its tensors take 8 bytes, and the file has 7 for them/);
  await refuses(open(fileOf({}, eight)), /its tensors take 0 bytes/);

  const two = (data_offsets: number[], length: number) =>
    open(fileOf({ v: info, w: { ...info, data_offsets } }, new Uint8Array(length)));
  await two([8, 16], 16);
  await refuses(two([0, 8], 8), /"w" starts at byte 0 of the data, wanted 8/);
  await refuses(two([4, 12], 12), /"w" starts at byte 4 of the data, wanted 8/);
  await refuses(two([9, 17], 17), /"w" starts at byte 9 of the data, wanted 8/);
  const nested = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  await refuses(open(fileOf(nested)), /not a JSON object/);
  for (const field of ["dtype", "shape", "data_offsets", "more"]) {
    const entry = JSON.stringify({ ...info, [field]: 0 }).replace(`"${field}":0`, `"${field}":${nested}`);
    await refuses(open(fileOf(`{"w":${entry}}`, eight)), /"w" has (no|an unknown)/);
  }
  await refuses(open(fileOf({ ["n".repeat(5000)]: 1 })), /^.{0,160}$/);
});

test("types without float32 values are listed, and refused when they are read", async () => {
  const sizes = {
    U16: 2,
    U32: 4,
    U64: 8,
    C64: 8,
    F8_E4M3: 1,
    F8_E5M2: 1,
    F8_E8M0: 1,
    F4: 0.5,
    F6_E2M3: 0.75,
    F6_E3M2: 0.75,
  };
  for (const [dtype, bytes] of Object.entries(sizes)) {
    const end = 4 * bytes;
    const header = {
      odd: { dtype, shape: [4], data_offsets: [0, end] },
      w: { dtype: "F32", shape: [1], data_offsets: [end, end + 4] },
    };
    const checkpoint = await open(fileOf(header, [...new Array(end).fill(7), 0, 0, 128, 63]));
    assert.equal([...(await checkpoint.read("w"))], [1]);
    assert.equal([...((await checkpoint.readBytes?.("odd")) ?? [])], new Array(end).fill(7));
    assert.is(checkpoint.tensors.get("odd")?.dtype, dtype);
    await refuses(
      checkpoint.read("odd"),
      new RegExp(`"odd" of x.safetensors cannot be read: it is stored as ${dtype}; save it as one of F64, .*, BOOL$`),
    );
  }
});

test("metadata come with the tensors; null is none", async () => {
  const metadata = { format: "pt", "": "ünïcode" };
  assert.equal((await open(fileOf({ __metadata__: metadata }))).metadata, metadata);
  assert.is((await open(fileOf({ __metadata__: null }))).metadata, undefined);
  assert.is((await open(fileOf({}))).metadata, undefined);
});

test("an unusual but sound header is read", async () => {
  const info = '{"data_offsets":[4,4],"shape":[7,0],"dtype":"BF16"}';
  const file = fileOf(
    `{"b":${info} ,\n"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"c:\\"":${info}}   `,
    [0, 0, 128, 63],
  );
  const checkpoint = await open(file);
  assert.equal([...checkpoint.tensors.keys()], ["b", "a", 'c:"']);
  assert.equal([...(await checkpoint.read("a"))], [1]);
  assert.equal((await checkpoint.read('c:"')).length, 0);
});

test.run();
