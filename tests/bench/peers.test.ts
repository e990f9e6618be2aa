import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { HARDWARE, launchInstalled } from "../../bench/browser/launch.ts";
import { serve, text } from "../../bench/browser/server.ts";
import { startInPage } from "../../bench/peers/browser.ts";
import { compareNet, type Setting } from "../../bench/peers/compare.ts";
import {
  type Contender,
  contendersOf,
  type EngineName,
  IN_BROWSER,
  IN_NODE,
  type Job,
  nameOf,
  namesOf,
} from "../../bench/peers/engines.ts";
import {
  checkOperators,
  type Dialect,
  evaluate,
  loadParams,
  splitGroups,
  traceForPeer,
  traceNamed,
} from "../../bench/peers/graph.ts";
import { randomInput } from "../../bench/peers/input.ts";
import * as jaxJs from "../../bench/peers/jax_js.ts";
import { missingPackages } from "../../bench/peers/packages.ts";
import { padWidths, poolWidths, sliceStart } from "../../bench/peers/places.ts";
import { WorkerProcess } from "../../bench/peers/process.ts";
import {
  agreements,
  difference,
  LOGITS,
  type PeerRow,
  progressOf,
  rotated,
  statistics,
  TOLERANCE,
  table,
} from "../../bench/peers/results.ts";
import * as tfjs from "../../bench/peers/tfjs.ts";
import { elementsOf, isSame, recordTflite } from "../../bench/peers/tflite.ts";
import { peersCommand } from "../../bench/peers.ts";
import { Graph } from "../../engine/graph/graph.ts";
import type { Pass } from "../../engine/graph/passes.ts";
import { sizeOf, type Tensor } from "../../engine/ground/tensor.ts";
import { fileSource } from "../../engine/node/files.ts";
import { encodeSafetensors, exportOnnx } from "../../index.ts";
import * as kernels from "../../kernels/index.ts";
import { poolGeometry } from "../../kernels/pool2d/geometry.ts";
import { evaluateReference } from "../../kernels/references.ts";
import { nets } from "../../nets/index.ts";
import { packageFile } from "../../tools/package.ts";
import { assertFails, inFolder, inProcess, shadenet } from "../cli/harness.ts";
import { encodeModel, type ModelInit } from "../engine/onnx/models.ts";
import { assertOutputs, drawPool, inDepth, int, randomTensors, rounds, someOf } from "../harness.ts";

// The peers are not installed where tests run: what is tested is all that is ours, with an engine that fails beside it.

const BENCH = packageFile("dist/bench/peers.js");

test("engines agree with the first other one that is close to them", () => {
  const outputs = new Map([
    ["a", [1, -1, 2, -2]],
    ["b", [1, -1, 2, -2 + TOLERANCE]],
    ["c", [1, -1, 2.1, -2]],
    ["d", [1, -1, Number.NaN, -2]],
  ]);
  const found = agreements(outputs, LOGITS);
  assert.equal(found.get("a"), { agreesWith: "b" });
  assert.equal(found.get("b"), { agreesWith: "a" });
  assert.is(found.get("c")?.agreesWith, null);
  assert.match(
    found.get("c")?.error ?? "",
    /0\.063 of the rms away from the nearest, those of [ab]; 0\.0001 is allowed/,
  );
  assert.match(found.get("d")?.error ?? "", /Infinity of the rms/);
  assert.equal(agreements(new Map([["a", [1, 2]]]), LOGITS).get("a"), { agreesWith: null });
  assert.is(difference([1, 2], [1, 2, 3]), Infinity);
  assert.is(difference([3, 5], [3, 4]), 1 / Math.sqrt(12.5));
});

test("measuring ends after the turns that are wanted and the time of the slowest engine", () => {
  const effort = { turns: 4, seconds: 2 };
  const runs = (count: number, ms: number) => new Array<number>(count).fill(ms);
  assert.is(progressOf(0, [[], []], effort), 0);
  assert.is(progressOf(4, [runs(4, 250), runs(8, 100)], effort), 0.5);
  assert.is(progressOf(4, [runs(4, 500), runs(8, 100)], effort), 1);
  assert.is(progressOf(3, [runs(3, 5000), runs(6, 100)], effort), 0.75);
  assert.is(progressOf(0, [], effort), 1);
});

