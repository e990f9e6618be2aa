import { test } from "uvu";
import * as assert from "uvu/assert";
import { defineKernel } from "../../../engine/graph/checked.ts";
import { referenceOf } from "../../../engine/graph/evaluate.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import { type AnyKernel, completeOptions, linearGrid, MAX_WORKGROUPS } from "../../../engine/graph/kernel.ts";
import { packParams, specialize } from "../../../engine/graph/wgsl.ts";
import { GpuError, UsageError } from "../../../engine/ground/errors.ts";
import { sizeOf } from "../../../engine/ground/tensor.ts";
import * as kernels from "../../../kernels/index.ts";
import { references } from "../../../kernels/references.ts";
import { checkKernel, open, randomTensor, refuses, sameBits } from "../../harness.ts";

const gpu = await open();

const isKernel = (value: object): value is AnyKernel => "wgsl" in value;

/** As a user of the package would add one. */
const WGSL = `
// y = factor * x + SHIFT
const WORKGROUP: u32 = 64; // threads
const SHIFT: f32 = -1.5e-3f;
const HALF = WORKGROUP / 2; // computed: left alone
const LAST: i32 = -7i;
const ON : bool=true;

struct Params {
  count: u32, factor: f32, // one line, two fields: count: u32
  offset: i32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(3)
var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  const INNER: u32 = 3;
  if (gid.x < params.count && ON) {
    y[gid.x] = params.factor * x[gid.x] + SHIFT + f32(LAST + params.offset);
  }
}
`;

const consts = { WORKGROUP: 32, SHIFT: 0.25, LAST: -2, ON: true };

const define = (changes: object = {}) =>
  defineKernel({
    name: "scale",
    inputs: ["x", "unused?"],
    options: { factor: undefined as unknown as number, shift: 0.25 },
    wgsl: WGSL,
    example: { shapes: { x: [3] } },
    shape: ({ x }) => x,
    cost: ({ y }) => ({ flops: 2 * sizeOf(y) }),
    consts: ({ options }) => ({ ...consts, SHIFT: options.shift }),
    params: ({ y, options }) => ({ count: sizeOf(y), factor: options.factor, offset: 2 }),
    grid: ({ y }) => linearGrid(sizeOf(y), 32),
    reference: ({ x }, { options }) => Float64Array.from(x, (v) => options.factor * v + options.shift),
    ...changes,
  });

test("specialize sets the constants and touches nothing else", () => {
  const code = specialize(WGSL, consts).split("\n");
  const lines = WGSL.split("\n");
  assert.is(code.length, lines.length);
  const changed = lines.flatMap((line, i) => (line === code[i] ? [] : [`${i + 1}: ${code[i]}`]));
  assert.equal(changed, [
    "3: const WORKGROUP: u32 = 32; // threads",
    "4: const SHIFT: f32 = 0.25;",
    "6: const LAST: i32 = -2;",
    "7: const ON: bool = true;",
  ]);
});

test("every kernel keeps its line numbers", () => {
  for (const kernel of Object.values(kernels).filter(isKernel)) {
    const { shapes, options: given = {} } = referenceOf(kernel, references).example;
    const options = completeOptions(kernel, given);
    const code = specialize(kernel.wgsl, kernel.consts({ shapes, options, y: kernel.shape(shapes, options) }));
    const isConst = /^const \w+: (u32|i32|f32|bool) = /;
    const strip = (text: string) => text.split("\n").map((line) => line.replace(isConst, "").replace(/.*;/, ""));
    assert.equal(strip(code), strip(kernel.wgsl), kernel.name);
  }
});

test("numbers are written as WGSL reads them", () => {
  const written = (type: string, value: number | boolean) =>
    specialize(`const A: ${type} = ${type === "bool" ? "false" : "0"};`, { A: value }).slice(
      `const A: ${type} = `.length,
    );
  assert.is(written("f32", 2), "2.0;");
  assert.is(written("f32", -3), "-3.0;");
  assert.is(written("f32", 0.1), "0.1;");
  assert.is(written("f32", 1e-7), "1e-7;");
  assert.is(written("f32", 1e30), "1e+30;");
  assert.is(written("i32", -3), "-3;");
  assert.is(written("u32", 4294967295), "4294967295;");
  assert.is(written("bool", true), "true;");
});

