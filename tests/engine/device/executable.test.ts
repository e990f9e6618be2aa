import { test } from "uvu";
import * as assert from "uvu/assert";
import { type LoadOptions, type NetDefinition, traceNet } from "../../../engine/definition.ts";
import { type Dispatch, encode } from "../../../engine/device/executable.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { DisposedError, FileError, ShapeError, UsageError, WeightsError } from "../../../engine/ground/errors.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import type { Image } from "../../../engine/image/image.ts";
import type { Net } from "../../../engine/net.ts";
import type { Weights } from "../../../engine/weights/open.ts";
import { arraysCheckpoint } from "../../../engine/weights/sources.ts";
import { openGpu } from "../../../index.ts";
import { add } from "../../../kernels/elementwise/add.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { softmax } from "../../../kernels/softmax.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "../../../nets/layers.ts";
import { assertOutputs, idle, open, pick, randomTensor, randomTensors, refuses, withNet } from "../../harness.ts";

const gpu = await open();

/** A residual net in small. */
const tiny: NetDefinition = {
  name: "tiny",
  options: { inChannels: 3, numClasses: 4 },
  imageSize: [6, 6],
  build(x, { numClasses }) {
    const y = named("relu", relu(batchNormLayer("bn1", convLayer("conv1", x, 5, 3, { padding: 1 }))));
    const z = named("sum", relu(add(batchNormLayer("bn2", convLayer("conv2", y, 5, 3, { padding: 1 })), y)));
    return linearLayer("fc", flatten(z), numClasses);
  },
  probabilities: (logits) => softmax(logits),
  preprocess: (_image: Image) => new Float32Array(3 * 6 * 6),
  labels: async () => ["a", "b", "c", "d"],
  weights: {},
};

const graph = traceNet(tiny, [2, 3, 6, 6], tiny.options);
const { x: _, ...tensors } = randomTensors(graph);
const draw = (): Tensor => randomTensor([2, 3, 6, 6]);

const load = (on: Gpu = gpu, options: LoadOptions = {}): Promise<Net> =>
  on.loadNet(tiny, { weights: tensors, batch: 2, ...options });

type Result = Awaited<ReturnType<Net["run"]>>;

function assertResult({ logits, probabilities, features }: Result, x: Tensor): void {
  const got = { logits, probabilities, ...features };
  assertOutputs(got, graph, Object.keys(got), { ...tensors, x });
}

async function assertNothingLeft(on: Gpu = gpu): Promise<void> {
  await idle();
  assert.equal(on.alive, { buffers: 0, bytes: 0 });
}

const withTiny = (use: (net: Net) => Promise<void> | void, options: LoadOptions = {}): Promise<void> =>
  withNet(gpu, tiny, { weights: tensors, batch: 2, ...options }, use);

test("concurrent runs are queued and never mixed", () =>
  withTiny(async (net) => {
    const inputs = Array.from({ length: 12 }, draw);
    const results = await Promise.all(
      inputs.map((x) => net.run(x, { features: pick<string[][]>([], ["relu"], ["sum", "conv1"]) })),
    );
    results.forEach((result, i) => {
      assertResult(result, inputs[i]);
    });
  }));

test("an input belongs to the caller again once run() has returned", () =>
  withTiny(async (net) => {
    const inputs = Array.from({ length: 3 }, draw);
    const reused = new Float32Array(inputs[0].data.length);
    const runs = inputs.map(({ data }) => {
      reused.set(data);
      return net.run(reused);
    });
    reused.fill(NaN);
    (await Promise.all(runs)).forEach((result, i) => {
      assertResult(result, inputs[i]);
    });
  }));

test("results are the caller's own", () =>
  withTiny(async (net) => {
    const [x, other] = [draw(), draw()];
    const first = await net.run(x);
    await net.run(other);
    assertResult(first, x);
  }));

