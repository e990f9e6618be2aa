// What no program means to give: whatever is exported answers with an error of the library's, short and with a code, and
// with nothing left behind. Every function is found in the modules themselves, so that a new one is called, too.
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as browser from "../../browser.ts";
import * as core from "../../core.ts";
import { referenceOf } from "../../engine/graph/evaluate.ts";
import type { AnyKernel } from "../../engine/graph/kernel.ts";
import { nodeHost } from "../../engine/node/dawn.ts";
import * as node from "../../index.ts";
import { references } from "../../kernels/references.ts";
import * as onnx from "../../onnx.ts";
import * as worker from "../../worker.ts";
import { idx } from "../engine/training/digits.ts";
import { inside, startWorker } from "../engine/worker/in_process.ts";
import { idle, int, isDeep, open, random } from "../harness.ts";

const CALLS = isDeep ? 10_000 : 1_500;

type Call = (...args: unknown[]) => unknown;

/** Something to call, as `owner.name`, on an owner and with arguments that may be of a graph made for the call. */
interface Subject {
  readonly name: string;
  readonly of: (graph: Graphed) => { readonly call: Call; readonly sound?: readonly unknown[] };
}

/**
 * Subjects that are not called, and why. What is no function (nets, variants, rates) is data: what functions it has are
 * called by the engine, with what it has checked.
 */
const LEFT_OUT: readonly (readonly [RegExp, string])[] = [
  [
    /^(gpu|net|onnxModel|executable|workerGpu|workerNet|checkpoint|source)\.(close|dispose)$/,
    "it ends what the others are called on",
  ],
  [
    /^gpu\.(check|survive|settle|guarded|write|createBuffer|destroyBuffer|pipeline)$/,
    "the engine's own, of objects of WebGPU: see tests/engine/device/given.test.ts",
  ],
  [/^executable\.(exclusive|write)$/, "the engine's own: a work in turn, and what it does in it"],
];

const gpu = await open();
const net = await gpu.loadNet("lenet5");
const pieces: Uint8Array[] = [];
for await (const piece of node.exportOnnx("lenet5")) pieces.push(piece);
const model = Buffer.concat(pieces);
const onnxModel = await onnx.loadOnnxModel(gpu, model);

const OWN = new Error("the caller's own");
const own = () => {
  throw OWN;
};
const circular: Record<string, unknown> = {};
circular.self = circular;
const detached = new Float32Array(4);
structuredClone(detached.buffer, { transfer: [detached.buffer] });

const PRIMITIVES: readonly unknown[] = [
  undefined,
  null,
  0,
  -1,
  1.5,
  NaN,
  Infinity,
  1e9,
  2 ** 53,
  "",
  "x",
  true,
  5n,
  Symbol("s"),
];
const HOSTILE: readonly unknown[] = [
  ...PRIMITIVES,
  ...["x".repeat(1e5), "\0", [], [1], [null], [5n], [Symbol("s")], new Array(5), {}, circular, Object.create(null)],
  ...[/x/, new Map(), new Map([[Symbol("s"), 5]]), new Set([1]), new Date(NaN), () => 1, own, Promise.resolve(1)],
  ...[
    new Float32Array(4),
    new Float64Array(4),
    new Uint8Array(3),
    new BigInt64Array(2),
    new DataView(new ArrayBuffer(4)),
  ],
  ...[
    new Float32Array(new SharedArrayBuffer(16)),
    new SharedArrayBuffer(4),
    new ArrayBuffer(4),
    detached,
    detached.buffer,
  ],
  ...[
    new Uint8Array(5e7),
    new Array(1e5).fill(0),
    new Array(1e5).fill(1),
    { a: new Array(1e5).fill({}) },
    Buffer.alloc(1e6),
    { length: 1e9 },
  ],
  ...[new URL("file:///none"), new Blob(["x"]), new node.Graph(), node.lenet5, node.relu],
  ...[
    { [Symbol.toPrimitive]: own },
    { toString: own },
    { toJSON: own },
    Object.defineProperty({}, "width", { get: own }),
  ],
  ...[
    { width: 1e9, height: 2, data: new Uint8Array(8) },
    { width: 2, height: 2, data: [1] },
    { width: 2, height: 2, data: new Uint8Array(16) },
    { width: Symbol("s"), height: 5n },
    { displayWidth: 5n },
    { naturalWidth: 3, naturalHeight: 3 },
    { data: null },
  ],
  ...[
    { shape: [2, 2], data: new Float32Array(3) },
    { shape: 5, data: new Float32Array(3) },
    { shape: [NaN], data: 5 },
  ],
  ...[
    { name: "n", size: 100, read: async () => 5 },
    { name: "n", tensors: new Map([["a", 5]]) },
    { size: 1e9, read: own },
  ],
  ...[{ build: () => 5 }, { ...node.lenet5, options: null }, { ...node.lenet5, build: () => 5 }],
];