test("every engine is the first in turn", () => {
  assert.equal(rotated(["a", "b", "c"], 0), ["a", "b", "c"]);
  assert.equal(rotated(["a", "b", "c"], 4), ["b", "c", "a"]);
});

test("statistics are of all runs, and nothing where there are none", () => {
  assert.equal(statistics([3, 1, 10, 2]), { medianMs: 2.5, minMs: 1, runs: 4 });
  assert.equal(statistics([]), { medianMs: null, minMs: null, runs: 0 });
});

test("the table has every engine's times in units of ours, and errors", () => {
  const row: PeerRow = {
    engine: "shadenet",
    provider: "webgpu",
    version: "1",
    adapter: "none",
    net: "lenet5",
    batch: 1,
    coldMs: 1000,
    medianMs: 50,
    minMs: 40,
    runs: 5,
    agreesWith: "tfjs",
  };
  const other: PeerRow = { ...row, engine: "tfjs", coldMs: 2500, medianMs: 612.4, agreesWith: "shadenet" };
  const failed: PeerRow = { ...row, engine: "jax-js", coldMs: null, ...statistics([]), agreesWith: null, error: "oh" };
  const lines = table([row, other, failed, { ...other, net: "vgg16" }], nameOf);
  assert.match(lines[1], /^lenet5 +shadenet +1,000 +1\.0 x +50\.0 +1\.0 x +40\.0 +5 +tfjs$/);
  assert.match(lines[2], /^ +tfjs +2,500 +2\.5 x +612 +12 x /);
  assert.match(lines[3], /^ +jax-js +- +- +- +- +- +0 +not timed: oh$/);
  assert.match(lines[4], /^vgg16 +tfjs +2,500 +- +612 +- /);
});

test("contenders are engines on their providers, and packages that are missing are named", async () => {
  assert.equal(contendersOf(IN_NODE, ["onnxruntime", "shadenet"]).map(nameOf), [
    "shadenet",
    "onnxruntime webgpu",
    "onnxruntime cpu",
  ]);
  assert.equal(contendersOf(IN_BROWSER, ["litert", "onnxruntime", "tfjs"]).map(nameOf), [
    "onnxruntime webgpu",
    "onnxruntime wasm",
    "tfjs",
    "litert webgpu",
    "litert wasm",
  ]);
  const empty = await mkdtemp(inFolder("peers-"));
  const names: EngineName[] = ["onnxruntime", "jax-js"];
  assert.equal(missingPackages(IN_NODE, ["shadenet"], empty), []);
  assert.equal(missingPackages(IN_NODE, names, empty), ["onnxruntime-node", "@jax-js/jax"]);
  assert.equal(missingPackages(IN_BROWSER, names, empty), ["onnxruntime-web", "@jax-js/jax"]);
  await mkdir(`${empty}/node_modules/@jax-js/jax`, { recursive: true });
  await writeFile(`${empty}/node_modules/@jax-js/jax/package.json`, "{}");
  assert.equal(missingPackages(IN_NODE, names, empty), ["onnxruntime-node"]);
});

/** The references of our kernels as an engine. */
const references: Dialect<Tensor> = {
  engine: "the references",
  reshape: ({ data }, shape) => ({ shape, data }),
  operators: Object.fromEntries(
    Object.values(kernels).flatMap((kernel) => {
      if (!("reflection" in kernel)) return [];
      return [
        [
          kernel.name,
          (inputs, { options }) => {
            const { shape, data } = evaluateReference(kernel, inputs, options);
            return { shape, data: Float32Array.from(data) };
          },
        ],
      ];
    }),
  ),
};

const jobOf = (shape: readonly number[], maxBinding: number): Job => ({
  engine: "tfjs",
  provider: "webgpu",
  net: "lenet5",
  shape,
  weights: inFolder("lenet5.safetensors"),
  model: "",
  tflite: "",
  batch: "",
  maxBinding,
  software: true,
});

