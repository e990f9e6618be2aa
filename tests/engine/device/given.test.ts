// What a program gives and a device takes: Dawn ends the process over some of it, and takes other things in silence.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GpuError, ShapeError, UsageError, WeightsError } from "../../../engine/ground/errors.ts";
import { type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import * as node from "../../../index.ts";
import { idle, open, random, refuses } from "../../harness.ts";

const gpu = await open();

/** x [1, 4] times w [2, 4], plus b [2]: a net as small as they come. */
const linearNet = (w: (graph: node.Graph) => node.Value = (graph) => graph.param("w", [2, 4])) => ({
  ...node.lenet5,
  name: "linear",
  options: { inChannels: 1, numClasses: 2 },
  imageSize: [2, 2] as const,
  build: (x: node.Value) => node.linear(node.flatten(x), w(x.graph), x.graph.param("b", [2])),
});
const x = Float32Array.of(1, 2, 3, 4);
const weights = (): Record<"w" | "b", Tensor> => ({
  w: tensor([2, 4], [1, 0, 0, 0, 0, 1, 0, 1]),
  b: tensor([2], [0, 10]),
});
const WANTED = [1, 16];

async function logitsOf(net: node.Net, input = x): Promise<number[]> {
  const { logits } = await net.run(input);
  net.dispose();
  return [...logits.data];
}

async function assertNothingLeft(): Promise<void> {
  await idle();
  assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
}

test("memory that can be resized, or is shared and grows, is taken as any other", async () => {
  const growable = { maxByteLength: 64 };
  const buffers: ArrayBuffer[] = [ArrayBuffer, SharedArrayBuffer].map((kind) =>
    Reflect.construct(kind, [32, growable]),
  );
  for (const buffer of buffers) {
    const data = new Float32Array(buffer);
    data.set(weights().w.data);
    const input = new Float32Array(buffer.slice(0, 16));
    input.set(x);
    const net = await gpu.loadNet(linearNet(), { weights: { ...weights(), w: { shape: [2, 4], data } } });
    assert.equal(await logitsOf(net, input), WANTED);
  }
});

test("weights that are taken away while they load are missed", async () => {
  const given = weights();
  const { buffer } = given.w.data;
  const loading = gpu.loadNet(linearNet(), {
    weights: {
      ...node.arraysCheckpoint(given),
      read: async (name, ...range) => {
        structuredClone(buffer, { transfer: buffer.byteLength > 0 ? [buffer] : [] });
        return node.arraysCheckpoint({ b: given.b, w: given.w }).read(name, ...range);
      },
    },
  });
  await refuses(() => loading, WeightsError, "WEIGHTS", /"w" of the given arrays has shape \[2,4\] but 0 elements/);
  const early = weights();
  const checkpoint = node.arraysCheckpoint(early);
  structuredClone(early.w.data.buffer, { transfer: [early.w.data.buffer] });
  await refuses(
    () => checkpoint.read("w"),
    WeightsError,
    "WEIGHTS",
    /"w" of the given arrays has shape \[2,4\] but 0 elements/,
  );
  await assertNothingLeft();
});

test("a checkpoint or a derivation of one's own that gives something else is refused", async () => {
  for (const odd of [
    undefined,
    null,
    5,
    Symbol("s"),
    [1],
    new Float32Array(7),
    new Float32Array(900),
    new Float64Array(8),
  ]) {
    const got = odd instanceof Float32Array ? odd.length : 0;
    const message = new RegExp(`"w" of .* came with ${got} floats; wanted 8`);
    const read = async (name: string) => (name === "w" ? (odd as Float32Array) : weights().b.data);
    const checkpoint = { ...node.arraysCheckpoint(weights()), read };
    await refuses(() => gpu.loadNet(linearNet(), { weights: checkpoint }), WeightsError, "WEIGHTS", message);
    const derived = (given: Tensor) =>
      gpu.eager((y: node.Value) => {
        const sources = ["input 0"];
        return node.add(y, y.graph.param("w", [8], { sources, compute: () => odd as Float32Array }));
      }, given);
    await refuses(() => derived(tensor([8], new Float32Array(8))), WeightsError, "WEIGHTS", message);
  }
  await assertNothingLeft();
  const from = { sources: 5, compute: 5 } as unknown as node.Derivation;
  const run = () => gpu.eager((y: node.Value) => node.add(y, y.graph.param("p", [4], from)), tensor([4], x));
  await refuses(run, UsageError, "USAGE", /parameter "p" is .* must be something with sources \(object\)/);
});

const own = (spec: Partial<node.KernelSpec<"x", object>>) =>
  node.defineKernel({ ...node.relu, name: "own", ...spec } as node.KernelSpec<"x", object>);

test("a grid that no device dispatches is refused", async () => {
  for (const grid of [[65536, 1, 1], [NaN, 1, 1], [-1, 1, 1], [1.5, 1, 1], [1, 1], null, "abc", [1, 1, 5n]]) {
    const kernel = own({ grid: () => grid as [number, number, number] });
    await refuses(
      () => gpu.eager(kernel, tensor([4], x)),
      UsageError,
      "USAGE",
      /the grid of own is .*three integers up to 65535/,
    );
  }
});

test("a source that does not compile is told of in short", async () => {
  const wgsl = `${node.relu.wgsl}\n${"y".repeat(1e5)}`;
  const error = await gpu.eager(own({ wgsl }), tensor([4], x)).catch((reason) => reason);
  assert.instance(error, GpuError);
  assert.is(error.code, "SHADER");
  assert.ok(error.message.length < 2000, `${error.message.length} characters`);
});

test("names of any letters are labels; what is no text ends no process", async () => {
  for (const name of ["", "\0", "\ud800", "a\nb", "y".repeat(1e5)]) {
    const net = linearNet((graph) => graph.param(`${name}w`, [2, 4]));
    const { w, b } = weights();
    assert.equal(await logitsOf(await gpu.loadNet(net, { weights: { [`${name}w`]: w, b } })), WANTED);
  }
  const label = Symbol("s") as unknown as string;
  for (const call of [
    () => gpu.createBuffer(label, 16, 128),
    async () => gpu.pipeline(label, `fn f${random()}() {}`, []),
  ])
    assert.instance(await call().catch((error) => error), TypeError);
});

test("sizes beyond all devices are refused at once", async () => {
  const huge = { maxStorageBufferBindingSize: 1e6, maxBufferSize: 1e6 };
  const graph = new node.Graph();
  const x = graph.input("x", [2]);
  graph.param("w", [2 ** 51, 2]);
  graph.name("y", node.relu(x));
  await refuses(
    () => node.makePlan(graph, ["y"], huge),
    GpuError,
    "LIMIT",
    /a row of "w" needs .*; the device binds at most/,
  );
  await refuses(() => gpu.loadNet("lenet5", { batch: 999_999_937 }), ShapeError, "SHAPE", /batch is 999999937/);
});

test("a load that is aborted in the end leaves nothing", async () => {
  const stop = new AbortController();
  const onProgress = () => stop.abort("enough");
  const error = await gpu
    .loadNet(linearNet(), { weights: weights(), signal: stop.signal, onProgress })
    .catch((reason) => reason);
  assert.is(error, "enough");
  await assertNothingLeft();
});

test.run();
