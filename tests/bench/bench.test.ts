import { readFile, writeFile } from "node:fs/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { kernelsCommand } from "../../bench/kernels.ts";
import { describeLayer, distinctLayers, layersOf } from "../../bench/measure/layers.ts";
import { measureNets } from "../../bench/measure/nets.ts";
import { interleave } from "../../bench/measure/pace.ts";
import { expected, type Inputs, judge, judgeAll } from "../../bench/measure/reference.ts";
import { timingOfRuns } from "../../bench/measure/statistics.ts";
import { measureLayers } from "../../bench/measure/variants.ts";
import { netsCommand } from "../../bench/nets.ts";
import { compareReports, readReport } from "../../bench/report/compare.ts";
import { type BenchOptions, benchCommand, runBench } from "../../bench/report/program.ts";
import type { KernelReport, KernelRow, NetReport, NetRow, Timing } from "../../bench/report/report.ts";
import { describeComparison, describeRun, kernelTable, milliseconds, netTable } from "../../bench/report/tables.ts";
import type { Host } from "../../engine/device/host.ts";
import type { Sample } from "../../engine/device/stopwatch.ts";
import { type Gpu, openGpu as openWith } from "../../engine/gpu.ts";
import { callOf, Graph } from "../../engine/graph/graph.ts";
import type { AnyVariant, Variants } from "../../engine/graph/variant.ts";
import { FileError } from "../../engine/ground/errors.ts";
import { nodeHost } from "../../engine/node/dawn.ts";
import { measureRoofline } from "../../engine/tuning/roofline.ts";
import { conv2d } from "../../kernels/conv2d/conv2d.ts";
import { add } from "../../kernels/elementwise/add.ts";
import { tanh } from "../../kernels/elementwise/tanh.ts";
import { linear } from "../../kernels/linear/linear.ts";
import { probes } from "../../kernels/probes.ts";
import { evaluateReference } from "../../kernels/references.ts";
import { nets } from "../../nets/index.ts";
import type { Context } from "../../tools/command.ts";
import { packageFile } from "../../tools/package.ts";
import { assertFails, inFolder, inProcess, shadenet } from "../cli/harness.ts";
import { idle, inDepth, int, open, pick, randomTensor, refuses } from "../harness.ts";

const gpu = await open();

/** Timings around a median. */
const around = (median: number, spread = 0.1): Timing => ({
  runs: 10,
  median,
  min: median - spread,
  mad: spread / 2,
  low: median - spread,
  high: median + spread,
});

test("the median's interval holds it in 95 % of all cases, and no value more than it takes", () => {
  for (let runs = 6; runs <= 200; runs++) {
    const { low, high } = timingOfRuns(Array.from({ length: runs }, (_, i) => i));
    assert.is(low + high, runs - 1, "it is symmetric");
    assert.ok(coverage(runs, low) >= 0.95, `${runs} runs: ${coverage(runs, low)}`);
    assert.ok(coverage(runs, low + 2) < 0.95, `${runs} runs could have a shorter one`);
  }
});

/** How likely at least `rank` + 1 of n values are below the median, and as many above it. */
function coverage(n: number, rank: number): number {
  let probability = 2 ** -n;
  let outside = 0;
  for (let below = 0; below <= rank; below++) {
    outside += 2 * probability;
    probability *= (n - below) / (below + 1);
  }
  return 1 - outside;
}

test("median, minimum and deviation of timings in any order", () => {
  assert.equal(timingOfRuns([5, 1, 2, 9]), { runs: 4, median: 3.5, min: 1, mad: 2, low: 1, high: 9 });
  assert.equal(timingOfRuns([7]), { runs: 1, median: 7, min: 7, mad: 0, low: 7, high: 7 });
});