/** Names that options have somewhere. */
const FIELDS = [
  ...[
    "kernel",
    "stride",
    "padding",
    "dilation",
    "groups",
    "activation",
    "relu",
    "dim",
    "dims",
    "outputSize",
    "value",
    "size",
  ],
  ...["batch", "imageSize", "numClasses", "inChannels", "labels", "transforms", "orientation", "weights", "weightsKey"],
  ...[
    "passes",
    "variants",
    "precision",
    "dtype",
    "features",
    "top",
    "signal",
    "onProgress",
    "onLost",
    "outputs",
    "runs",
  ],
  ...[
    "powerPreference",
    "limits",
    "nets",
    "rates",
    "kernelHash",
    "bias",
    "startDim",
    "transfer",
    "worker",
    "interpolation",
  ],
  ...["shape", "data", "name", "read", "tensors", "width", "height", "resize", "crop", "mean", "std"],
];

const picture = () => ({ width: 40, height: 30, data: new Uint8Array(4800).fill(9) });
const TRANSFORMS = { resize: 32, crop: 32, mean: [0.5], std: [0.5] };
const ofTensors = () => new Map([["a", node.tensor([2], [1, 2])]]);
const encoded = node.encodeSafetensors(ofTensors());
const digit = fileURLToPath(new URL("../../../examples/digits/digit-0-a.png", import.meta.url));
const pictures = mkdtempSync(join(tmpdir(), "shadenet-hostile-"));
symlinkSync(dirname(digit), join(pictures, "digits"), "junction");
test.after(() => rmSync(pictures, { recursive: true }));
const file = fileURLToPath(new URL("../../../nets/weights/lenet5.safetensors", import.meta.url));
const spec = () => ({ ...node.relu, name: "own", reflection: undefined });
type Graphed = ReturnType<typeof graphed>;
const graphed = () => {
  const graph = new node.Graph();
  const x = graph.input("x", [2, 3, 8, 8]);
  return { graph, x, y: graph.name("y", node.relu(x)) };
};

/** No plain object, so that it is only exchanged as a whole: what its functions answer is a caller's own affair. */
const HOST: object = Object.create(nodeHost);

/** By its name, or as a definition that may be spoilt. */
const anyLenet = () => (random() < 0.5 ? "lenet5" : node.lenet5);