test("dispose() lets the runs that were asked for finish, and may be called again", () =>
  withTiny(async (net) => {
    const inputs = Array.from({ length: 5 }, draw);
    const runs = inputs.map((x) => net.run(x, { features: ["relu"] }));
    net.dispose();
    net.dispose();
    (await Promise.all(runs)).forEach((result, i) => {
      assertResult(result, inputs[i]);
    });
    await refuses(() => net.run(draw()), DisposedError, "DISPOSED", /the net was used after it was disposed of/);
    await refuses(() => net.plan(), DisposedError, "DISPOSED", /the net was used after/);
    gpu.check();
  }));

test("two nets run beside each other, and end apart", () =>
  withTiny(async (net) => {
    const other = await load();
    const inputs = [draw(), draw(), draw(), draw()];
    const results = await Promise.all(inputs.map((x, i) => [net, other][i % 2].run(x)));
    results.forEach((result, i) => {
      assertResult(result, inputs[i]);
    });
    other.dispose();
    assertResult(await net.run(inputs[0]), inputs[0]);
  }));

test("a misfit input is refused, and the next one runs", () =>
  withTiny(async (net) => {
    const refusesRun = (input: unknown, message: RegExp) =>
      refuses(() => net.run(input as Tensor), ShapeError, "SHAPE", message);
    const x = draw();
    const misfit = refusesRun(new Float32Array(5), /the input "x" has 5 elements; its shape \[2, 3, 6, 6\] has 216/);
    const next = net.run(x);
    await misfit;
    assertResult(await next, x);
    await refusesRun({ shape: [216], data: x.data }, /the input is \[216\]; the net was loaded for \[2, 3, 6, 6\]/);
    await refusesRun({ shape: x.shape, data: [...x.data] }, /must be a Float32Array/);
    await refusesRun([...x.data], /must be a Float32Array/);
  }));

test("unknown features and options are refused", () =>
  withTiny(async (net) => {
    const refusesOptions = (options: object, message: RegExp) =>
      refuses(() => net.run(draw(), options), UsageError, "USAGE", message);
    await refusesOptions(
      { features: ["conv3"] },
      /no layer called "conv3"; there are conv1, bn1, relu, conv2, bn2, sum, fc/,
    );
    await refusesOptions({ feature: ["relu"] }, /run\(\) has no option "feature"; its options are features/);
  }));

test("whatever goes wrong while loading, nothing stays on the GPU", async () => {
  const { "fc.bias": bias, ...missing } = tensors;
  const refusesLoad = (weights: Weights, kind: typeof WeightsError | typeof FileError, code: string, message: RegExp) =>
    refuses(() => load(gpu, { weights }), kind, code, message);

  await refusesLoad(missing, WeightsError, "WEIGHTS", /1 tensor missing \(fc.bias\)/);
  await assertNothingLeft();
  await refusesLoad({ ...tensors, "fc2.bias": bias }, WeightsError, "WEIGHTS", /1 tensor extra \(fc2.bias\)/);
  await assertNothingLeft();
  const checkpoint = arraysCheckpoint(tensors);
  const broken = {
    ...checkpoint,
    async read(name: string, start?: number, count?: number) {
      if (name === "fc.weight") throw new FileError("the disk is gone");
      return checkpoint.read(name, start, count);
    },
  };
  await refusesLoad(broken, FileError, "FILE", /the disk is gone/);
  await assertNothingLeft();
});

test("a load can be aborted, at once or halfway", async () => {
  const rejection = async (options: LoadOptions) =>
    load(gpu, options).then(
      () => assert.unreachable("the load was not aborted"),
      (error) => error,
    );
  assert.is((await rejection({ signal: AbortSignal.abort() })).name, "AbortError");
  assert.is(await rejection({ signal: AbortSignal.abort("why not") }), "why not");
  const controller = new AbortController();
  const seen: number[] = [];
  const onProgress = ({ loaded }: { loaded: number }) => {
    seen.push(loaded);
    if (seen.length === 2) controller.abort();
  };
  assert.is((await rejection({ signal: controller.signal, onProgress })).name, "AbortError");
  assert.is(seen.length, 2);
  await assertNothingLeft();
});