const kernelRow = (more: Partial<KernelRow> = {}): KernelRow => ({
  layer: "conv2d 1x3x8x8, w 4x3x3x3",
  batch: 1,
  operator: "conv2d",
  shapes: { x: [1, 3, 8, 8], w: [4, 3, 3, 3] },
  output: [1, 4, 6, 6],
  options: {},
  variant: "conv2d",
  chosen: true,
  kernels: ["conv2d"],
  nets: [{ net: "lenet5", layers: ["conv1", "conv2"] }],
  status: "ok",
  wall: around(2),
  gpu: around(1),
  flops: 1000,
  bytes: 2000,
  flopsRate: 1e9,
  bytesRate: 2e9,
  rooflineShare: 0.5,
  ...more,
});

const RUN = {
  schema: 1,
  complete: true,
  date: "2026-01-02T03:04:05.000Z",
  versions: { shadenet: "0.1.0", node: "20.0.0", dawn: "0.6.2" },
  adapter: { name: "an adapter", description: "a driver", software: false },
  machine: { cpu: "a processor", cores: 2 },
  roofline: { flops: 2e9, bytes: 4e9, clock: "gpu" },
} as const;

const kernelReport = (rows: readonly KernelRow[], more: Partial<KernelReport> = {}): KernelReport => ({
  ...RUN,
  kind: "kernels",
  rows,
  ...more,
});

const netRow = (more: Partial<NetRow> = {}): NetRow => ({
  net: "lenet5",
  batch: 1,
  status: "ok",
  wall: around(4),
  flops: 1e6,
  bytes: 1e6,
  memory: { weights: 2 ** 20, activations: 2 ** 10 },
  steps: 12,
  ...more,
});

const netReport = (rows: readonly NetRow[]): NetReport => ({ ...RUN, kind: "nets", rows });

test("a comparison tells faster from slower where the intervals do not overlap, and the rest apart", () => {
  const rows = (medians: Readonly<Record<string, number>>) =>
    Object.entries(medians).map(([variant, median]) => kernelRow({ variant, gpu: around(median) }));
  const older = kernelReport(rows({ a: 2, b: 1, c: 1, d: 1, gone: 1, broken: 1 }));
  const newer = kernelReport([
    ...rows({ a: 1, b: 1.1, c: 1.5, d: 4, added: 1 }),
    kernelRow({ variant: "broken", status: "wrong", reason: "it is off", wall: undefined, gpu: undefined }),
  ]);
  const { faster, slower, same, added, gone, failed } = compareReports(older, newer);
  assert.equal(
    faster.map(({ what, speedup }) => [what, speedup]),
    [["conv2d 1x3x8x8, w 4x3x3x3: a", 2]],
  );
  assert.equal(
    slower.map(({ what }) => what.at(-1)),
    ["d", "c"],
  );
  assert.equal(
    same.map(({ what }) => what.at(-1)),
    ["b"],
  );
  assert.equal([added.length, gone.length, failed.length], [1, 1, 1]);
  assert.match(failed[0], /broken: wrong, it is off$/);
  const [headline, ...lines] = describeComparison(older, "old.json", compareReports(older, newer));
  assert.match(headline, /old\.json of 2026-01-02: 1 faster, 2 slower, 1 the same within their noise, 1 new, 1 gone/);
  assert.match(lines[0], /^2\.00 x faster +2\.00 ms +→ 1\.00 ms +noise ±11\.2 % +conv2d .*: a$/);
  assert.match(lines[1], /^4\.00 x slower/);
});

test("an interrupted run has nothing gone, and rows that were not asked for are not, either", () => {
  const older = kernelReport([kernelRow(), kernelRow({ variant: "other" })]);
  assert.equal(compareReports(older, kernelReport([kernelRow()])).gone.length, 1);
  assert.equal(compareReports(older, kernelReport([kernelRow()], { complete: false })).gone, []);
  assert.equal(compareReports(older, kernelReport([kernelRow()]), (row) => row.variant !== "other").gone, []);
});

test("times of different clocks are not compared", () => {
  const { faster, same } = compareReports(kernelReport([kernelRow({ gpu: undefined })]), kernelReport([kernelRow()]));
  assert.equal([faster.length, same.length], [0, 1]);
});