/** Arguments that are legal, by the subject's name: what is called with one of them spoilt gets further than nonsense does. */
const SOUND: Readonly<Record<string, (graphed: Graphed) => unknown[]>> = {
  arrays: () => [new Float32Array(24), [0, 1], ["cat", "dog"]],
  arraysCheckpoint: () => [{ a: new Float32Array(3) }, "mine"],
  batchNormLayer: ({ x }) => ["bn", x],
  blobSource: () => [new Blob([encoded]), "mine"],
  bytesSource: () => [encoded, "mine"],
  convLayer: ({ x }) => ["conv", x, 4, 3, { padding: 1, bias: true, groups: 1 }],
  decodeImage: () => [readFileSync(digit), "mine", { orientation: "exif" }],
  defineKernel: () => [spec()],
  dropout: ({ x }) => [x],
  encodeSafetensors: () => [ofTensors(), { a: "b" }, "f16"],
  evaluateReference: () => [node.relu, { x: node.tensor([2], [1, 2]) }, {}],
  exportOnnx: () => [anyLenet(), { batch: 2, outputs: ["logits"] }],
  fileSource: () => [file],
  flatten: ({ x }) => [x, { startDim: 1 }],
  imageFolder: () => [pictures, anyLenet(), { skipUnreadable: true, augment: true, batch: 2 }],
  linearLayer: ({ x }) => ["fc", node.flatten(x), 5, { inFeatures: 192, bias: false }],
  loadOnnx: () => [gpu, model, { batch: 1, imageSize: 32 }],
  loadOnnxModel: () => [gpu, model, { shapes: { x: [1, 1, 32, 32] } }],
  makePlan: ({ graph }) => [graph, ["y"], { maxStorageBufferBindingSize: 1e6, maxBufferSize: 1e6 }, "f32"],
  mnist: () => [idx([1, 28, 28], new Uint8Array(784)), idx([1], new Uint8Array(1)), [..."0123456789"]],
  named: ({ x }) => ["name", x],
  openCheckpoint: () => [node.bytesSource(encoded)],
  openGpu: () => [{ powerPreference: "low-power", limits: "default", kernelHash: undefined }],
  "browser.openGpu": () => [{ kernelHash: undefined }, HOST],
  "core.openGpu": () => [{ nets: {}, variants: {}, rates: {} }, HOST],
  openSafetensors: () => [node.bytesSource(encoded)],
  openWorkerGpu: () => [{ worker: startWorker(), powerPreference: "low-power", limits: "adapter" }],
  preprocess: () => [picture(), TRANSFORMS, 1],
  readOnnx: () => [model, gpu.host.open],
  readImage: () => [digit, { orientation: "none" }],
  relu6: ({ x }) => [x],
  resizeImage: () => [picture(), 20, 10, "bicubic"],
  serveGpu: () => [() => gpu, { own: () => 1 }],
  specialize: () => ["const A: u32 = 1;", { A: 2 }],
  sub: ({ x, y }) => [x, y],
  summarize: ({ graph }) => [graph, { maxStorageBufferBindingSize: 1e6, maxBufferSize: 1e6 }],
  tensor: () => [
    [2, 2],
    [1, 2, 3, 4],
  ],
  tune: () => [gpu, anyLenet(), { runs: 1, batch: 1 }],
  "browser.tune": () => [gpu, "lenet5", { runs: 1 }],
  "gpu.definition": () => [anyLenet()],
  "gpu.eager": () => [node.maxPool2d, node.tensor([1, 1, 4, 4], new Float32Array(16)), { kernel: 2 }],
  "gpu.loadOnnx": () => [model, { batch: 1, imageSize: 32 }],
  "gpu.loadNet": () => [
    anyLenet(),
    { weights: "MNIST", batch: 2, imageSize: 32, precision: "strict", dtype: "f32", passes: [] },
  ],
  "onnxModel.run": () => [{ x: new Float32Array(1024) }, ["logits", "conv1"]],
  "onnxModel.plan": () => [["conv1"]],
  "net.run": () => [new Float32Array(1024), { features: ["conv1"], transforms: TRANSFORMS }],
  "net.classify": () => [picture(), { top: 3, transforms: TRANSFORMS }],
  "net.plan": () => [["conv1"]],
  "net.executable": () => [["conv1"]],
  "net.release": () => [["conv1"]],
  "executable.run": () => [{ x: new Float32Array(1024) }, ["logits"]],
  "executable.output": () => ["logits"],
  "graph.input": () => ["in", [1, 2]],
  "graph.param": () => ["p", [2], { sources: ["a"], compute: () => new Float32Array(2) }, "trained"],
  "graph.statistic": () => ["s", [2]],
  "graph.add": ({ x }) => [node.relu, { x }, {}],
  "graph.reshape": ({ x }) => [x, [6, 64]],
  "graph.name": ({ x }) => ["name", x],
  "graph.find": () => ["y"],
  "graph.value": () => [1],
  "graph.root": () => [1],
  "checkpoint.read": () => ["a", 0, 1],
  "checkpoint.readBytes": () => ["a", 0, 1],
  "source.read": () => [0, 8],
  "source.beside": () => ["lenet5.safetensors"],
  "workerGpu.loadNet": () => ["lenet5", { batch: 2, transfer: [] }],
  "workerGpu.call": () => ["loadNet", ["lenet5", {}], {}],
  "workerNet.run": () => [new Float32Array(1024), { features: ["conv1"], transfer: [] }],
  "workerNet.classify": () => [picture(), { top: 3 }],
  "workerNet.profile": () => [{ runs: 1 }],
  "workerNet.call": () => ["profile", [1], {}],
};

const isKernel = (value: unknown): value is AnyKernel => typeof value === "function" && "reflection" in value;

/** Legal arguments: a kernel's from the example that its reference has. */
function soundOf(name: string, value: unknown, graphed: Graphed): readonly unknown[] | undefined {
  if (!isKernel(value)) return SOUND[name]?.(graphed);
  const { shapes, options = {} } = referenceOf(value, references).example;
  return [...Object.entries(shapes).map(([input, shape]) => graphed.graph.input(`its ${input}`, shape)), options];
}

const isClass = (value: Call): boolean => /^class\b/.test(Function.prototype.toString.call(value));

/** What a module exports to be called, once for all modules that export it. */
const exported = new Map<unknown, Subject>();
const names = new Set<string>();
for (const [entry, module] of Object.entries({ node, browser, core, worker, onnx })) {
  for (const [key, value] of Object.entries(module)) {
    if (typeof value !== "function" || exported.has(value)) continue;
    const name = names.has(key) ? `${entry}.${key}` : key;
    names.add(name);
    const call = (isClass(value as Call) ? (...args: []) => new (value as new () => object)(...args) : value) as Call;
    exported.set(value, { name, of: (graphed) => ({ call, sound: soundOf(name, value, graphed) }) });
  }
}