test("a peer's graph computes what the net does, with its linear layers in as many parts as a binding needs", async () => {
  const shape = [2, 1, 32, 32];
  const graph = traceNamed("lenet5", 2);
  const tensors = randomTensors(graph);
  const params = Object.entries(tensors).filter(([name]) => name !== "x");
  await writeFile(inFolder("lenet5.safetensors"), encodeSafetensors(new Map(params)));
  for (const maxBinding of [2 ** 27, 10_000]) {
    const job = jobOf(shape, maxBinding);
    const traced = traceForPeer(job);
    const largest = traced.nodes.map((node) => (node.kind === "param" ? 4 * sizeOf(node.shape) : 0));
    // Convolutions stay whole: one of 120 x 16 x 5 x 5.
    const linear = traced.nodes.filter((node) => node.kind === "param" && node.shape.length === 2);
    assert.is(linear.length, maxBinding === 10_000 ? 6 : 2);
    assert.ok(linear.every((node) => 4 * sizeOf(node.shape) <= maxBinding));
    assert.is(Math.max(...largest), 4 * 120 * 16 * 5 * 5);
    const uses = new Set<string>();
    const loaded = await loadParams(traced, await fileSource(job.weights), ({ use, shape, data }) => {
      uses.add(use);
      return { shape, data };
    });
    assert.equal([...uses].sort(), ["conv2d.b", "conv2d.w", "linear.b", "linear.w"]);
    const logits = evaluate(traced, tensors.x, loaded, references);
    assertOutputs({ logits }, graph, ["logits"], tensors);
  }
});

test("a TensorFlow Lite model has a net's operators, with weights in its layouts", async () => {
  const shape = [2, 1, 32, 32];
  const tensors = randomTensors(traceNamed("lenet5", 2));
  const params = Object.entries(tensors).filter(([name]) => name !== "x");
  await writeFile(inFolder("tflite.safetensors"), encodeSafetensors(new Map(params)));
  const job = jobOf(shape, 2 ** 27);
  const { operators, input, output } = await recordTflite(job, await fileSource(inFolder("tflite.safetensors")));
  const layers = operators.filter(({ code }) => ["CONV_2D", "FULLY_CONNECTED"].includes(code.name));
  assert.equal(
    layers.map(({ code, output }) => [code.name, output.shape]),
    [
      ["CONV_2D", [2, 28, 28, 6]],
      ["CONV_2D", [2, 10, 10, 16]],
      ["CONV_2D", [2, 1, 1, 120]],
      ["FULLY_CONNECTED", [2, 84]],
      ["FULLY_CONNECTED", [2, 10]],
    ],
  );
  assert.equal(
    [input.shape, output.shape],
    [
      [2, 32, 32, 1],
      [2, 10],
    ],
  );
  // What an operator reads is the input, a constant, or made before.
  const known = new Set([input]);
  for (const { inputs, output } of operators) {
    for (const x of inputs) assert.ok(known.has(x) || elementsOf(x).length === sizeOf(x.shape));
    known.add(output);
  }
  assert.ok(known.has(output));
  const weights = params.map(([, tensor]) => tensor).filter(({ shape }) => shape.length > 1);
  for (const [
    i,
    {
      inputs: [, w],
    },
  ] of layers.entries()) {
    const {
      shape: [o, c, h = 1, wide = 1],
      data,
    } = weights[i];
    assert.equal(w.shape, i < 3 ? [o, h, wide, c] : [o, c]);
    const place = [int(0, o - 1), int(0, c - 1), int(0, h - 1), int(0, wide - 1)];
    const at = (shape: readonly number[], index: readonly number[]) =>
      index.reduce((sum, each, d) => sum * shape[d] + each, 0);
    const [y, x, row, column] = place;
    const got = elementsOf(w)[at([o, h, wide, c], [y, row, column, x])];
    assert.is(got, data[at([o, c, h, wide], place)]);
  }
});

test("padding is TensorFlow's SAME only where that puts as many zeros on each side", () => {
  const [even, odd] = [112, 113];
  const around = (n: number): [number, number][] => [
    [n, n],
    [n, n],
  ];
  assert.ok(isSame([even, odd], [3, 3], [1, 1], around(1)));
  assert.ok(isSame([odd, odd], [3, 3], [2, 2], around(1)));
  assert.not(isSame([even, even], [3, 3], [2, 2], around(1)));
  assert.ok(
    isSame(
      [even, even],
      [3, 3],
      [2, 2],
      [
        [0, 1],
        [0, 1],
      ],
    ),
  );
  assert.not(isSame([odd, odd], [5, 5], [1, 1], around(1)));
  assert.not(isSame([odd, odd], [7, 3], [1, 1], around(1)));
  assert.ok(
    isSame(
      [odd, odd],
      [7, 3],
      [1, 1],
      [
        [3, 3],
        [1, 1],
      ],
    ),
  );
});