test("a comparison says when the adapter itself was not as fast", () => {
  const older = netReport([netRow()]);
  const newer = { ...older, roofline: { ...older.roofline, flops: 1e9 } };
  assert.match(describeComparison(older, "old.json", compareReports(older, newer))[1], /not as fast: 0\.50 times/);
  assert.is(describeComparison(older, "old.json", compareReports(older, older)).length, 1);
});

test("a report is read as it was written; what is none is refused in one line", async () => {
  const report = kernelReport([kernelRow(), kernelRow({ status: "skipped", wall: undefined, gpu: undefined })]);
  assert.equal(
    readReport<KernelReport>(JSON.stringify(report), "old.json", "kernels"),
    JSON.parse(JSON.stringify(report)),
  );
  const { roofline, ...flat } = report;
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [undefined, /^old\.json is damaged or no JSON; give a file that npm run bench:kernels -- --json wrote$/],
    [null, /is damaged or no JSON|is no report/],
    [[1, 2], /is no report of a bench/],
    [{ name: "shadenet" }, /is no report of a bench/],
    [netReport([]), /is a report on "nets", not on "kernels"/],
    [{ ...report, schema: 2 }, /has version 2 of the format, not 1/],
    [{ ...report, adapter: "llvmpipe" }, /does not say when and on which adapter/],
    [flat, /has no roofline/],
    [{ ...report, roofline: { flops: 0, bytes: 1 } }, /has no roofline/],
    [{ ...report, rows: {} }, /has no rows/],
    [{ ...report, rows: [kernelRow(), { layer: "conv2d" }] }, /has a row 2 that is incomplete/],
    [{ ...report, rows: [{ ...kernelRow(), wall: { median: "1" } }] }, /has a row 1 that is incomplete/],
  ];
  for (const [content, message] of cases) {
    const text = content === undefined ? JSON.stringify(report).slice(0, -5) : JSON.stringify(content);
    await refuses(() => readReport<KernelReport>(text, "old.json", "kernels"), FileError, "FILE", message);
  }
});

test("tables have a line per row, and say why something was not timed", () => {
  const untimed = {
    wall: undefined,
    gpu: undefined,
    flopsRate: undefined,
    bytesRate: undefined,
    rooflineShare: undefined,
  };
  const lines = kernelTable([
    kernelRow(),
    kernelRow({ variant: "fast", chosen: false, status: "wrong", reason: "element 3 is 7", ...untimed }),
    kernelRow({ layer: "relu 1x4", nets: [{ net: "vgg16", layers: ["relu"] }] }),
  ]);
  assert.match(lines[1], /^conv2d 1x3x8x8, w 4x3x3x3 +in lenet5 \(2 times\)$/);
  assert.match(lines[2], /^ {2}\* conv2d +1\.00 ms +±5\.0 % +2\.00 ms +±2\.5 % +1\.00 +2\.00 +50\.0 %$/);
  assert.match(lines[3], /^ {4}fast +- +- +- +- +- +wrong: element 3 is 7$/);
  assert.match(lines[4], /^relu 1x4 +in vgg16$/);
  const [, net] = netTable([netRow({ cold: { uncached: 1234, cached: 567 }, imagesPerSecond: 250 })]);
  assert.match(net, /^lenet5 +1 +4\.00 ms +±1\.3 % +- +250 +- +- +1 MiB +1 KiB +1\.23 s +567 ms$/);
  assert.match(describeRun(RUN).join("\n"), /2\.00 GFLOP\/s of multiply-adds, 4\.00 GB\/s of copying/);
  const byWall = { ...RUN, complete: false, roofline: { ...RUN.roofline, clock: "wall" as const } };
  assert.match(describeRun(byWall).join("\n"), /no timestamps[\s\S]*Not complete/);
});

test("three digits of milliseconds", () => {
  assert.equal(
    [0.0123, 0.5, 1, 12.34, 123.4, 4567].map((ms) => milliseconds(ms).trim()),
    ["12.3 µs", "500 µs", "1.00 ms", "12.3 ms", "123 ms", "4.57 s"],
  );
});