const workerGpu = await worker.openWorkerGpu({ worker: startWorker() });
const OWNERS: Readonly<Record<string, (graphed: Graphed) => object>> = {
  gpu: () => gpu,
  net: () => net,
  onnxModel: () => onnxModel,
  graph: ({ graph }) => graph,
  executable: await net.executable().then((executable) => () => executable),
  checkpoint: await node.openCheckpoint(node.bytesSource(encoded)).then((checkpoint) => () => checkpoint),
  source: await node.fileSource(file).then((source) => () => source),
  workerGpu: () => workerGpu,
  workerNet: await workerGpu.loadNet("lenet5").then((loaded) => () => loaded),
};

function methodsOf(owner: object): string[] {
  const names = new Set<string>();
  for (let at = owner; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at)))
      if (typeof value === "function" && name !== "constructor") names.add(name);
  }
  return [...names];
}

const subjects: Subject[] = [
  ...exported.values(),
  ...Object.entries(OWNERS).flatMap(([owner, of]) =>
    methodsOf(of(graphed())).map((method) => ({
      name: `${owner}.${method}`,
      of: (graphed: Graphed) => {
        const on = of(graphed) as Record<string, Call>;
        return { call: (...args: unknown[]) => on[method](...args), sound: SOUND[`${owner}.${method}`]?.(graphed) };
      },
    })),
  ),
];
const called = subjects.filter(({ name }) => !LEFT_OUT.some(([pattern]) => pattern.test(name)));

const one = <T>(list: readonly T[]): T => list[int(0, list.length - 1)];
const isPlain = (value: unknown): value is object =>
  Object.getPrototypeOf(Object(value)) === Object.prototype && value === Object(value);

/** Legal arguments with one of them, or a part of one, exchanged for what is hostile. */
function spoil(sound: readonly unknown[]): unknown[] {
  const at = int(0, sound.length - 1);
  const given = sound[at];
  const bad = one(HOSTILE);
  const isInside = random() < 0.7;
  if (isInside && isPlain(given)) {
    const key = one(random() < 0.5 ? Object.keys(given).concat("x") : FIELDS);
    return sound.with(at, { ...given, [key]: bad });
  }
  if (isInside && Array.isArray(given) && given.length > 0)
    return sound.with(at, given.with(int(0, given.length - 1), bad));
  return sound.with(at, bad);
}

/** Waits for all that a call begins, and frees what it makes. A promise that never ends fails the call. */
async function perform(name: string, call: Call, args: readonly unknown[]): Promise<void> {
  const { onmessage, postMessage } = inside;
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("has not ended after a minute")), 60_000);
    });
    const made = Object(await Promise.race([call(...args), late]));
    if (Symbol.asyncIterator in made) for await (const _ of made) break;
    if (name.startsWith("net.")) return;
    await made.dispose?.();
    await made.close?.();
  } finally {
    clearTimeout(timer);
    Object.assign(inside, { onmessage, postMessage });
  }
}

/** What is wrong with what a call has thrown, if anything is. */
function problemOf(error: unknown): string | undefined {
  if (error === OWN) return undefined;
  const { name, message, stack } = Object(error) as Error;
  if (!(error instanceof node.ShadenetError) || !error.code)
    return `${name}: ${message?.slice(0, 200)} ${stack?.slice(0, 500)}`;
  return message.length > 2000 ? `${message.length} characters: ${message.slice(0, 200)}` : undefined;
}

const TERSE = { depth: 1, maxStringLength: 50, maxArrayLength: 4 };

const unhandled: unknown[] = [];
process.on("unhandledRejection", (error) => unhandled.push(error));

test("what is called legally answers, so that what is not gets as far", async () => {
  for (const { name, of } of called) {
    const { call, sound } = of(graphed());
    if (sound)
      await perform(name, call, sound).catch((error) => assert.unreachable(`${name}: ${problemOf(error) ?? error}`));
  }
  const names = subjects.map(({ name }) => name);
  for (const name of Object.keys(SOUND)) assert.ok(names.includes(name), `there is no ${name}`);
  for (const [pattern] of LEFT_OUT)
    assert.ok(
      names.some((name) => pattern.test(name)),
      `there is no ${pattern}`,
    );
});

const each = Math.ceil(CALLS / called.length);
for (const { name, of } of called) {
  test(`${name}: ${each} hostile calls`, async () => {
    for (let i = 0; i < each; i++) {
      const { call, sound } = of(graphed());
      const args =
        sound?.length && random() < 0.7 ? spoil(sound) : Array.from({ length: int(0, 3) }, () => one(HOSTILE));
      const problem = await perform(name, call, args).then(() => undefined, problemOf);
      if (problem)
        assert.unreachable(
          `${name}(${args
            .map((arg) => inspect(arg, TERSE))
            .join(", ")
            .slice(0, 600)}) throws ${problem}`,
        );
    }
  });
}

test("nothing is left: no rejection that nobody hears of, no buffers", async () => {
  await net.release();
  workerGpu.close();
  net.dispose();
  onnxModel.dispose();
  await idle();
  assert.equal(unhandled.map(problemOf), []);
  assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
});

test.run();