/** What computes nothing, for dialects of engines that are not installed. */
// biome-ignore lint/suspicious/noExplicitAny: stands for the functions of an engine
const nothing: any = new Proxy({}, { get: () => nothing });

const DIALECTS: readonly (readonly [Dialect<never>, readonly Pass[]])[] = [
  [tfjs.dialectOf(nothing), tfjs.PASSES],
  [jaxJs.dialectOf(nothing), []],
] as never;

test("every engine has every operator of every net, with the options that nets set", () => {
  for (const net of someOf(Object.keys(nets), 2)) {
    const graph = traceForPeer({ ...jobOf([1], 2 ** 27), net });
    for (const [dialect, own] of DIALECTS) {
      checkOperators(
        own.reduce((all, pass) => pass(all, ["logits"]), graph),
        dialect,
      );
    }
  }
});

test("an operator, or an option, that an engine has not is told with what it has", () => {
  const graph = new Graph();
  const x = graph.input("x", [1, 4, 6, 6]);
  const { relu } = references.operators;
  const poor = { ...references, engine: "poor", operators: { relu } };
  graph.name("logits", kernels.softmax(x, { dim: 1, log: true }));
  assert.throws(() => checkOperators(graph, poor), /has no softmax for poor; it has relu$/);
  assert.throws(() => checkOperators(graph, references), /has no softmax with log true for the references$/);
});

test("a convolution with groups of several channels is one for each group", () => {
  const graph = new Graph();
  const x = graph.input("x", [2, 6, 5, 5]);
  const param = (name: string, ...shape: number[]) => graph.param(name, shape);
  const options = { groups: 3, padding: 1, activation: "relu6" } as const;
  const y = kernels.conv2d(x, param("w", 9, 2, 3, 3), param("b", 9), options);
  graph.name("logits", kernels.conv2d(y, param("depthwise", 9, 1, 3, 3), { groups: 9 }));
  const split = splitGroups(graph, ["logits"]);
  const groups = split.nodes.flatMap((node) =>
    node.kind === "op" && "groups" in node.options ? [node.options.groups] : [],
  );
  assert.equal(groups, [1, 1, 1, 9]);
  const tensors = randomTensors(graph);
  const params = split.nodes.map((node, id): [number, Tensor] => {
    if (node.kind !== "param") return [id, tensors.x];
    const { sources, compute } = node.from ?? { sources: [node.name], compute: (data: Float32Array) => data };
    return [id, { shape: node.shape, data: compute(...sources.map((name) => tensors[name].data)) }];
  });
  const logits = evaluate(split, tensors.x, new Map(params), references);
  assertOutputs({ logits }, graph, ["logits"], tensors);
});

test("the widths around an image give the size that is wanted without rounding up", () => {
  for (let i = 0; i < rounds(100); i++) {
    const { x, options } = drawPool();
    const pool = poolGeometry("maxpool2d", options);
    const y = new Graph().input("x", x);
    const shape = kernels.maxPool2d(y, options).shape;
    for (const [d, [before, behind]] of poolWidths(pool, x, shape).entries()) {
      assert.is(before, pool.padding[d]);
      const windows = (x[d + 2] + before + behind - pool.kernel[d]) / pool.stride[d] + 1;
      assert.is(Math.floor(windows), shape[d + 2]);
    }
  }
  const widths = (padding: number | number[], y: number[]) => padWidths(padding, [2, 3, 5, 6], [2, 3, ...y]).slice(2);
  assert.equal(widths(1, [7, 8]), [
    [1, 1],
    [1, 1],
  ]);
  assert.equal(widths([1, 2], [7, 10]), [
    [1, 1],
    [2, 2],
  ]);
  assert.equal(widths([0, 1, -2, 3], [3, 10]), [
    [0, -2],
    [1, 3],
  ]);
  assert.equal(
    [2, -2, -9].map((start) => sliceStart(start, 5)),
    [2, 3, 0],
  );
});