test("specialize refuses unknown and missing constants, and values of another type", async () => {
  const refusesConsts = (values: Record<string, number | boolean>, message: RegExp) =>
    refuses(() => specialize(WGSL, values), UsageError, "USAGE", message);
  const { ON, ...missing } = consts;
  await refusesConsts(missing, /the WGSL constant ON was given no value/);
  await refusesConsts({ ...consts, TILE: 1 }, /has no constant "TILE"; it has WORKGROUP, SHIFT, LAST, ON/);
  await refusesConsts({ ...consts, HALF: 1 }, /has no constant "HALF"/);
  await refusesConsts({ ...consts, INNER: 1 }, /has no constant "INNER"/);
  await refusesConsts({ ...consts, ON: 1 }, /the WGSL constant ON is a bool and cannot be 1/);
  await refusesConsts({ ...consts, LAST: true }, /LAST is a i32 and cannot be true/);
  await refusesConsts({ ...consts, LAST: 0.5 }, /LAST is a i32 and cannot be 0.5/);
  await refusesConsts({ ...consts, LAST: 2 ** 31 }, /LAST is a i32 and cannot be 2147483648/);
  await refusesConsts({ ...consts, WORKGROUP: -1 }, /WORKGROUP is a u32 and cannot be -1/);
  await refusesConsts({ ...consts, WORKGROUP: 2 ** 32 }, /WORKGROUP is a u32 and cannot be 4294967296/);
  await refusesConsts({ ...consts, SHIFT: NaN }, /SHIFT is a f32 and cannot be NaN/);
  await refusesConsts({ ...consts, SHIFT: Infinity }, /SHIFT is a f32 and cannot be Infinity/);
});

test("packParams lays the fields out as the struct", () => {
  const { params } = define().reflection;
  const view = new DataView(packParams("scale", params, { factor: -0.5, offset: -2, count: 2 ** 32 - 1 }).buffer);
  assert.is(view.byteLength, 16);
  assert.equal([view.getUint32(0, true), view.getFloat32(4, true), view.getInt32(8, true)], [2 ** 32 - 1, -0.5, -2]);
  const five = Array.from({ length: 5 }, (_, i) => ({ name: `f${i}`, type: "u32" as const }));
  assert.is(packParams("five", five, { f0: 0, f1: 1, f2: 2, f3: 3, f4: 4 }).length, 32);
});

test("packParams refuses missing, unknown and misfit values", async () => {
  const { params } = define().reflection;
  const good = { count: 1, factor: 1, offset: 1 };
  const refusesParams = (values: Record<string, number>, message: RegExp) =>
    refuses(() => packParams("scale", params, values), UsageError, "USAGE", message);
  await refusesParams({ count: 1, factor: 1 }, /scale: Params.offset was given no value/);
  await refusesParams({ ...good, size: 1 }, /scale: struct Params has no field size/);
  await refusesParams({ ...good, count: -1 }, /scale: Params.count = -1 is no u32/);
  await refusesParams({ ...good, count: 0.5 }, /scale: Params.count = 0.5 is no u32/);
  await refusesParams({ ...good, count: 2 ** 32 }, /scale: Params.count = 4294967296 is no u32/);
  await refusesParams({ ...good, offset: 2 ** 31 }, /scale: Params.offset = 2147483648 is no i32/);
  await refusesParams({ ...good, offset: NaN }, /scale: Params.offset = NaN is no i32/);
});