test("tasks are run in turns; one that takes long is run less often", async () => {
  const order: string[] = [];
  const task = (name: string, wall: number) => async (): Promise<Sample> => {
    order.push(name);
    return { wall };
  };
  const [quick, slow] = await interleave([task("a", 1), task("b", 100)], { runs: 5, budget: 50 });
  assert.equal([quick.length, slow.length], [5, 3]);
  assert.is(order.join(""), "ababababaa");
  const stop = new AbortController();
  const stopping = async (): Promise<Sample> => {
    stop.abort(new Error("stopped"));
    return { wall: 1 };
  };
  const error = await interleave([stopping], { runs: 5, budget: 50, signal: stop.signal }).catch((reason) => reason);
  assert.is(error.message, "stopped");
});

test("every layer of a net is measured once, and counted as often as it comes", () => {
  const names = ["resnet18", "resnet34"];
  const layers = distinctLayers(names, 2);
  assert.is(new Set(layers.map(({ text }) => text)).size, layers.length);
  for (const net of names) {
    const found = layers.flatMap(({ nets }) => nets.flatMap((use) => (use.net === net ? use.layers : [])));
    assert.equal(
      found.sort(),
      layersOf(net, 2)
        .map(({ name }) => name)
        .sort(),
    );
  }
  const [stem] = layers;
  assert.is(stem.text, "conv2d 2x3x224x224, w 64x3x7x7, b, stride 2, padding 3, relu");
  assert.equal(stem.nets[0], { net: "resnet18", layers: ["conv1"] });
  assert.equal(stem.computed, [], "the net's own input is no layer's output");
  assert.equal(layers[1].computed, ["x"]);
});

test("options are told where they are not the default", () => {
  const graph = new Graph();
  const x = graph.input("x", [1, 8, 9, 9]);
  const y = conv2d(x, graph.param("w", [8, 1, 3, 3]), undefined, x, { groups: 8, padding: [1, 1], relu: false });
  const node = graph.nodes[y.id];
  assert.ok(node.kind === "op");
  const text = describeLayer({ kernel: node.kernel, call: callOf(graph, node) });
  assert.is(text, "conv2d 1x8x9x9, w 8x1x3x3, r, padding 1x1, groups 8");
});

/** A random call of conv2d or linear, as the bench has it. */
function drawSums() {
  if (pick(true, false)) {
    const [k, o] = [int(1, 9), int(1, 9)];
    const inputs: Inputs = { x: randomTensor([int(1, 3), k]), w: randomTensor([o, k]), b: randomTensor([o]) };
    return { kernel: linear, inputs, options: { relu: pick(true, false) } };
  }
  const [groups, groupIn, groupOut] = [int(1, 3), int(1, 3), int(1, 3)];
  const options = {
    stride: pick(1, 2, [1, 3]),
    padding: pick(0, 2, [1, 0, 2, 3]),
    dilation: pick(1, [2, 1]),
    groups,
    relu: pick(true, false),
  };
  const inputs: Inputs = {
    x: randomTensor([int(1, 3), groups * groupIn, int(5, 9), int(5, 9)]),
    w: randomTensor([groups * groupOut, groupIn, int(1, 3), int(1, 3)]),
    ...(pick(true, false) && { b: randomTensor([groups * groupOut]) }),
  };
  const y = evaluateReference(conv2d, inputs, options).shape;
  return { kernel: conv2d, inputs: pick(true, false) ? { ...inputs, r: randomTensor(y) } : inputs, options };
}

