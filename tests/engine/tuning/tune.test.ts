import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { kernelsCommand } from "../../../bench/kernels.ts";
import type { AnyNet, NetDefinition, NetOptions } from "../../../engine/definition.ts";
import type { Host } from "../../../engine/device/host.ts";
import { type Gpu, type OpenOptions, openGpu as openWith } from "../../../engine/gpu.ts";
import { defineKernel, type KernelSpec } from "../../../engine/graph/kernel.ts";
import type { Value } from "../../../engine/graph/value.ts";
import type { AnyVariant, Variants } from "../../../engine/graph/variant.ts";
import { FileError, GpuError, ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import { storedFile } from "../../../engine/node/storage.ts";
import { tuningName } from "../../../engine/tuning/kept.ts";
import { type TuneOptions, tune } from "../../../engine/tuning/tune.ts";
import { nets, openGpu } from "../../../index.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { sigmoid } from "../../../kernels/elementwise/sigmoid.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import { maxPool2d } from "../../../kernels/pool2d/maxpool2d.ts";
import { rates } from "../../../kernels/rates.ts";
import { softmax } from "../../../kernels/softmax.ts";
import { variants } from "../../../kernels/variants.ts";
import { convLayer, linearLayer } from "../../../nets/layers.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { eachFails, folder, inFolder, shadenet } from "../../cli/harness.ts";
import { idle, inDepth, refuses, withNet } from "../../harness.ts";

/** A net of one's own. */
const netOf = (build: (x: Value, options: NetOptions) => Value, inChannels = 128): NetDefinition => ({
  name: "small",
  options: { inChannels, numClasses: 64 },
  imageSize: [16, 16],
  build,
  probabilities: (logits) => softmax(logits, { dim: 1 }),
  preprocess: () => new Float32Array(),
  labels: async () => [],
  weights: {},
});

/** Two convolutions that are alike, and a linear layer: each with variants to choose from. */
const smallOf = (channels: number, pool: number): NetDefinition =>
  netOf((x, { numClasses }) => {
    const conv = (name: string, v: Value) => relu(convLayer(name, v, channels, 3, { padding: 1 }));
    const y = maxPool2d(conv("conv2", conv("conv1", x)), { kernel: pool });
    return linearLayer("fc", flatten(y), numClasses);
  }, channels);

const small = smallOf(128, 4);
/** The same, for tests that do not care which variants there are. */
const light = smallOf(8, 2);

/**
 * A choice that costs no compiling, for tests that do not care between what: each kernel that differs takes a software
 * adapter a while.
 */
const again = (name: string): AnyVariant => ({
  name,
  refuses: () => undefined,
  build: ({ x, w, b }, { options }, _setting, plain) => plain(x, w, b, options),
});
const few: Variants = {
  ...variants,
  conv2d: [again("conv2d_again"), again("conv2d_once_more")],
  linear: [again("linear_again"), again("linear_once_more")],
};

/** Opens a GPU whose host keeps texts here, uses it and asserts that nothing is left on it. */
async function withGpu<T>(
  use: (gpu: Gpu) => Promise<T>,
  options: OpenOptions = {},
  texts = new Map<string, string>(),
): Promise<T> {
  const storage: Host["storage"] = {
    read: async (name) => texts.get(name),
    update: async (name, change) => void texts.set(name, change(texts.get(name))),
  };
  const gpu = await openWith({ nets, variants, rates, kernelHash: "abc", ...options }, { ...nodeHost, storage });
  try {
    const result = await use(gpu);
    await idle();
    assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
    return result;
  } finally {
    gpu.close();
  }
}

const namesOf = (operator: string): string[] => [operator, ...variants[operator].map(({ name }) => name)];

inDepth("every layer with a choice is measured once, and the fastest variant is kept and taken", async () => {
  const texts = new Map<string, string>();
  const results = await withGpu(
    async (gpu) => {
      const tuned = await tune(gpu, small, { runs: 2 });
      assert.equal(
        tuned.map(({ layers }) => layers),
        [["conv1", "conv2"], ["fc"]],
      );
      for (const { key, best, estimated, times } of tuned) {
        const operator = key.split(" ")[0];
        const tried = times.map(({ variant }) => variant);
        assert.is(new Set(tried).size, times.length);
        assert.ok(tried.length > 1 && tried.every((name) => namesOf(operator).includes(name)));
        assert.ok(namesOf(operator).includes(estimated));
        assert.is(best, tried[0]);
        for (const { variant, milliseconds = -1, problem } of times) {
          assert.is(problem, undefined, `${variant}: ${problem}`);
          assert.ok(milliseconds >= 0);
        }
        assert.ok(
          times.every(({ milliseconds = 0 }, i) => i === 0 || milliseconds >= (times[i - 1].milliseconds ?? 0)),
        );
      }
      assert.equal(gpu.tuned, new Map(tuned.map(({ key, best }) => [key, best])));
      return tuned;
    },
    {},
    texts,
  );
  await withGpu(
    async (gpu) => {
      assert.equal(gpu.warnings, []);
      assert.equal(gpu.tuned, new Map(results.map(({ key, best }) => [key, best])));
      await withNet(gpu, small, { weights: randomWeights(small, {}) }, async (net) => {
        const { steps } = await net.plan();
        for (const { layers, best } of results) {
          for (const layer of layers) {
            const { choice } = steps.find(({ label }) => label === layer) ?? {};
            assert.equal([choice?.variant, choice?.why], [best, "measured on this adapter"]);
          }
        }
      });
    },
    {},
    texts,
  );
});

test("what is not kept any more is estimated, and told once when the device is opened", async () => {
  const texts = new Map<string, string>();
  const name = await withGpu(async (gpu) => tuningName(gpu.adapter));
  for (const [text, message] of [
    ["{", /is damaged/],
    ['{"kernels":"abd","choices":{}}', /another version/],
    ['{"kernels":"abc","choices":{"conv2d":"fft"}}', /"fft"/],
  ] as const) {
    texts.set(name, text);
    await withGpu(
      async (gpu) => {
        assert.is(gpu.warnings.length, 1);
        assert.match(gpu.warnings[0], message);
        assert.is(gpu.tuned.size, 0);
        await withNet(gpu, "lenet5", {}, async (net) => void (await net.run(new Float32Array(1024))));
        // Tuning again puts it right.
        await tune(gpu, "lenet5", {});
      },
      {},
      texts,
    );
    await withGpu(async (gpu) => assert.equal(gpu.warnings, []), {}, texts);
  }
});

test("another net adds to what was kept", async () => {
  const texts = new Map<string, string>();
  const convOnly = netOf(
    (x) => linearLayer("fc", flatten(maxPool2d(convLayer("conv", x, 16, 3), { kernel: 7 })), 64),
    8,
  );
  const first = await withGpu((gpu) => tune(gpu, convOnly, { runs: 1 }), { variants: few }, texts);
  const second = await withGpu((gpu) => tune(gpu, light, { runs: 1 }), { variants: few }, texts);
  const keys = [...first, ...second].map(({ key }) => key);
  await withGpu(
    async (gpu) => assert.equal([...gpu.tuned.keys()].sort(), [...new Set(keys)].sort()),
    { variants: few },
    texts,
  );
  assert.ok(keys.length > second.length);
});

test("the number of images counts, and progress is told layer by layer", async () => {
  await withGpu(
    async (gpu) => {
      const told: unknown[] = [];
      const [{ key }] = await tune(gpu, light, { batch: 2, runs: 1, onProgress: (progress) => told.push(progress) });
      assert.match(key, /^conv2d x \[2, 8, 16, 16\], w \[8, 8, 3, 3\], b \[8\] \{.*"activation":"relu"\}$/);
      assert.equal(
        told,
        ["conv1", "maxpool2d", "fc"].map((file, loaded) => ({ phase: "tune", file, loaded, total: 3 })),
      );
    },
    { variants: few },
  );
});

inDepth("a net whose batch the device cannot bind at once is tuned for the slices that it runs in", async () => {
  // 192 images of 16 x 16 pixels make 1,024 channels of 201 MB.
  const wide = netOf((x) => {
    const y = maxPool2d(convLayer("conv", x, 1024, 1), { kernel: 16 });
    return linearLayer("fc", flatten(y), 128);
  }, 1);
  const options: OpenOptions = { limits: "default", variants: { linear: few.linear } };
  const [{ key }] = await withGpu((gpu) => tune(gpu, wide, { batch: 192, runs: 1 }), options);
  assert.match(key, /^linear x \[96, 1024\]/);
});

/** A net of one operator, whose variants are given. */
const reluNet = netOf((x) => linear(flatten(relu(x)), x.graph.param("w", [4, 128 * 256])));

const variantOf = (name: string, build: (x: Value) => Value): AnyVariant => ({
  name,
  refuses: () => undefined,
  build: ({ x }) => build(x),
});

const broken = defineKernel({
  ...(relu as unknown as KernelSpec<"x", object>),
  name: "broken",
  wgsl: relu.wgsl.replace("fn main", "fn"),
});

test("a variant that is wrong or does not compile is told, and never taken", async () => {
  const wrong = variantOf("wrong", (x) => sigmoid(x));
  const twice = variantOf("twice", (x) => relu(relu(x)));
  const fails = variantOf("fails", (x) => broken(x));
  const options = { variants: { relu: [wrong, fails, twice] }, rates: undefined };
  const [{ best, times }] = await withGpu((gpu) => tune(gpu, reluNet, { runs: 1 }), options);
  assert.ok(["relu", "twice"].includes(best));
  const problems = times.filter(({ milliseconds }) => milliseconds === undefined);
  assert.equal(
    problems.map(({ variant }) => variant),
    ["wrong", "fails"],
  );
  assert.is(problems[0].problem, "its results are wrong");
  assert.match(problems[1].problem ?? "", /the kernel broken does not compile/);
  assert.equal(times.slice(-2), problems);
});

test("where all candidates are wrong the operator's own kernel is taken, though it would be hopeless", async () => {
  const known = { ...rates.gpu, efficiency: { relu: 1e-9 } };
  const wrong = (name: string) => variantOf(name, (x) => sigmoid(x));
  const options = { variants: { relu: [wrong("a"), wrong("b")] }, rates: { software: known, gpu: known } };
  const [{ best, times }] = await withGpu((gpu) => tune(gpu, reluNet, { runs: 1 }), options);
  assert.is(best, "relu");
  assert.equal(
    times,
    ["a", "b"].map((variant) => ({ variant, problem: "its results are wrong" })),
  );
});

test("an abort ends it between two runs; what was measured before is kept", async () => {
  const texts = new Map<string, string>();
  const abortAt = async (when: (gpu: Gpu, abort: () => void) => TuneOptions["onProgress"]) => {
    await withGpu(
      async (gpu) => {
        const stop = new AbortController();
        const onProgress = when(gpu, () => stop.abort());
        const error = await tune(gpu, light, { runs: 2, signal: stop.signal, onProgress }).catch((reason) => reason);
        assert.is(error, stop.signal.reason);
      },
      { variants: few },
      texts,
    );
  };
  // In the middle of the first layer: when the second variant gets its buffers, and when it is timed.
  for (const label of ["output y", "timestamps"]) {
    let seen = 0;
    await abortAt((gpu, abort) => {
      const { createBuffer } = gpu;
      gpu.createBuffer = (name, ...rest) => {
        if (name === label && ++seen === 2) abort();
        return createBuffer.call(gpu, name, ...rest);
      };
      return ({ loaded }) => loaded === 2 && abort();
    });
  }
  await abortAt(
    (_gpu, abort) =>
      ({ file }) =>
        file === "fc" && abort(),
  );
  const text = texts.get(await withGpu(async (gpu) => tuningName(gpu.adapter))) ?? "";
  assert.equal(
    Object.keys(JSON.parse(text).choices).map((key) => key.split(" ")[0]),
    ["conv2d"],
  );
  await withGpu((gpu) =>
    refuses(() => tune(gpu, light, { signal: AbortSignal.abort(new UsageError("no")) }), UsageError, "USAGE", /no/),
  );
});

test("a device that is lost says so", async () => {
  const gpu = await openWith({ nets, variants: few, rates }, nodeHost);
  const lost = tune(gpu, light, { onProgress: ({ file }) => file === "fc" && gpu.device.destroy() });
  await refuses(() => lost, GpuError, "DEVICE_LOST", /the GPU device was lost/);
  await idle();
  assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
  gpu.close();
});

test("where nothing can be kept it says so before much is measured", async () => {
  const update = () => Promise.reject(new Error("the disk is full"));
  const gpu = await openWith(
    { variants: few, rates, kernelHash: "abc" },
    { ...nodeHost, storage: { read: async () => undefined, update } },
  );
  const told: string[] = [];
  const failed = () => tune(gpu, light, { runs: 1, onProgress: ({ file }) => told.push(file) });
  await refuses(failed, FileError, "FILE", /^what was measured cannot be kept: the disk is full$/);
  assert.equal(told, ["conv1"]);
  // This device has it all the same.
  assert.is(gpu.tuned.size, 1);
  await idle();
  assert.equal(gpu.alive, { buffers: 0, bytes: 0 });
  gpu.close();
});

test("what is wrong is refused before anything is measured", async () => {
  await withGpu(async (gpu) => {
    const fails = (net: string | AnyNet, options: object) => () => tune(gpu, net, { ...options });
    const usage = (net: string | AnyNet, options: object, message: RegExp) =>
      refuses(fails(net, options), UsageError, "USAGE", message);
    await usage("lenet6", {}, /no net "lenet6"; there are lenet5, /);
    await usage(small, { run: 1 }, /tuning small has no option "run"; its options are inChannels, .*runs, onProgress/);
    await usage(small, { weights: "a.pth" }, /no option "weights"/);
    await usage(small, { numClasses: 0 }, /numClasses is 0; it must be a positive integer/);
    for (const runs of [0, 1.5, -1, "3"]) await usage(small, { runs }, /runs is .*; it must be a positive integer/);
    await refuses(fails(small, { batch: 0 }), ShapeError, "SHAPE", /batch is 0/);
    await refuses(fails("lenet5", { imageSize: 9 }), ShapeError, "SHAPE", /cannot take images of 9 x 9 pixels/);
  });
});

test("Node keeps it in the cache folder, from which the next openGpu() takes it", async () => {
  const before = process.env.SHADENET_CACHE;
  process.env.SHADENET_CACHE = inFolder("cache");
  try {
    const gpu = await openGpu({ variants: few });
    const tuned = await tune(gpu, light, { runs: 1 });
    const file = storedFile(tuningName(gpu.adapter));
    gpu.close();
    const { choices } = JSON.parse(await readFile(file, "utf8"));
    assert.equal(choices, Object.fromEntries(tuned.map(({ key, best }) => [key, best])));
    const next = await openGpu({ variants: few });
    next.close();
    assert.equal([Object.fromEntries(next.tuned), next.warnings], [choices, []]);
    await writeFile(file, "no JSON");
    const last = await openGpu();
    last.close();
    assert.equal([last.tuned.size, last.warnings.length], [0, 1]);
    await rm(file);
    assert.not((await readdir(inFolder("cache"))).some((name) => name.endsWith(".part")));
  } finally {
    if (before === undefined) delete process.env.SHADENET_CACHE;
    else process.env.SHADENET_CACHE = before;
  }
});

inDepth("shadenet tune: a row for every candidate, and where it is kept", async () => {
  const { code, stdout, errors } = await shadenet(["tune", "mobilenet_v3_small", "--image-size", "32", "--runs", "1"]);
  assert.equal([code, errors], [0, []]);
  assert.match(stdout, /^mobilenet_v3_small on \[1, 3, 32, 32\], on .+; the fastest of 1 runs$/m);
  assert.match(stdout, /^Layer +Variant +Time$/m);
  assert.match(stdout, /^classifier\.3 +linear\w* +[\d.]+ ms +taken/m);
  assert.match(stdout, /^ {4,}linear\w* +[\d.]+ ms +[\d.]+ x/m);
  assert.match(stdout, /^\S+ and 1 more +conv2d\w* +[\d.]+ ms +taken/m);
  const rows = stdout.split("\n").filter((line) => / ms\b/.test(line));
  const marked = (mark: string) => rows.filter((row) => row.includes(mark)).length;
  const [, same, all] = /^The estimates would choose the same for (\d+) of (\d+)\.$/m.exec(stdout) ?? [];
  assert.is(marked("taken"), Number(all));
  assert.is(marked("estimated to be the best"), Number(all));
  assert.is(rows.filter((row) => /taken, estimated to be the best/.test(row)).length, Number(same));
  const [, file] = /^Kept in (.+)$/m.exec(stdout) ?? [];
  assert.ok(file.startsWith(inFolder("cache")));
  assert.is(Object.keys(JSON.parse(await readFile(file, "utf8")).choices).length, Number(all));
  assert.not.match(stdout, /NaN|undefined/);
});

test("shadenet tune: JSON, and nothing to choose", async () => {
  const { code, stdout, errors } = await shadenet(["tune", "lenet5", "--batch", "2", "--json"]);
  assert.equal([code, errors], [0, []]);
  const { net, input, adapter, runs, kept, layers } = JSON.parse(stdout);
  assert.equal([net, input, runs, layers], ["lenet5", [2, 1, 32, 32], 5, []]);
  assert.ok(adapter.name && kept.startsWith(inFolder("cache")));
  assert.match((await shadenet(["tune", "lenet5"])).stdout, /No layer has more than one candidate here/);
});

test("shadenet tune: what is wrong, in one line", async () => {
  const cases: [string[], number, RegExp][] = [
    [["lenet6"], 2, /no net "lenet6"; there are lenet5, /],
    [[], 2, /missing required argument 'net'; see shadenet tune --help/],
    [["lenet5", "--runs", "0"], 2, /'--runs <n>' argument '0' is invalid. It must be a positive integer/],
    [["lenet5", "--image-size", "9"], 1, /cannot take images of 9 x 9 pixels/],
  ];
  await eachFails(cases.map(([args, code, message]) => [["tune", ...args], code, message]));
});

inDepth("commands that open the GPU tell in one line what is wrong with what was kept", async () => {
  const [file] = (await readdir(inFolder("cache"))).filter((name) => name.startsWith("tuned-"));
  await writeFile(inFolder(`cache/${file}`), "no JSON\n");
  const message = /^shadenet: warning: what was measured on this adapter is ignored: tuned-.*\.json is damaged; run/;
  const digit = new URL("../../../../examples/digits/digit-1-a.png", import.meta.url).pathname;
  const programs: [args: string[], program?: typeof kernelsCommand][] = [
    [["--nets", "lenet5", "--variants", "softmax", "--runs", "1"], kernelsCommand],
    [["classify", digit]],
    [["tune", "lenet5"]],
  ];
  for (const [args, program] of programs) {
    const { code, errors } = await shadenet(args, { program, env: {} });
    assert.equal([code, errors.length], [0, 1], args[0]);
    assert.match(errors[0], message);
  }
  // The last one has put it right.
  assert.equal((await shadenet(["classify", digit], { env: {} })).errors, []);
  assert.not((await readdir(folder)).some((name) => name.endsWith(".part")));
});

test.run();