test("progress counts up to the total", async () => {
  const seen: { phase: string; loaded: number; total: number }[] = [];
  await withTiny(async () => {}, { passes: [], onProgress: (progress) => seen.push(progress) });
  const elements = Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0);
  assert.ok(seen.every(({ phase, total }) => phase === "load" && total === elements));
  assert.ok(seen.every(({ loaded }, i) => i === 0 || loaded > seen[i - 1].loaded));
  assert.is(seen.at(-1)?.loaded, elements);
});

test("NaN in the weights gives a warning, also when they are folded", async () => {
  const data = tensors["conv1.weight"].data.map((v, i) => (i === 7 ? NaN : v));
  const weights = { ...tensors, "conv1.weight": { ...tensors["conv1.weight"], data } };
  const warns = async (net: Net) => {
    assert.is(net.warnings.length, 1);
    assert.match(net.warnings[0], /conv1.weight.* has NaN or infinities in it/);
    const { logits } = await net.run(draw());
    assert.ok(logits.data.every(Number.isNaN));
  };
  await withTiny(warns, { weights });
  await withTiny(warns, { weights, passes: [] });
  await withTiny(async (net) => assert.equal(net.warnings, []));
});

test("close() ends the runs that are under way, and all that comes later", async () => {
  const own = await openGpu();
  const net = await load(own);
  const gone = /the GPU was used after it was disposed of/;
  const runs = [draw(), draw(), draw()].map((x) => refuses(() => net.run(x), DisposedError, "DISPOSED", gone));
  own.close();
  own.close();
  await Promise.all(runs);
  await refuses(() => net.run(draw()), DisposedError, "DISPOSED", gone);
  await refuses(() => load(own), DisposedError, "DISPOSED", gone);
  await refuses(() => own.eager(relu, draw()), DisposedError, "DISPOSED", gone);
  net.dispose();
  await assertNothingLeft(own);
});

test("dispatches are one pass, in which a pipeline that stays is set once", () => {
  const calls: string[] = [];
  const pass = {
    setPipeline: (pipeline: unknown) => calls.push(`pipeline ${pipeline}`),
    setBindGroup: (_index: number, group: unknown) => calls.push(`group ${group}`),
    dispatchWorkgroups: (...grid: number[]) => calls.push(`dispatch ${grid}`),
    end: () => calls.push("end"),
  };
  const dispatch = (pipeline: string, group: number) =>
    ({ pipeline, group, grid: [group, 1, 1] }) as unknown as Dispatch;
  const encoder = { beginComputePass: () => pass } as unknown as GPUCommandEncoder;
  encode(encoder, [dispatch("a", 1), dispatch("a", 2), dispatch("b", 3), dispatch("a", 4)]);
  const wanted = "pipeline a, group 1, dispatch 1,1,1, group 2, dispatch 2,1,1, pipeline b, group 3, dispatch 3,1,1";
  assert.is(calls.join(", "), `${wanted}, pipeline a, group 4, dispatch 4,1,1, end`);
});

test("an output can stay on the GPU, to be used there", () =>
  withTiny(async (net) => {
    const executable = await net.executable(["relu"]);
    const x = draw();
    const all = await executable.run({ x: x.data });
    assert.equal(Object.keys(await executable.run({ x: x.data }, ["logits"])), ["logits"]);
    const MAP_READ = 1;
    const COPY_DST = 8;
    const staging = gpu.device.createBuffer({ size: 4 * all.relu.data.length, usage: MAP_READ | COPY_DST });
    await executable.exclusive(async () => {
      const encoder = gpu.device.createCommandEncoder();
      const { buffer, offset } = executable.output("relu");
      encoder.copyBufferToBuffer(buffer, offset, staging, 0, staging.size);
      gpu.device.queue.submit([encoder.finish()]);
      await gpu.settle(staging.mapAsync(MAP_READ));
    });
    assert.equal(new Float32Array(staging.getMappedRange().slice(0)), all.relu.data);
    staging.destroy();
    assert.throws(() => executable.output("sum"), /the output is "sum"; it must be one of logits, probabilities, relu/);
  }));

test.run();