test("the input is the same in every process, and differs from place to place", () => {
  const { data } = randomInput([2, 3, 70, 50]);
  assert.equal(randomInput([2, 3, 70, 50]).data, data);
  assert.ok(data.every((value) => Math.abs(value) <= 1.75));
  assert.ok(new Set(data).size > 0.9 * data.length);
});

/** Starts a program of some lines as a worker. */
async function work(lines: string, timeout = 60, signal = new AbortController().signal): Promise<WorkerProcess> {
  const path = `${await mkdtemp(inFolder("worker-"))}/worker.mjs`;
  await writeFile(path, `import { readSync, writeFileSync } from "node:fs";\n${lines}`);
  return new WorkerProcess(pathToFileURL(path), { n: 7 }, { timeout, signal });
}

/** The message with which a worker fails to answer. */
async function failure(worker: WorkerProcess): Promise<string> {
  const message = await worker.answer().then(
    () => "",
    (error: Error) => error.message,
  );
  await worker.stop();
  return message;
}

test("a worker answers when it is asked", async () => {
  const worker = await work(`
    let { n } = JSON.parse(process.argv[2]);
    console.log("talk that is nobody's business");
    do writeFileSync(3, JSON.stringify({ n: n++ }) + "\\n"); while (readSync(0, new Uint8Array(1)) > 0);
  `);
  assert.equal(await worker.answer(), { n: 7 });
  assert.equal(await worker.ask(), { n: 8 });
  await worker.stop();
  await worker.stop();
});

test("a worker that fails, crashes, is killed or hangs says so", async () => {
  const told = await work(`writeFileSync(3, JSON.stringify({ error: "no\\nluck" }) + "\\n"); process.exit(1);`);
  assert.is(await failure(told), "no luck");
  const thrown = await work(`throw new Error("it broke");`);
  assert.match(await failure(thrown), /^ended with exit code 1: Error: it broke$/);
  const crashed = await work(`process.kill(process.pid, "SIGSEGV");`);
  assert.is(await failure(crashed), "ended with SIGSEGV");
  const killed = await work(`process.kill(process.pid, "SIGKILL");`);
  assert.is(await failure(killed), "was killed (out of memory?)");
  const hung = await work("setInterval(() => {}, 1000);", 0.2);
  assert.is(await failure(hung), "gave no answer within 0.2 s");
  const silent = await work("");
  assert.is(await failure(silent), "ended with exit code 0");
  await silent.ask().then(
    () => assert.unreachable("a worker that is gone has answered"),
    ({ message }: Error) => assert.is(message, "ended with exit code 0"),
  );
});

test("an abort kills a worker", async () => {
  const stop = new AbortController();
  const worker = await work("setInterval(() => {}, 1000);", 60, stop.signal);
  const message = failure(worker);
  stop.abort();
  assert.match(await message, /^was killed/);
});

inDepth("an engine that fails is told, the others are measured, and no file is left", async () => {
  const folder = await mkdtemp(inFolder("net-"));
  const contenders: Contender[] = [
    { engine: "jax-js", provider: "webgpu" },
    { engine: "shadenet", provider: "webgpu" },
  ];
  const [timeout, { signal }] = [120, new AbortController()];
  const setting: Setting = {
    contenders,
    folder,
    base: folder,
    cold: 2,
    turns: 1,
    seconds: 0.1,
    timeout,
    maxBinding: 2 ** 27,
    software: true,
    // Not installed, or without an adapter: jax-js fails.
    start(job) {
      const env: Record<string, string> = job.engine === "jax-js" ? { SHADENET_ADAPTER: "none" } : {};
      return new WorkerProcess(new URL("../../bench/peers/child.js", import.meta.url), job, { env, timeout, signal });
    },
    signal,
  };
  const shares: number[] = [];
  const [failed, ours] = await compareNet({ net: "lenet5", shape: [1, 1, 32, 32] }, setting, (share) => {
    shares.push(share);
  });
  assert.match(failed.error ?? "", /Cannot find module|no device/);
  assert.equal(failed.times, []);
  assert.is(failed.coldMs, null);
  assert.is(ours.error, undefined);
  assert.is(ours.agreesWith, null);
  assert.ok((ours.coldMs ?? 0) > 0 && ours.times.length >= 2);
  assert.is(shares.at(-1), 1);
  assert.equal(
    shares,
    [...shares].sort((a, b) => a - b),
  );
  assert.equal(await readdir(folder), []);
});