test("elements of a reference are those of the whole", () => {
  for (let i = 0; i < 40; i++) {
    const { kernel, inputs, options } = drawSums();
    const graph = new Graph();
    const values = Object.entries(inputs).map(([name, { shape }]) => [name, graph.param(name, shape)] as const);
    const node = graph.nodes[graph.add(kernel, Object.fromEntries(values), options).id];
    assert.ok(node.kind === "op");
    const call = callOf(graph, node);
    const whole = expected(kernel, inputs, call);
    const some = expected(kernel, inputs, call, 0);
    assert.is(whole.indices.length, whole.values.length);
    assert.equal([some.indices[0], Math.max(...Array.from(some.indices))], [0, whole.indices.length - 1]);
    for (let j = 0; j < some.indices.length; j++) {
      const index = some.indices[j];
      assert.ok(Math.abs(some.values[j] - whole.values[index]) < 1e-12, `${JSON.stringify(options)}: ${index}`);
      assert.ok(Math.abs(some.tolerances[j] - whole.tolerances[index]) < 1e-12);
    }
  }
});

test("an output is judged by its worst element; NaN is wrong", () => {
  const inputs = { x: randomTensor([100]) };
  const graph = new Graph();
  const node = graph.nodes[tanh(graph.input("x", [100])).id];
  assert.ok(node.kind === "op");
  const wanted = expected(tanh, inputs, callOf(graph, node));
  const output = inputs.x.data.map(Math.tanh);
  assert.ok(judge(output, wanted, false).error <= 1);
  assert.is(judge(output, wanted, false).problem, undefined);
  for (const value of [Number.NaN, Infinity, output[42] + 1e-3]) {
    const wrong = output.with(42, value);
    assert.match(judge(wrong, wanted, false).problem ?? "", /^element 42 is .*, and should be .* within 1\.0e-5$/);
    assert.match(judgeAll(wrong, output, wanted).problem ?? "", /^element 42 is /);
  }
  assert.is(judgeAll(output, output, wanted).error, 0);
});

test("the roofline is plausible, and leaves nothing behind", async () => {
  const { flops, bytes, clock } = await measureRoofline(gpu, probes);
  // From an old core to a rack of accelerators.
  assert.ok(flops > 1e8 && flops < 1e16, `${flops} operations per second`);
  assert.ok(bytes > 1e7 && bytes < 1e14, `${bytes} bytes per second`);
  assert.is(clock, gpu.device.features.has("timestamp-query") ? "gpu" : "wall");
  await idle();
  assert.is(gpu.alive.buffers, 0);
});

/** Opens a GPU whose adapter has no timestamps, or whose variants are others. */
const openOther = (host: Host, others: Variants): Promise<Gpu> => openWith({ nets, variants: others }, host);

const noTimestamps: Host = {
  ...nodeHost,
  providers: () =>
    nodeHost.providers().map((provider) => ({
      ...provider,
      async requestAdapter(options) {
        const adapter = await provider.requestAdapter(options);
        if (!adapter) return adapter;
        const features = new Set([...adapter.features].filter((name) => name !== "timestamp-query"));
        const { info, limits } = adapter;
        const requestDevice = (wanted?: GPUDeviceDescriptor) => adapter.requestDevice(wanted);
        return { info, limits, features, requestDevice } as unknown as GPUAdapter;
      },
    })),
};

const bench = (gpu: Gpu) => ({
  gpu,
  roofline: { flops: 1e10, bytes: 1e9, clock: gpu.device.features.has("timestamp-query") ? "gpu" : "wall" } as const,
  progress: { update() {}, stop() {} },
  signal: new AbortController().signal,
});

async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

const QUICK = { runs: 2, budget: 1000, batch: 1 };

inDepth("an adapter without timestamps is measured by wall time", async () => {
  const other = await openOther(noTimestamps, {});
  try {
    assert.is((await measureRoofline(other, probes)).clock, "wall");
    const layers = distinctLayers(["lenet5"], 1).slice(0, 2);
    for (const row of await all(measureLayers(layers, { ...QUICK, nets: ["lenet5"] }, bench(other)))) {
      assert.equal([row.status, row.gpu, row.wall?.runs], ["ok", undefined, 2], row.variant);
      assert.ok((row.rooflineShare ?? 0) > 0);
    }
    assert.is(other.alive.buffers, 0);
  } finally {
    other.close();
  }
});

