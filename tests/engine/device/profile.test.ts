import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chromeTrace, type TraceEvent } from "../../../cli/trace.ts";
import { Executable } from "../../../engine/device/executable.ts";
import { ParamStore } from "../../../engine/device/params.ts";
import { type Span, type Timings, timeSteps } from "../../../engine/device/profile.ts";
import { type Gpu, openGpu as openWith } from "../../../engine/gpu.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import { makePlan, type Step } from "../../../engine/graph/plan.ts";
import { DisposedError, GpuError, ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { sizeOf, type Tensor } from "../../../engine/ground/tensor.ts";
import type { Net } from "../../../engine/net.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import { groupSteps, profileSteps } from "../../../engine/tuning/report.ts";
import { arraysCheckpoint } from "../../../engine/weights/sources.ts";
import { nets, openGpu } from "../../../index.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { eachFails, folder, inFolder, shadenet } from "../../cli/harness.ts";
import { idle, open, randomTensor, refuses, withNet } from "../../harness.ts";

const gpu = await open();

/** The same adapter, opened without the feature for timestamps. */
function openWithoutTimestamps(): Promise<Gpu> {
  const providers = nodeHost.providers().map((provider) => ({
    ...provider,
    async requestAdapter(options: GPURequestAdapterOptions) {
      const adapter = await provider.requestAdapter(options);
      if (!adapter) return null;
      const { info, limits } = adapter;
      const features = new Set([...adapter.features].filter((name) => name !== "timestamp-query"));
      const requestDevice = (wanted: GPUDeviceDescriptor) => adapter.requestDevice(wanted);
      return { features, info, limits, requestDevice } as unknown as GPUAdapter;
    },
  }));
  return openWith({ nets }, { ...nodeHost, providers: () => providers });
}

const plain = await openWithoutTimestamps();
test.after(() => plain.close());

/** Both ways to time, where the adapter has both. */
const devices = [gpu, plain];

const draw = () => randomTensor([1, 1, 32, 32]);

const withLenet = (on: Gpu, use: (net: Net, executable: Executable) => Promise<void>): Promise<void> =>
  withNet(on, "lenet5", {}, async (net) => use(net, await net.executable()));

test("every run has a time for every step, one after the other", async () => {
  for (const on of devices) {
    await withLenet(on, async (_net, executable) => {
      const { clock, runs } = await timeSteps(executable, { x: draw().data }, 3);
      assert.is(clock, on.device.features.has("timestamp-query") ? "gpu" : "wall");
      assert.equal(
        runs.map((spans) => spans.length),
        Array(3).fill(executable.plan.steps.length),
      );
      for (const spans of runs) {
        assert.ok(spans.every(({ start, end }) => start >= 0 && end >= start));
        assert.ok(spans.every(({ start }, i) => i === 0 || start >= spans[i - 1].start));
        assert.ok(spans[spans.length - 1].end > 0, "no time passed");
      }
      if (clock === "gpu") assert.is(runs[0][0].start, 0);
    });
  }
});

test("without the feature the clock is the computer's", () => assert.not(plain.device.features.has("timestamp-query")));

test("timing waits for the runs before it, and those after it wait", async () => {
  for (const on of devices) {
    await withLenet(on, async (_net, executable) => {
      const [x, y, z] = [draw(), draw(), draw()];
      const run = (input: Tensor) => executable.run({ x: input.data });
      const alone = [await run(x), await run(z)];
      const order: string[] = [];
      const note = (name: string) => () => order.push(name);
      const first = run(x);
      const timed = timeSteps(executable, { x: y.data }, 2, (ended) => order.push(`timed ${ended}`));
      const last = run(z);
      await Promise.all([first.then(note("first")), timed.then(note("timed")), last.then(note("last"))]);
      assert.equal(order, ["first", "timed 0", "timed 1", "timed 2", "timed", "last"]);
      assert.equal([await first, await last], alone);
    });
  }
});

test("dispose() lets it finish; after that it is refused", async () => {
  for (const on of devices) {
    await withLenet(on, async (net, executable) => {
      const timed = timeSteps(executable, { x: draw().data }, 2);
      net.dispose();
      assert.is((await timed).runs.length, 2);
      const again = () => timeSteps(executable, { x: draw().data });
      await refuses(again, DisposedError, "DISPOSED", /the net was used after/);
    });
  }
});

test("more steps than a query set takes", async () => {
  // Without timestamps there are no query sets.
  for (const on of gpu.device.features.has("timestamp-query") ? [gpu] : devices) {
    const graph = new Graph();
    let value = graph.input("x", [4]);
    const steps = 2048 + 40;
    for (let i = 0; i < steps; i++) value = relu(value);
    graph.name("y", value);
    const params = new ParamStore(on, arraysCheckpoint({}));
    const executable = await Executable.create(on, makePlan(graph, ["y"]), params);
    const { runs } = await timeSteps(executable, { x: Float32Array.of(1, -1, 2, -2) }, 1);
    executable.dispose();
    assert.is(runs[0].length, steps);
    assert.ok(runs[0].every(({ start }, i) => i === 0 || start >= runs[0][i - 1].start));
    assert.ok(runs[0][steps - 1].start > runs[0][2047].start, "the second set has no times");
    assert.is(on.alive.buffers, 0);
  }
});

test("after an error nothing stays allocated, and the net runs on", async () => {
  for (const on of devices) {
    await withLenet(on, async (net, executable) => {
      const before = { ...on.alive };
      const x = draw().data;
      const stop = () => {
        throw new UsageError("that is enough");
      };
      await refuses(() => timeSteps(executable, { x }, 2, stop), UsageError, "USAGE", /that is enough/);
      await refuses(() => timeSteps(executable, { x: x.slice(1) }), ShapeError, "SHAPE", /"x" has 1023 elements/);
      await refuses(() => timeSteps(executable, { x }, 0), UsageError, "USAGE", /runs is 0; it must be a positive/);
      await refuses(() => timeSteps(executable, { x }, 1.5), UsageError, "USAGE", /runs is 1.5/);
      assert.equal(on.alive, before);
      assert.ok((await net.run(x)).logits.data.every(Number.isFinite));
    });
  }
});

test("a device without memory for timestamps keeps nothing", async () => {
  if (!gpu.device.features.has("timestamp-query")) return;
  await withLenet(gpu, async (_net, executable) => {
    const before = { ...gpu.alive };
    const { createBuffer } = gpu;
    gpu.createBuffer = (label, ...rest) => {
      if (label !== "timestamps to read") return createBuffer.call(gpu, label, ...rest);
      return Promise.reject(new GpuError("OUT_OF_MEMORY", "the device is full"));
    };
    try {
      await refuses(() => timeSteps(executable, { x: draw().data }), GpuError, "OUT_OF_MEMORY", /is full/);
    } finally {
      gpu.createBuffer = createBuffer;
    }
    assert.equal(gpu.alive, before);
  });
});

test("a device that is lost or closed while timing says so, and keeps nothing", async () => {
  const endings = [
    { end: (on: Gpu) => on.device.destroy(), kind: GpuError, code: "DEVICE_LOST", message: /the GPU device was lost/ },
    { end: (on: Gpu) => on.close(), kind: DisposedError, code: "DISPOSED", message: /the GPU was used after/ },
  ];
  for (const openOwn of [openGpu, openWithoutTimestamps]) {
    for (const { end, kind, code, message } of endings) {
      const own = await openOwn();
      const net = await own.loadNet("lenet5");
      const executable = await net.executable();
      const x = draw().data;
      await refuses(() => timeSteps(executable, { x }, 3, (ended) => ended === 1 && end(own)), kind, code, message);
      const midway = timeSteps(executable, { x }, 3);
      end(own);
      await refuses(() => midway, kind, code, message);
      net.dispose();
      await idle();
      assert.equal(own.alive, { buffers: 0, bytes: 0 });
      own.close();
    }
  }
});

const step = (kernel: string, label: string, more: Partial<Step> = {}): Step => ({
  label,
  kernel,
  converts: false,
  code: "const TILE: u32 = 32;\nconst RELU : bool = true;\nconst AREA: u32 = TILE * TILE;\nconst EPS: f32 = 1e-5;",
  bindings: [],
  params: new Uint8Array(),
  grid: [4, 2, 1],
  flops: 2e6,
  bytes: 1e6,
  ...more,
});

const choice = { layer: "conv1", operator: "conv2d", variant: "winograd", why: "measured" };
const steps = [
  step("winograd_input", "conv1", { choice, flops: 0 }),
  step("matmul", "conv1", { choice }),
  step("relu", "relu1", { flops: 0, bytes: 4e6 }),
];

/** Of steps that follow each other without a gap. */
const inARow = (...lengths: number[]): Span[] =>
  lengths.map((length, i) => {
    const start = lengths.slice(0, i).reduce((sum, each) => sum + each, 0);
    return { start, end: start + length };
  });

const timings: Timings = { clock: "gpu", runs: [inARow(1, 3, 2), inARow(1, 5, 2), inARow(1, 4, 9)] };
const roofline = { flops: 1e9, bytes: 2e9, clock: "gpu" } as const;

test("steps have the median of their times, rates and a share of the roofline", () => {
  const plan = { ...makePlan(new Graph(), []), steps };
  const profiled = profileSteps(plan, timings, roofline);
  assert.equal(
    profiled.map(({ milliseconds, flopsRate, bytesRate, rooflineShare }) => [
      milliseconds,
      flopsRate,
      bytesRate,
      rooflineShare,
    ]),
    // Bound by memory, by arithmetic, by memory: 0.5, 2 and 2 ms at the least.
    [
      [1, 0, 1e9, 0.5],
      [4, 5e8, 2.5e8, 0.5],
      [2, 0, 2e9, 1],
    ],
  );
  const [{ layer, kernel, operator, variant, why, grid, constants }, , other] = profiled;
  assert.equal([layer, kernel, operator, variant, why], ["conv1", "winograd_input", "conv2d", "winograd", "measured"]);
  assert.equal([grid, constants], [[4, 2, 1], { TILE: 32, RELU: true, EPS: 1e-5 }]);
  assert.equal([other.operator, other.variant], ["relu", undefined]);

  const groups = groupSteps(profiled, (each) => each.operator, roofline);
  assert.equal(
    groups.map(({ name, steps, milliseconds, share, rooflineShare }) => [
      name,
      steps,
      milliseconds,
      share,
      rooflineShare,
    ]),
    [
      ["conv2d", 2, 5, 5 / 7, 0.5],
      ["relu", 1, 2, 2 / 7, 1],
    ],
  );
  const still = profileSteps(plan, { clock: "gpu", runs: [inARow(0, 0, 0)] }, roofline);
  assert.is(still[0].flopsRate, undefined);
  assert.is(groupSteps(still, (each) => each.kernel, roofline)[0].share, 0);
});

/** What a viewer needs: tracks with names, events in order, none that begins before the last of its track ended. */
function assertTrace(events: readonly TraceEvent[], runs: number, stepCount: number): void {
  const timed = events.filter(({ ph }) => ph === "X");
  const tracks = new Map<unknown, TraceEvent[]>();
  for (const { tid, name, args } of events.filter((event) => event.name === "thread_name")) {
    assert.is(name, "thread_name");
    tracks.set(
      (args as { name: string }).name,
      timed.filter((event) => event.tid === tid),
    );
  }
  const end = ({ ts = NaN, dur = NaN }: TraceEvent) => ts + dur;
  assert.ok(timed.every(({ ts = -1, dur = -1 }) => ts >= 0 && dur >= 0));
  assert.ok(timed.every(({ ts = 0 }, i) => i === 0 || ts >= (timed[i - 1].ts ?? 0)));
  // Times are in whole nanoseconds, but sums of them are not quite.
  for (const track of tracks.values())
    assert.ok(track.every(({ ts = 0 }, i) => i === 0 || ts >= end(track[i - 1]) - 1e-3));
  const [ran = [], layers = [], single = []] = ["runs", "layers", "steps"].map((name) => tracks.get(name));
  assert.is(ran.length, runs);
  assert.is(single.length, runs * stepCount);
  assert.is(ran.length + layers.length + single.length, timed.length);
  const inside = (outer: TraceEvent, inner: TraceEvent) =>
    (outer.ts ?? 0) <= (inner.ts ?? 0) + 1e-3 && end(inner) <= end(outer) + 1e-3;
  for (const event of single) {
    for (const track of [layers, ran]) assert.is(track.filter((outer) => inside(outer, event)).length >= 1, true);
  }
}

test("a trace has every step of every run, in order", () => {
  // The third step of the last run begins before the second has ended.
  const overlapping = [...timings.runs.slice(0, 2), [...timings.runs[2].slice(0, 2), { start: 3, end: 14 }]];
  const { traceEvents, otherData } = chromeTrace("a net", steps, { clock: "gpu", runs: overlapping }, roofline, {
    net: "tiny",
  });
  assertTrace(traceEvents, 3, 3);
  assert.equal(otherData, { net: "tiny", clock: "gpu" });
  const matmul = traceEvents.find(({ name, cat }) => name === "matmul" && cat === "steps");
  assert.equal(matmul?.args, {
    run: 1,
    layer: "conv1",
    kernel: "matmul",
    operator: "conv2d",
    variant: "winograd",
    why: "measured",
    grid: [4, 2, 1],
    constants: { TILE: 32, RELU: true, EPS: 1e-5 },
    flops: 2e6,
    bytes: 1e6,
    "GFLOP/s": 2 / 3,
    "GB/s": 1 / 3,
    rooflineShare: 2 / 3,
  });
  const layers = traceEvents.filter(({ cat }) => cat === "layers");
  assert.equal(
    layers.slice(0, 2).map(({ name, ts, dur }) => [name, ts, dur]),
    [
      ["conv1", 0, 4000],
      ["relu1", 4000, 2000],
    ],
  );
});

test("profile: a line for every step, the groups and the sum", async () => {
  const args = ["profile", "squeezenet1_1", "--image-size", "32", "--runs", "2", "--trace", "trace.json"];
  const { code, stdout, errors } = await shadenet(args);
  assert.equal([code, errors], [0, []]);
  assert.match(stdout, /^squeezenet1_1 on \[1, 3, 32, 32\]$/m);
  assert.match(stdout, /^Weights +random: give others with --weights$/m);
  assert.match(stdout, /^Clock +(timestamps of the GPU|wall time of each step).*the median of 2 runs$/m);
  assert.match(stdout, /^Roofline +[\d.,]+ GFLOP\/s and [\d.,]+ GB\/s, as measured$/m);
  assert.match(stdout, /^Layer +Variant +Kernel +Workgroups +Time +GFLOP\/s +GB\/s +Roofline$/m);
  for (const layer of ["features.0", "features.3.squeeze", "features.12.expand3x3", "classifier.1"]) {
    assert.match(stdout, new RegExp(`^${layer} .* [\\d.]+ (ms|µs) +(-|[\\d.,]+) +[\\d.,]+ +[\\d.]+ %`, "m"));
  }
  assert.match(stdout, /^Kernel +Steps +Share +Time/m);
  assert.match(stdout, /^Layer kind +Steps +Share +Time/m);
  assert.match(stdout, /^Sum of \d+ steps +[\d.]+ m?s$/m);
  assert.match(stdout, /^net\.run\(\) +[\d.]+ m?s of wall time, [\d.]+ m?s to [\d.]+ m?s$/m);
  assert.match(stdout, /^Trace +trace\.json, for chrome:\/\/tracing/m);
  assert.not.match(stdout, /NaN|undefined|Infinity/);
  const trace = JSON.parse(await readFile(inFolder("trace.json"), "utf8"));
  const [, count] = /^Sum of (\d+) steps/m.exec(stdout) ?? [];
  assertTrace(trace.traceEvents, 2, Number(count));
  assert.is(trace.otherData.net, "squeezenet1_1");
});

test("profile: JSON, forced variants and the net's own weights", async () => {
  const forced = ["--variant", "conv2d=conv2d", "linear=linear", "--batch", "2"];
  const { code, stdout, errors } = await shadenet(["profile", "lenet5", "--json", "--runs", "1", ...forced]);
  assert.equal([code, errors], [0, []]);
  const { net, input, weights, adapter, clock, roofline, wall, steps, kernels, operators } = JSON.parse(stdout);
  assert.equal([net, input, weights], ["lenet5", [2, 1, 32, 32], "MNIST"]);
  assert.ok(adapter.name && ["gpu", "wall"].includes(clock) && roofline.flops > 0 && roofline.bytes > 0);
  assert.ok(wall.min <= wall.median && wall.median <= wall.max && wall.min > 0);
  const convolutions = steps.filter(({ layer }: { layer: string }) => layer.startsWith("conv"));
  assert.equal(
    convolutions.map(({ kernel }: { kernel: string }) => kernel),
    ["conv2d", "conv2d", "conv2d"],
  );
  // The first convolution: 2 x 6 x 28 x 28 outputs of 25 multiply-adds, and 4 bytes for every element once.
  assert.ok(convolutions[0].flops >= 2 * sizeOf([2, 6, 28, 28]) * 25);
  assert.is(convolutions[0].bytes, 4 * (sizeOf([2, 1, 32, 32]) + 6 * 25 + 6 + sizeOf([2, 6, 28, 28])));
  for (const groups of [kernels, operators]) {
    const sum = (key: string) => groups.reduce((total: number, group: Record<string, number>) => total + group[key], 0);
    assert.is(sum("steps"), steps.length);
    assert.ok(Math.abs(sum("share") - 1) < 1e-9);
  }
});

test("profile: what is wrong, in one line, and no half-written trace", async () => {
  const cases: [string[], number, RegExp][] = [
    [["lenet6"], 2, /no net "lenet6"; there are lenet5, /],
    [["lenet5", "--runs", "0"], 2, /'--runs <n>' argument '0' is invalid. It must be a positive integer/],
    [["lenet5", "--variant", "conv2d"], 2, /must be an operator and its variant, such as conv2d=conv2d/],
    [["lenet5", "--variant", "conv3d=x"], 2, /lenet5 has no operator "conv3d"; it has conv2d, tanh, /],
    [["lenet5", "--variant", "conv2d=x"], 2, /conv2d: the variant is "x"; it must be one of conv2d, /],
    [["lenet5", "--weights", "none.pth"], 1, /none\.pth/],
    [["lenet5", "--image-size", "9"], 1, /cannot take images of 9 x 9 pixels/],
    [["lenet5", "--runs", "1", "--trace", "no/such/folder"], 1, /cannot write no\/such\/folder: its folder does not/],
    [["lenet5", "--runs", "1", "--trace", "taken"], 1, /cannot write taken: it is a folder/],
  ];
  await mkdir(inFolder("taken"));
  await eachFails(cases.map(([args, code, message]) => [["profile", ...args], code, message]));
  assert.not(existsSync(inFolder("no")));
  assert.not((await readdir(folder)).some((name) => name.endsWith(".part")));
});

test.run();