const parts: Uint8Array[] = [];
for await (const part of exportOnnx("lenet5")) parts.push(part);
const lenet = Buffer.concat(parts);
await writeFile(inFolder("lenet.onnx"), lenet);
const tokens: ModelInit = { inputs: { x: ["N", 7] }, outputs: ["y"], nodes: [["Relu", ["x"], ["y"]]] };
await writeFile(inFolder("tokens.onnx"), encodeModel(tokens));

test("what is wrong is told before anything is measured", async () => {
  const only = ["--engines", "shadenet"];
  const cases: (readonly [string[], number, RegExp, Record<string, string>?])[] = [
    [["--nets", "lenet5,lenet6", ...only], 2, /no net "lenet6"; there are lenet5, alexnet, .*resnet152/],
    [["--engines", "shadenet,torch"], 2, /no engine "torch"; there are shadenet, onnxruntime, tfjs, jax-js$/],
    [["--onnx", "lenet.onnx", "--engines", "tfjs"], 2, /no engine "tfjs"; there are shadenet, onnxruntime$/],
    [["--onnx", "lenet.onnx", "--browser"], 2, /--onnx is for Node: leave out --browser/],
    [["--onnx", "tokens.onnx", ...only], 2, /tokens\.onnx takes no images alone/],
    [["--onnx", "none.onnx", ...only], 1, /cannot read .*none\.onnx: there is no such file/],
    [["--engines", "litert"], 2, /no engine "litert"; there are shadenet, onnxruntime, tfjs, jax-js$/],
    [["--engines", "torch", "--browser"], 2, /no engine "torch"; there are shadenet, .*, jax-js, litert$/],
    [["--batch", "0", ...only], 2, /'--batch <n>' argument '0' is invalid/],
    [["--json", "no/such/folder.json", ...only], 1, /cannot write no\/such\/folder.json: its folder does not exist/],
    [["--json", ".", ...only], 1, /cannot write \.: it is a folder/],
    [only, 1, /there is no WebGPU adapter/, { SHADENET_ADAPTER: "none" }],
    [
      ["--browser", ...only],
      1,
      /no browser can be used: .*nowhere; SHADENET_BROWSER=PATH names/,
      { SHADENET_BROWSER: "/nowhere" },
    ],
    [["--nets", "lenet5", ...only], 1, /cannot write the files of lenet5|ENOENT/, { TMPDIR: inFolder("nowhere") }],
  ];
  for (const [engines, args] of [[IN_NODE, []] as const, [IN_BROWSER, ["--browser"]] as const]) {
    if (missingPackages(engines, namesOf(engines)).length === 0) continue;
    cases.push([[...args], 1, /not installed: run npm ci --prefix bench\/peers$/]);
  }
  for (const [args, code, message, env] of cases) {
    assertFails(await shadenet(args, { program: peersCommand, env }), code, message);
  }
});

inDepth("a run writes its rows, prints its table, and leaves nothing behind", async () => {
  const TMPDIR = await mkdtemp(inFolder("tmp-"));
  const args = ["--nets", "lenet5", "--batch", "2", "--engines", "shadenet"];
  args.push("--turns", "2", "--seconds", "0.1", "--cold", "1");
  const { code, stdout, errors } = await inProcess([...args, "--json", "rows.json"], { main: BENCH, env: { TMPDIR } });
  assert.equal(errors, []);
  assert.is(code, 0);
  assert.match(stdout, /shadenet \d.*\n\nNet +Engine .*\nlenet5, batch 2 +shadenet .* none compared\n$/);
  const [row, ...rest] = JSON.parse(await readFile(inFolder("rows.json"), "utf8"));
  assert.is(rest.length, 0);
  const { coldMs, medianMs, minMs, runs, version, adapter, ...fixed } = row;
  assert.equal(fixed, { engine: "shadenet", provider: "webgpu", net: "lenet5", batch: 2, agreesWith: null });
  assert.ok(coldMs > 0 && minMs > 0 && medianMs >= minMs && runs >= 2);
  assert.ok(version && adapter);
  assert.equal(await readdir(TMPDIR), []);
});