test("what takes too long is skipped, and says so", async () => {
  const options = { ...QUICK, budget: 1e-6, nets: ["lenet5"] };
  const rows = await all(measureLayers(distinctLayers(["lenet5"], 1).slice(0, 1), options, bench(gpu)));
  for (const { status, reason, wall } of rows) {
    assert.equal([status, wall], ["skipped", undefined]);
    assert.match(reason ?? "", /^a run would take about [\d.]+ µs, over the budget of 0\.00 µs$/);
  }
});

/** A variant of linear that doubles everything. */
const doubling = {
  name: "linear_doubled",
  refuses: () => undefined,
  gains: () => true,
  build: ({ x, w, b }, { options }) => add(linear(x, w, b, options), linear(x, w, b, options)),
} as AnyVariant;

test("a variant that computes something else is wrong, and is not timed", async () => {
  const other = await openOther(nodeHost, { linear: [doubling] });
  try {
    const layers = distinctLayers(["lenet5"], 1).filter(({ kernel }) => kernel.name === "linear");
    const rows = await all(measureLayers(layers, { ...QUICK, nets: ["lenet5"] }, bench(other)));
    assert.equal(
      rows.map(({ variant, status }) => [variant, status]),
      layers.flatMap(() => [
        ["linear", "ok"],
        ["linear_doubled", "wrong"],
      ]),
    );
    for (const { variant, wall, reason, chosen } of rows) {
      assert.is(chosen, variant === "linear_doubled");
      assert.is(wall === undefined, variant === "linear_doubled");
      if (variant === "linear_doubled") assert.match(reason ?? "", /^element \d+ is .*, and should be /);
    }
    const [net, ...more] = await all(measureNets({ ...QUICK, nets: ["lenet5"], batch: [1], cold: 0 }, bench(other)));
    assert.equal([net.status, net.wall, more.length], ["wrong", undefined, 0]);
    assert.match(net.reason ?? "", /^the logits differ from the plain kernels' by /);
    await idle();
    assert.is(other.alive.buffers, 0);
  } finally {
    other.close();
  }
});

const KERNELS = packageFile("dist/bench/kernels.js");
const LENET = ["--nets", "lenet5", "--runs", "2"];

inDepth("bench:kernels on a net: a table, JSON, a page, and a comparison with itself", async () => {
  const json = inFolder("kernels.json");
  const quick = ["--variants", "conv2d,tanh,linear,linear_gemv,softmax"];
  const first = await inProcess([...LENET, ...quick, "--json", json, "--html", inFolder("kernels.html")], {
    main: KERNELS,
  });
  assert.equal([first.code, first.errors], [0, []]);
  assert.match(
    first.stdout,
    /GFLOP\/s of multiply-adds[\s\S]*conv2d 1x6x14x14, w 16x6x5x5, b, tanh +in lenet5\n[\s\S]*\* softmax/,
  );
  const report = readReport<KernelReport>(await readFile(json, "utf8"), json, "kernels");
  assert.ok(report.complete && report.rows.length >= 7);
  for (const row of report.rows) {
    assert.is(row.status, "ok", `${row.layer}, ${row.variant}: ${row.reason}`);
    assert.ok((row.error ?? 2) <= 1 && row.flopsRate && row.bytesRate && row.wall?.runs === 2);
  }
  assert.match(await readFile(inFolder("kernels.html"), "utf8"), /^<!doctype html>/i);
  const some = ["--only", "linear", "--variants", "linear", "--compare", json];
  const second = await shadenet([...LENET, ...some], { program: kernelsCommand });
  assert.equal([second.code, second.errors], [0, []]);
  assert.match(second.stdout, /Compared with .*kernels\.json of \d{4}-\d\d-\d\d: .*, 0 new, 0 gone/);
});

inDepth("bench:nets on a net at two batch sizes, with a cold start", async () => {
  const json = inFolder("nets.json");
  const { code, stdout, errors } = await shadenet([...LENET, "--batch", "1,3", "--json", json], {
    program: netsCommand,
  });
  assert.equal([code, errors], [0, []]);
  assert.match(stdout, /^lenet5 +1 .*\nlenet5 +3 /m);
  const [one, three] = readReport<NetReport>(await readFile(json, "utf8"), json, "nets").rows;
  assert.equal([one.batch, three.batch, one.status, three.status], [1, 3, "ok", "ok"]);
  assert.ok((one.cold?.uncached ?? 0) > (one.wall?.median ?? Infinity), "a process starts faster than a net runs");
  assert.ok(one.imagesPerSecond && three.rooflineShare && three.cold === undefined);
  assert.ok(three.flops === 3 * one.flops && three.memory.activations > one.memory.activations);
  assert.ok((one.error ?? 1) < 1e-4);
});

inDepth("Ctrl-C ends a bench; what was measured is shown and written, marked incomplete", async () => {
  const json = inFolder("interrupted.json");
  const layers = distinctLayers(["lenet5"], 1).filter(({ kernel }) => kernel.name === "avgpool2d");
  assert.ok(layers.length > 1);
  const measured: KernelRow[] = [];
  const interrupted = (context: Context) =>
    benchCommand("bench:kernels", "is interrupted when the first row is there", "", 2).action((options: BenchOptions) =>
      runBench<KernelReport>(
        {
          kind: "kernels",
          options,
          async *measure(bench) {
            for await (const row of measureLayers(layers, { ...QUICK, nets: ["lenet5"] }, bench)) {
              measured.push(row);
              yield row;
              if (measured.length === 1) process.emit("SIGINT");
            }
          },
          report: (run, rows) => ({ ...run, kind: "kernels", rows }),
          wanted: () => true,
        },
        context,
      ),
    );
  const { code, stdout, errors } = await shadenet(["--json", json], { program: interrupted });
  assert.equal([code, errors], [130, []]);
  assert.match(stdout, /Not complete/);
  const report = readReport<KernelReport>(await readFile(json, "utf8"), json, "kernels");
  assert.is(report.complete, false);
  assert.is(report.rows.length, measured.length);
  assert.equal(new Set(report.rows.map(({ layer }) => layer)).size, 1);
});

test("wrong usage and files that are no reports are told in one line, before anything is measured", async () => {
  await writeFile(inFolder("damaged.json"), '{"schema": 1, "kind": "kern');
  await writeFile(inFolder("nets-report.json"), JSON.stringify(netReport([])));
  const one = ["--nets", "lenet5"];
  const cases: readonly (readonly ["kernels" | "nets", string[], number, RegExp])[] = [
    ["kernels", ["--nets", "lenet6"], 2, /no net "lenet6"; there are lenet5, /],
    ["kernels", ["--only", "("], 2, /--only: Invalid regular expression/],
    ["kernels", ["--nets", "lenet5", "--only", "relu"], 2, /no layer of lenet5 is like \/relu\//],
    ["kernels", [...one, "--variants", "conv3d"], 2, /no variant "conv3d"; there are .*conv2d_winograd/],
    ["kernels", [...one, "--budget", "-1"], 2, /positive number of seconds/],
    ["nets", ["--batch", "1,x"], 2, /positive integer/],
    ["nets", ["--cold", "few"], 2, /whole number/],
    ["nets", ["--only", "x"], 2, /unknown option '--only'; the options of bench:nets are --nets, /],
    ["kernels", [...one, "--compare", "none.json"], 1, /cannot read none\.json: there is no such file/],
    ["kernels", [...one, "--compare", "damaged.json"], 1, /damaged\.json is damaged or no JSON/],
    ["kernels", [...one, "--compare", "nets-report.json"], 1, /is a report on "nets", not on "kernels"/],
    ["nets", [...one, "--json", "none/x.json"], 1, /cannot write none\/x\.json: its folder does not exist/],
    ["nets", [...one, "--html", "."], 1, /cannot write \.: it is a folder/],
  ];
  const programs = { kernels: kernelsCommand, nets: netsCommand };
  for (const [kind, args, code, message] of cases) {
    assertFails(await shadenet(args, { program: programs[kind] }), code, message);
  }
});

test.run();