test("bindings and params are read from the source", async () => {
  const { reflection } = define();
  assert.equal(reflection.bindings, [
    { index: 0, name: "x", type: "read-only-storage" },
    { index: 3, name: "y", type: "storage" },
    { index: 1, name: "params", type: "uniform" },
  ]);
  assert.equal(reflection.params, [
    { name: "count", type: "u32" },
    { name: "factor", type: "f32" },
    { name: "offset", type: "i32" },
  ]);
  assert.equal(reflection.threads, ["WORKGROUP"]);
  const threads = (size: string) =>
    define({ wgsl: WGSL.replace(/@workgroup_size\(.*?\)/, `@workgroup_size(${size})`) }).reflection.threads;
  assert.equal(threads("8, SIDE , 2 * WORKGROUP"), ["8", "SIDE", "2", "WORKGROUP"]);
  const vector = () => define({ wgsl: WGSL.replace("offset: i32", "offset: vec2f") });
  await refuses(vector, UsageError, "USAGE", /scale.wgsl: Params.offset is a vec2f; fields must be u32, i32 or f32/);
  const named = (from: string, to: string) => () => define({ wgsl: WGSL.replace(from, to) });
  const stranger = /scale\.wgsl: the binding result is no input \(x, unused\), nor the output, which is y/;
  await refuses(named("read_write> y", "read_write> result"), UsageError, "USAGE", stranger);
  const silent = /scale\.wgsl writes nothing: its output is to be var<storage, read_write> y/;
  await refuses(named("read_write> y", "read_write> x"), UsageError, "USAGE", silent);
});

test("a kernel of one's own runs", async () => {
  const scale = define();
  assert.is(scale.name, "scale");
  await checkKernel(gpu, scale, { x: randomTensor([7, 9]) }, { factor: -3, shift: 2 }, () => 1e-6);
});

test("a kernel that does not compile is refused with the compiler's message", async () => {
  const broken = define({ wgsl: WGSL.replace("const INNER: u32 = 3", "let three: i32 = 3.5") });
  const run = () => gpu.eager(broken, randomTensor([2]), { factor: 1 });
  const line = WGSL.split("\n").findIndex((text) => text.includes("INNER")) + 1;
  await refuses(run, GpuError, "SHADER", new RegExp(`the kernel scale does not compile: .*:${line}:`, "s"));
  assert.is(gpu.alive.buffers, 0);
});

test("arguments are checked", async () => {
  const scale = define();
  const graph = new Graph();
  const x = graph.input("x", [2]);
  const refusesCall = (call: () => unknown, message: RegExp) => refuses(call, UsageError, "USAGE", message);
  // biome-ignore lint/suspicious/noExplicitAny: these are the arguments of a caller without types
  const call = (...args: any[]) => scale(...args);
  await refusesCall(() => call(), /scale needs a value of a graph as its first argument/);
  await refusesCall(() => call({ factor: 1 }), /scale needs a value of a graph/);
  await refusesCall(() => call(undefined, x, { factor: 1 }), /scale needs its input x/);
  await refusesCall(() => call(x, x, x, { factor: 1 }), /scale takes at most 2 inputs \(x, unused\?\), got 3/);
  await refusesCall(() => call(x, 2), /scale: options is 2; it must be an object/);
  await refusesCall(() => call(x, null), /options is null; it must be an object/);
  await refusesCall(() => call(x, { factor: 1 }, x), /before the options is .*; it must be a value of a graph/);
  await refusesCall(() => call(x), /scale needs the option "factor"/);
  await refusesCall(() => call(x, { factor: 1, bias: 1 }), /scale has no option "bias"; its options are factor, shift/);
  assert.equal(call(x, undefined, { factor: 1 }).shape, [2]);
});

test("an input is not left out in the middle", () => {
  const graph = new Graph();
  const [x, w, r] = [graph.input("x", [1, 2, 3, 3]), graph.param("w", [4, 2, 1, 1]), graph.param("r", [1, 4, 3, 3])];
  kernels.conv2d(x, w, undefined, r);
  assert.equal(
    graph.nodes.flatMap((node) => (node.kind === "op" ? [Object.keys(node.inputs)] : [])),
    [["x", "w", "r"]],
  );
});

test("a grid beyond the limit of one dimension goes on in the next", () => {
  assert.equal(linearGrid(1, 64), [1, 1, 1]);
  assert.equal(linearGrid(65, 64), [2, 1, 1]);
  assert.equal(linearGrid(64 * MAX_WORKGROUPS, 64), [MAX_WORKGROUPS, 1, 1]);
  assert.equal(linearGrid(64 * MAX_WORKGROUPS + 1, 64), [MAX_WORKGROUPS, 2, 1]);
});

test("more elements than one dimension's threads", async () => {
  const x = randomTensor([64 * MAX_WORKGROUPS + 65]);
  sameBits(await gpu.eager(kernels.relu, x), { ...x, data: x.data.map((v) => Math.max(v, 0)) });
});

test.run();
