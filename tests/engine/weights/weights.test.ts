import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FileError, UsageError, WeightsError } from "../../../engine/ground/errors.ts";
import { type Shape, sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import type { ByteSource, Checkpoint } from "../../../engine/weights/checkpoint.ts";
import { matchCheckpoint } from "../../../engine/weights/match.ts";
import { openWeights, publishedWeights } from "../../../engine/weights/open.ts";
import { openPth } from "../../../engine/weights/pth.ts";
import { encodeSafetensors, openSafetensors } from "../../../engine/weights/safetensors.ts";
import { arraysCheckpoint, blobSource, bytesSource, openCheckpoint } from "../../../engine/weights/sources.ts";
import { crc32 } from "../../../engine/weights/zip.ts";
import { nets } from "../../../nets/index.ts";
import { isDeep, rounds, seed } from "../../harness.ts";

const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../../../tests/goldens/pth/${name}`, import.meta.url)));

async function refuses(
  promise: Promise<unknown>,
  message: RegExp,
  type: typeof FileError | typeof WeightsError | typeof UsageError = WeightsError,
) {
  const error = await promise.then(
    () => assert.unreachable(`wanted ${message}`),
    (reason) => reason,
  );
  assert.instance(error, type, String(error?.stack));
  assert.match(error.message, message, error.message);
}

test("bytes and blobs are sources of ranges", async () => {
  const bytes = Uint8Array.of(9, 1, 2, 3, 4, 9).subarray(1, 5);
  for (const source of [
    bytesSource(bytes, "b"),
    bytesSource(bytes.slice().buffer, "b"),
    blobSource(new Blob([bytes]), "b"),
  ]) {
    assert.is(source.name, "b");
    assert.is(source.size, 4);
    assert.equal([...(await source.read(1, 2))], [2, 3]);
    assert.equal([...(await source.read(0, 4))], [1, 2, 3, 4]);
    assert.equal([...(await source.read(4, 0))], []);
    for (const [offset, length] of [
      [3, 2],
      [5, 0],
      [-1, 2],
      [0, -1],
      [0, NaN],
    ]) {
      await refuses(source.read(offset, length), /^b has 4 bytes; wanted/, FileError);
    }
  }
  const gone = {
    size: 4,
    slice: () => ({ arrayBuffer: () => Promise.reject(new DOMException("gone")) }),
  } as unknown as Blob;
  await refuses(blobSource(gone, "f").read(0, 1), /^f can no longer be read; choose it again/, FileError);
});

test("arrays in memory are a checkpoint", async () => {
  const w: Tensor = { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
  for (const tensors of [
    { w, b: Float32Array.of(5) },
    new Map<string, Tensor | Float32Array>([
      ["w", w],
      ["b", Float32Array.of(5)],
    ]),
  ]) {
    const checkpoint = arraysCheckpoint(tensors);
    assert.equal(
      [...checkpoint.tensors].map(([name, { shape, dtype }]) => [name, shape, dtype]),
      [
        ["w", [2, 2], "F32"],
        ["b", [1], "F32"],
      ],
    );
    assert.equal([...(await checkpoint.read("w", 1, 2))], [2, 3]);
    assert.equal([...(await checkpoint.read("b"))], [5]);
    await refuses(checkpoint.read("c"), /^the given arrays has no tensor "c"; it has "w", "b"/);
    await refuses(checkpoint.read("w", 2, 3), /"w" of the given arrays has 4 elements/);
    await checkpoint.close();
  }
  assert.throws(
    () => arraysCheckpoint({ w: { shape: [3], data: w.data } }, "mine"),
    /^"w" of mine has shape \[3\] but 4 elements/,
  );
});

const small = encodeSafetensors(new Map([["w", { shape: [2], data: Float32Array.of(1, 2) }]]));

test("a checkpoint is told by its content", async () => {
  for (const [bytes, wanted] of [
    [small, "w"],
    [fixture("state.pth"), "0.weight"],
    [fixture("legacy.pth"), "0.weight"],
  ] as const) {
    assert.ok((await openCheckpoint(bytesSource(bytes, "misnamed.txt"))).tensors.has(wanted));
  }
});

test("what is no checkpoint is said to be what it is", async () => {
  const refusesText = (content: string | Uint8Array, message: RegExp) => {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    return refuses(openCheckpoint(bytesSource(bytes, "f")), message);
  };
  await refusesText("", /^f: got an empty file, wanted a \.safetensors, a PyTorch \.pth\/\.pt or an \.onnx file$/);
  await refusesText("<!DOCTYPE html><html>", /^f: got an HTML page \(a download that answered/);
  await refusesText("\ufeff\n  <html lang=en>", /^f: got an HTML page/);
  await refusesText(
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
    /^f: got a git-lfs pointer/,
  );
  await refusesText("GIF89a\x01", /^f: got a file that starts with "GIF89a\\u0001", wanted/);
  await refusesText(new Uint8Array(1000), /^f: got a file that starts with "\\u0000/);
  await refusesText(Uint8Array.of(0x80, 2, 0x4e, 0x2e), /a pickle that torch.save did not write/);
  await refusesText("PK\x05\x06", /zip archive without an end record/);
  await refusesText(small.subarray(0, 50), /f cannot be read as safetensors: .* may be cut short/);
  await refuses(openCheckpoint(bytesSource(fixture("module.pth"), "m.pth")), /^m.pth cannot be read as .*Sequential/);
});

test("the source is closed by the checkpoint, and when it cannot be opened", async () => {
  let closed = 0;
  const closing = (bytes: Uint8Array): ByteSource => ({
    ...bytesSource(bytes),
    async close() {
      closed++;
    },
  });
  for (const bytes of [small, fixture("mixed.pth"), fixture("legacy.pth")]) {
    closed = 0;
    const checkpoint = await openCheckpoint(closing(bytes));
    assert.is(closed, 0);
    await checkpoint.close();
    assert.is(closed, 1);
    await refuses(openCheckpoint(closing(bytes.subarray(0, 40))), /./);
    assert.is(closed, 2);
  }
});

/** A checkpoint of zeros with these shapes. */
const of = (shapes: Readonly<Record<string, Shape>>, more: Partial<Checkpoint> = {}): Checkpoint => ({
  ...arraysCheckpoint(
    new Map(Object.entries(shapes).map(([name, shape]) => [name, { shape, data: new Float32Array(sizeOf(shape)) }])),
    "vgg16.pth",
  ),
  ...more,
});
const net = { "conv.weight": [4, 3, 3, 3], "bn.weight": [4], "fc.weight": [10, 5], "fc.bias": [10] };
const match = (checkpoint: Checkpoint, wanted: Readonly<Record<string, Shape>> = net, key?: string) =>
  matchCheckpoint(checkpoint, new Map(Object.entries(wanted)), key);

test("a checkpoint that fits a net is told from one that does not", async () => {
  const refusal = (shapes: Record<string, Shape>, wanted: Record<string, Shape> = net): Promise<string> =>
    match(of(shapes), wanted).then(
      () => assert.unreachable("wanted a refusal") as never,
      (error) => {
        assert.instance(error, WeightsError);
        return error.message;
      },
    );

  await match(of(net));
  await match(of({ ...net, "bn.num_batches_tracked": [] }));
  await match(of(net), { ...net, "bn.num_batches_tracked": [] });
  await match(of({}), {});

  assert.is(
    await refusal({ "bn.weight": [4], x: [1], y: [1], "fc.weight": [10, 6], "fc.bias": [10] }),
    "vgg16.pth does not fit: 1 tensor missing (conv.weight), 2 extra (x, y), 1 misshapen (fc.weight is [10, 6], wanted [10, 5])",
  );
  assert.is(await refusal({}), "vgg16.pth does not fit: 4 tensors missing (conv.weight, bn.weight, fc.weight, ...)");
  assert.is(await refusal(net, {}), "vgg16.pth does not fit: 4 tensors extra (conv.weight, bn.weight, fc.weight, ...)");
  assert.is(
    await refusal({ ...net, "fc.bias": [10, 1] }),
    "vgg16.pth does not fit: 1 tensor misshapen (fc.bias is [10, 1], wanted [10])",
  );
  const odd = { ...net, ["n".repeat(1e6)]: [1], "a\nb": [1], "fc.bias": new Array(1e5).fill(1) };
  assert.match(
    await refusal(odd),
    /2 tensors extra \("n{80}…", "a\\nb"\).*fc.bias is \[1, 1, 1, 1, 1, 1, 1, 1, \.\.\.\]/,
  );
  assert.ok((await refusal(odd)).length < 400);

  const hint = /; it was trained for 7 classes: pass the option numClasses: 7$/;
  assert.match(await refusal({ ...net, "fc.weight": [7, 5], "fc.bias": [7] }), hint);
  assert.match(await refusal({ "fc.weight": [7, 5] }, { "fc.weight": [10, 5] }), hint);
  for (const other of [
    { "fc.weight": [7, 6], "fc.bias": [7] },
    { "fc.weight": [7, 5], "fc.bias": [8] },
    { "bn.weight": [7] },
    { "fc.weight": [7, 5], "fc.bias": [7], x: [1] },
  ] as Record<string, Shape>[]) {
    assert.not.match(await refusal({ ...net, ...other }), /numClasses/);
  }
});

test("names that the net knows from others are its own, in any shape of the same elements", async () => {
  const rename = (name: string) => name.replace(/^head\./, "fc.").replace(/^stem\./, "conv.");
  const wanted = new Map(Object.entries(net));
  const others = { "stem.weight": [4, 3, 3, 3], "bn.weight": [4], "head.weight": [10, 5, 1, 1], "head.bias": [10] };
  for (const prefix of ["", "module."]) {
    const named = Object.fromEntries(Object.entries(others).map(([name, shape]) => [prefix + name, shape]));
    const checkpoint = await matchCheckpoint(of(named), wanted, undefined, { rename });
    assert.equal(new Map([...checkpoint.tensors].map(([name, { shape }]) => [name, shape])), wanted);
    assert.is((await checkpoint.read("fc.weight", 10, 15)).length, 15);
    assert.is(checkpoint.warnings?.length, prefix ? 1 : 0);
  }
  const refuse = (shapes: Record<string, Shape>, message: RegExp) =>
    refuses(matchCheckpoint(of(shapes), wanted, undefined, { rename }), message);
  await refuse(
    { ...others, "head.weight": [5, 10] },
    /1 tensor misshapen \(fc.weight is \[5, 10\], wanted \[10, 5\]\)/,
  );
  await refuse({ ...others, "head.weight": [7, 5, 1, 1], "head.bias": [7] }, /wanted \[10, 5\]/);
  // Two of one name, and a tensor of its own in another shape.
  await refuse({ ...others, "fc.bias": [10] }, /missing/);
  await refuse({ ...net, "fc.weight": [10, 5, 1, 1] } as Record<string, Shape>, /1 tensor misshapen/);
});

test("what wrappers put before or into names is taken off, if all names fit without", async () => {
  const named = (rename: (name: string) => string, more: Record<string, Shape> = {}) =>
    of({ ...Object.fromEntries(Object.entries(net).map(([name, shape]) => [rename(name), shape])), ...more });
  for (const [rename, off] of [
    [(name: string) => `module.${name}`, '"module"'],
    [(name: string) => `_orig_mod.${name}`, '"_orig_mod"'],
    [(name: string) => `module._orig_mod.${name}`, '"module._orig_mod"'],
    [(name: string) => `model.${name}`, '"model"'],
    [(name: string) => `my.own.${name}`, '"my.own"'],
    [(name: string) => `model._orig_mod.${name}`, '"model._orig_mod"'],
    [(name: string) => name.replace("conv.", "conv.module."), '"module"'],
    [(name: string) => `net.${name.replace("fc.", "fc._orig_mod.")}`, '"_orig_mod", "net"'],
  ] as const) {
    const given = named(rename, { [rename("bn.num_batches_tracked")]: [], n_averaged: [] });
    const fit = await match(given);
    assert.equal([...fit.tensors.keys()].slice(0, 4), Object.keys(net));
    assert.is(fit.warnings?.length, 1);
    assert.match(fit.warnings?.[0] ?? "", /^".*" was taken off the names of the tensors of vgg16.pth/);
    assert.ok(fit.warnings?.[0].startsWith(off), fit.warnings?.[0]);
    assert.is((await fit.read("fc.bias", 2)).length, 8);
  }
  // Nothing is taken off where the names are right as they are.
  const wrapped = { "module.a": [1], "module.b": [2] };
  assert.is((await match(of(wrapped), wrapped)).warnings, undefined);

  await refuses(
    match(named((name) => (name === "fc.bias" ? name : `module.${name}`), { x: [1] })),
    /1 tensor extra \(x\)/,
  );
  const both = { ...net, "module.fc.bias": [10] };
  await refuses(match(of(both)), /does not fit: 1 tensor extra \(module\.fc\.bias\)$/);
  await refuses(
    match(named((name) => `module.${name}`, { "module.x": [1] })),
    /does not fit: 1 tensor extra \(x\) once "module" is taken off its names$/,
  );
  const values = arraysCheckpoint({ "a.w": Float32Array.of(1, 2), "a.v": Float32Array.of(3, 4) });
  const fit = await match(values, { w: [2], v: [2] });
  assert.equal([...(await fit.read("w")), ...(await fit.read("v", 1, 1))], [1, 2, 4]);
  await refuses(match(of({ [`${"a.".repeat(1e5)}w`]: [1] }), { w: [1] }), /1 tensor missing \(w\), 1 extra \("a\.a\./);
});

test("of several mappings the one that fits is taken, and the caller chooses among those that do", async () => {
  const parts = (given: Record<string, Checkpoint>) => of({}, { parts: new Map(Object.entries(given)) });
  const small = { "0.step": [] as Shape };
  const [a, b] = [of(net), of(net)];
  assert.is(await match(parts({ net: a, optimizer: of(small) })), a);
  assert.is(await match(parts({ "": of({ x: [1] }), model_state: a, other: of({ ...net, y: [1] }) })), a);
  const several = parts({ model: a, model_ema: b, optimizer: of(small) });
  await refuses(
    match(several),
    /^vgg16\.pth has 2 mappings of names to tensors that fit: "model", "model_ema"; choose one with weightsKey$/,
  );
  assert.is(await match(several, net, "model_ema"), b);
  await refuses(
    match(several, net, "ema"),
    /has no mapping "ema" for weightsKey; it has "model", "model_ema", "opt/,
    UsageError,
  );
  await refuses(match(a, net, "model"), /has no mapping "model" for weightsKey; it has ""$/, UsageError);
  assert.is(await match(a, net, ""), a);
  await refuses(match(several, net, "optimizer"), /does not fit: 4 tensors missing .*, 1 extra \(0\.step\)$/);
  // Two names of the same tensors are no choice.
  const again = { ...a };
  assert.is(await match(parts({ model: a, state_dict: again })), a);
  const ema = of(Object.fromEntries(Object.entries(net).map(([name, shape]) => [`module.${name}`, shape])));
  assert.equal([...(await match(parts({ model: a, ema }), net, "ema")).tensors.keys()], Object.keys(net));
  await refuses(match(parts({ model: a, ema })), /2 mappings of names to tensors that fit: "model", "ema"/);
  await refuses(
    match(parts({ a: of(small), model: of({ ...net, x: [1] }), other: of({ y: [1] }) })),
    /1 tensor extra \(x\); that is "model" of its 3 mappings$/,
  );
});

test("an average of weights beside the weights, as torch writes it, is one of two that fit", async () => {
  const checkpoint = await openCheckpoint(bytesSource(fixture("several.pth")));
  const shapes = Object.fromEntries([...checkpoint.tensors].map(([name, { shape }]) => [name, shape]));
  assert.ok(checkpoint.parts?.get("model_ema")?.tensors.has("n_averaged"));
  await refuses(match(checkpoint, shapes), /2 mappings of names to tensors that fit: "model", "model_ema"; choose/);
  const ema = await match(checkpoint, shapes, "model_ema");
  assert.equal([...ema.tensors.keys()], [...checkpoint.tensors.keys()]);
  assert.equal(await ema.read("0.weight"), await checkpoint.read("0.weight"));
});

/** Files in memory, beside one another. */
function folder(files: Readonly<Record<string, Uint8Array | string>>): {
  open(name: string): ByteSource;
  opened: Set<string>;
} {
  const opened = new Set<string>();
  const open = (name: string): ByteSource => {
    const content = files[name];
    if (content === undefined) throw new FileError(`cannot read ${name}: there is no such file`);
    opened.add(name);
    return {
      ...bytesSource(typeof content === "string" ? new TextEncoder().encode(content) : content, name),
      beside: async (other) => open(other),
      close: async () => void opened.delete(name),
    };
  };
  return { open, opened };
}

test("an index of shards is followed, and stays beside itself", async () => {
  const shard = (...names: string[]) =>
    encodeSafetensors(new Map(names.map((name, i) => [name, { shape: [1], data: Float32Array.of(i + names.length) }])));
  const index = (weight_map: unknown) => JSON.stringify({ metadata: { total_size: 12 }, weight_map });
  const files = { "a-1.safetensors": shard("x", "y"), "a-2.safetensors": shard("z"), "a.pth": fixture("mixed.pth") };
  const openIndex = (text: string) => {
    const { open, opened } = folder({ ...files, "a.index.json": text });
    return { checkpoint: openCheckpoint(open("a.index.json")), opened };
  };
  const map = { z: "a-2.safetensors", x: "a-1.safetensors", "0.bias": "a.pth" };
  const sound = openIndex(`  ${index(map)}`);
  const checkpoint = await sound.checkpoint;
  assert.equal([...checkpoint.tensors.keys()], ["z", "x", "0.bias"]);
  assert.equal([...(await checkpoint.read("x")), ...(await checkpoint.read("z"))], [2, 1]);
  assert.is((await checkpoint.read("0.bias", 1)).length, 2);
  assert.is((await checkpoint.readBytes?.("x"))?.length, 4);
  await refuses(checkpoint.read("y"), /has no tensor "y"/);
  await checkpoint.close();
  assert.equal([...sound.opened], []);

  const unsound = async (text: string, message: RegExp, type?: typeof FileError) => {
    const { checkpoint, opened } = openIndex(text);
    await refuses(checkpoint, message, type);
    assert.equal([...opened], []);
  };
  for (const file of [
    "../a-1.safetensors",
    "/etc/passwd",
    "b\\c",
    "http:x",
    "..",
    ".",
    "",
    "a?b",
    "%2e%2e",
    "x".repeat(256),
    5,
  ]) {
    await unsound(index({ x: file }), /the file of "x" is .*, wanted the name of one beside it/);
  }
  await unsound(index({ x: "a-2.safetensors" }), /"x" should be in "a-2\.safetensors", and is not/);
  await unsound(index({ x: "a-3.safetensors" }), /cannot read a-3\.safetensors: there is no such file/, FileError);
  await unsound(index({ x: "a.index.json" }), /its shards are other files, which only a path/);
  await unsound(index({}), /it names no tensors/);
  await unsound(index([]), /it has no "weight_map"/);
  await unsound("{}", /it has no "weight_map"/);
  await unsound("{ nothing", /cannot be read as an index of shards: /);
  await refuses(openCheckpoint(bytesSource(new TextEncoder().encode(index(map)))), /which only a path or an address/);
  const many = Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`t${i}`, `${i}.safetensors`]));
  const shards = Object.fromEntries(Object.entries(many).map(([name, file]) => [file, shard(name)]));
  await refuses(openCheckpoint(folder({ ...shards, i: index(many) }).open("i")), /it names more than 1024 files/);
});

test("a net's own weights are known by their names in any case, and as DEFAULT", () => {
  const url = (name: string, weights: string) => publishedWeights(nets[name], weights)?.url;
  for (const name of ["resnet50", "vgg16", "alexnet"]) {
    const best = name === "resnet50" ? "IMAGENET1K_V2" : "IMAGENET1K_V1";
    assert.type(url(name, best), "string");
    for (const alias of [best.toLowerCase(), "DEFAULT", "default"]) assert.is(url(name, alias), url(name, best), name);
  }
  assert.is(publishedWeights(nets.lenet5, "default"), nets.lenet5.weights.MNIST);
  for (const name of ["DEFAULT", "IMAGENET1K_V1", "toString", "__proto__"]) {
    assert.is(publishedWeights(nets.alexnet2012, name), undefined);
  }
});

test("weights that are neither a name nor a file: the names that there are", async () => {
  const missing = async () => Promise.reject(new FileError("cannot read it: there is no such file"));
  const open = (name: string, weights: string) => openWeights(nets[name], { weights }, missing);
  await refuses(
    open("resnet50", "imagenet1k_v3"),
    /no such file; the weights of resnet50 by name are IMAGENET1K_V1, IMAGENET1K_V2$/,
    FileError,
  );
  await refuses(open("alexnet2012", "DEFAULT"), /no such file; alexnet2012 has no weights by name$/, FileError);
  await refuses(open("resnet50", "w/imagenet.pth"), /no such file$/, FileError);
});

// ---- fuzzing: 60,000 mutated bytes in a deep run, or as many as the environment's FUZZ says ----

const BUDGET = Number(process.env.FUZZ ?? rounds(60_000, 6000));

/** A source of whole numbers below `limit` (mulberry32). */
function random(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

const TELLING = [
  [0],
  [255],
  [0x7f, 255, 255, 255],
  [255, 255, 255, 255],
  [255, 255, 255, 255, 255, 255, 255, 127],
  [0, 0, 0, 1],
];

/**
 * A copy with 1 to 4 changes between `from` and `to`, and how many bytes these wrote or took away (the end of a file
 * that is cut counts as one).
 */
function mutate(bytes: Uint8Array, below: (limit: number) => number, from: number, to: number, keepsLength: boolean) {
  let file = [...bytes];
  let mutated = 0;
  for (let changes = 1 + below(4); changes > 0; changes--) {
    const at = from + below(Math.min(to, file.length) - from || 1);
    const length = 1 + below(12);
    const source = from + below(to - from);
    const overwrite = (put: number[]) => ({ put, drop: put.length });
    const ways = [
      () => overwrite([file[at] ^ (1 << below(8))]),
      () => overwrite([below(256)]),
      () => overwrite(TELLING[below(TELLING.length)]),
      () => overwrite([...bytes.subarray(source, Math.min(source + length, to))]),
      () => ({ put: Array.from({ length }, () => below(256)), drop: 0 }),
      () => ({ put: [...bytes.subarray(source, Math.min(source + length, to))], drop: 0 }),
      () => ({ put: [], drop: below(8) > 0 ? length : file.length }),
    ];
    const { put, drop } = ways[below(keepsLength ? 4 : ways.length)]();
    const room = keepsLength ? to - at : put.length;
    file = [...file.slice(0, at), ...put.slice(0, room), ...file.slice(at + Math.min(drop, keepsLength ? room : drop))];
    mutated += drop > 12 ? 1 : Math.max(Math.min(put.length, room), Math.min(drop, keepsLength ? room : drop));
  }
  return { file: Uint8Array.from(file), mutated };
}

/** The data.pkl of an archive, and the place of its CRC-32 in the directory. */
function findPickle(bytes: Uint8Array) {
  const text = new TextDecoder("latin1").decode(bytes);
  const central = text.lastIndexOf("PK\x01\x02", text.lastIndexOf("/data.pkl"));
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const local = view.getUint32(central + 42, true);
  const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  return { from, to: from + view.getUint32(central + 24, true), crcAt: central + 16 };
}

function resign(file: Uint8Array): Uint8Array {
  const { from, to, crcAt } = findPickle(file);
  new DataView(file.buffer).setUint32(crcAt, crc32(file.subarray(from, to)), true);
  return file;
}

const few = new Map<string, Tensor>([
  ["conv.weight", { shape: [2, 1, 2, 2], data: Float32Array.from({ length: 8 }, (_, i) => i - 4) }],
  ["conv.bias", { shape: [2], data: Float32Array.of(0.5, -0.5) }],
  ["none", { shape: [3, 0], data: new Float32Array(0) }],
  ["scalar", { shape: [], data: Float32Array.of(3) }],
]);

type Open = (source: ByteSource) => Promise<Checkpoint>;
const plain = { signs: false, from: 0, to: Infinity };
const targets: { name: string; bytes: Uint8Array; open: Open; signs: boolean; from: number; to: number }[] = [
  { ...plain, name: "safetensors", bytes: encodeSafetensors(few, { format: "pt" }), open: openSafetensors },
  { ...plain, name: "safetensors, f16", bytes: encodeSafetensors(few, {}, "f16"), open: openCheckpoint },
  { ...plain, name: "zip", bytes: fixture("mixed.pth"), open: openPth },
  {
    ...plain,
    name: "zip's directory",
    bytes: fixture("mixed.pth"),
    open: openPth,
    from: fixture("mixed.pth").length - 1500,
  },
  { ...plain, name: "deflated zip", bytes: fixture("deflated.pth"), open: openCheckpoint },
  ...["mixed.pth", "state.pth", "wrapped_model.pth", "beside.pth"].map((file) => {
    const { from, to } = findPickle(fixture(file));
    return { name: `pickle of ${file}`, bytes: fixture(file), open: openPth, signs: true, from, to };
  }),
  { ...plain, name: "stream", bytes: fixture("legacy.pth"), open: openPth },
  { ...plain, name: "stream's pickles", bytes: fixture("legacy.pth"), open: openCheckpoint, to: 3500 },
];

/** Reads every tensor whole and in part; a mutated file may make as many elements as its kind of file could at most. */
async function readAll(checkpoint: Checkpoint, limit: number): Promise<void> {
  for (const [name, { shape }] of checkpoint.tensors) {
    const size = sizeOf(shape);
    assert.ok(Number.isSafeInteger(size) && size >= 0 && size <= limit, `${name} has ${size} elements`);
    assert.is((await checkpoint.read(name)).length, size);
    const start = size >> 1;
    assert.is((await checkpoint.read(name, start, Math.min(3, size - start))).length, Math.min(3, size - start));
  }
}

for (const [index, target] of targets.entries()) {
  test(`damaged files are refused or read: ${target.name}`, async () => {
    const below = random(isDeep ? 20240 + index : seed + index);
    const share = BUDGET / targets.length;
    const base = process.memoryUsage().rss;
    let [cases, mutated, read, slowest, memory] = [0, 0, 0, 0, 0];
    for (; mutated < share; cases++) {
      const to = Math.min(target.to, target.bytes.length);
      const damaged = mutate(target.bytes, below, target.from, to, target.signs);
      mutated += damaged.mutated;
      const file = target.signs ? resign(damaged.file) : damaged.file;
      const began = performance.now();
      try {
        const checkpoint = await target.open(bytesSource(file));
        await readAll(checkpoint, Math.max(1032 * file.length, 1 << 24));
        read++;
      } catch (error) {
        if (!(error instanceof WeightsError) && !(error instanceof FileError)) {
          console.log(`case ${cases}: ${Buffer.from(file).toString("base64")}`);
          throw error;
        }
      }
      slowest = Math.max(slowest, performance.now() - began);
      if (cases % 64 === 0) memory = Math.max(memory, process.memoryUsage().rss - base);
    }
    if (process.env.FUZZ) {
      const figures = `${cases} files, ${mutated} mutated bytes, ${read} read; slowest ${slowest.toFixed(0)} ms`;
      console.log(`${target.name}: ${figures}, memory +${(memory / 2 ** 20).toFixed(0)} MB`);
    }
    assert.ok(slowest < 5000, `a file took ${slowest} ms`);
    assert.ok(memory < 512 * 2 ** 20, `${memory} bytes more in memory`);
    assert.ok(read < cases, "some were refused");
    // Few mutants of a strict format are sound.
    if (isDeep) assert.ok(read > 0, "some were read");
  });
}

test.run();