inDepth("a model in place of a net, which stays where it is", async () => {
  const TMPDIR = await mkdtemp(inFolder("tmp-"));
  const args = ["--onnx", "lenet.onnx", "--batch", "3", "--engines", "shadenet", "--cold", "1", "--json", "rows.json"];
  args.push("--turns", "1", "--seconds", "0.1");
  const { code, stdout, errors } = await inProcess(args, { main: BENCH, env: { TMPDIR } });
  assert.equal([code, errors], [0, []]);
  assert.match(stdout, /\nlenet, batch 3 +shadenet .* none compared\n$/);
  const [row] = JSON.parse(await readFile(inFolder("rows.json"), "utf8"));
  assert.equal([row.net, row.batch, row.error, row.runs > 0], ["lenet", 3, undefined, true]);
  assert.equal(await readdir(TMPDIR), []);
  assert.equal(await readFile(inFolder("lenet.onnx")), lenet);
});

const launched = await launchInstalled({ args: HARDWARE });
if (typeof launched !== "string") await launched.browser.close();
const inBrowser = typeof launched === "string" ? test.skip : inDepth;

for (const [what, engines] of [
  ["shadenet alone", ["shadenet"]] as const,
  ["LiteRT.js", ["shadenet", "litert"]] as const,
]) {
  const run = missingPackages(IN_BROWSER, engines).length > 0 ? test.skip : inBrowser;
  run(`a run in a browser: ${what}`, async () => {
    const TMPDIR = await mkdtemp(inFolder("tmp-"));
    const args = ["--browser", "--nets", "lenet5", "--engines", engines.join(","), "--turns", "1", "--seconds", "0.1"];
    const { code, stdout, errors } = await inProcess([...args, "--cold", "1", "--json", "rows.json"], {
      main: BENCH,
      env: { TMPDIR },
    });
    assert.equal(errors, []);
    assert.is(code, 0);
    assert.match(stdout, /Chromium \d.*\n/);
    const rows: PeerRow[] = JSON.parse(await readFile(inFolder("rows.json"), "utf8"));
    assert.equal(rows.map(nameOf), contendersOf(IN_BROWSER, engines).map(nameOf));
    for (const { error, runs, browser, agreesWith } of rows) {
      assert.is(error, undefined);
      assert.ok(runs > 0);
      assert.match(browser ?? "", /^Chromium \d/);
      assert.is(agreesWith === null, rows.length === 1);
    }
    assert.equal(await readdir(TMPDIR), []);
  });
}

inBrowser("a page that hangs or fails says so, and its browser ends", async () => {
  const page = `<script>window.inPage = { first() { for (;;); }, turn: () => ({ error: "no\\nluck" }) }</script>`;
  const server = await serve(inFolder(""), { "/": text("text/html", page) });
  const { options } = launched as Exclude<typeof launched, string>;
  const { signal } = new AbortController();
  const places = [120, 1].map((timeout) =>
    startInPage(options, server.origin, jobOf([1, 1, 32, 32], 1), { timeout, signal }),
  );
  const messages = await Promise.all(
    [places[0].ask(), places[1].answer()].map((answer) =>
      answer.then(
        () => "",
        ({ message }: Error) => message,
      ),
    ),
  );
  assert.equal(messages, ["no luck", "gave no answer within 1 s"]);
  await Promise.all(places.map((place) => place.stop()));
  server.close();
});

for (const place of ["Node", "a browser"]) {
  (place === "Node" ? test : inBrowser)(`Ctrl-C ends it at once in ${place}, with nothing left behind`, () =>
    interrupt(place === "Node" ? [] : ["--browser"]),
  );
}

async function interrupt(where: readonly string[]): Promise<void> {
  const TMPDIR = await mkdtemp(inFolder("tmp-"));
  const args = ["--nets", "alexnet", "--engines", "shadenet", ...where];
  const env = { ...process.env, TMPDIR };
  const child = spawn(process.execPath, [BENCH, ...args], { env, stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  const ended = once(child, "close");
  // Its folder is there as soon as it has begun.
  while ((await readdir(TMPDIR)).length === 0) await sleep(20);
  child.kill("SIGINT");
  assert.equal(await ended, [130, null]);
  assert.is(stdout, "");
  assert.equal(await readdir(TMPDIR), []);
}

test.run();
