import { test } from "uvu";
import * as assert from "uvu/assert";
import { traceNet } from "../../../engine/definition.ts";
import { F16 } from "../../../engine/device/f16.ts";
import { compile } from "../../../engine/graph/compile.ts";
import { GpuError, UsageError } from "../../../engine/ground/errors.ts";
import { fromHalf, toHalf } from "../../../engine/ground/half.ts";
import { variants } from "../../../kernels/variants.ts";
import { nets } from "../../../nets/index.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { resnet18 } from "../../../nets/resnet.ts";
import { open, randomTensor, refuses } from "../../harness.ts";

const gpu = await open();
const { f16 } = gpu.traits;
/** Adapters without f16 have nothing to run; what they say is tested below. */
const onF16 = (name: string, work: () => Promise<void>) =>
  test(f16 ? name : `${name}: skipped, the adapter has no f16`, async () => {
    if (f16) await work();
  });

const bitsOf = (values: readonly number[]): number[] => [...(F16.pack(Float32Array.from(values)) as Uint16Array)];

test("every f16 survives packing and unpacking, and what is between rounds as one by one", () => {
  const halves = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i).filter((h) => (h & 0x7fff) <= 0x7c00);
  const values = Float32Array.from(halves, fromHalf);
  assert.equal([...(F16.pack(values) as Uint16Array)].slice(0, halves.length), [...halves]);
  assert.equal([...F16.unpack(halves.slice().buffer, 100)], [...values.subarray(0, 100)]);
  const between = Float32Array.from({ length: 10_000 }, () => (Math.random() - 0.5) * 2 ** (Math.random() * 45 - 28));
  assert.equal(bitsOf([...between]), Array.from(between, toHalf));
});

test("special values are packed as IEEE 754 has them", () => {
  assert.equal(
    bitsOf([0, -0, Infinity, -Infinity, NaN, 65504, 65519, 65520, 2 ** -24, 2 ** -25, 2 ** -25 * 1.001, 2 ** -26]),
    [0, 0x8000, 0x7c00, 0xfc00, 0x7e00, 0x7bff, 0x7bff, 0x7c00, 1, 0, 1, 0],
  );
  const check = (...values: number[]) => {
    const given = Float32Array.from(values);
    F16.checkPacked?.("fc.weight", given, F16.pack(given));
  };
  check(1, Infinity, NaN, 65519);
  assert.throws(() => check(1, 70000), /^fc.weight holds values beyond 65504/);
  assert.is(F16.pack(Float32Array.of(1, 2, 3)).length, 4, "filled up to whole words");
});

/** The largest difference of two outputs over the rms of the second. */
function errorOverRms(got: Float32Array, want: Float32Array): number {
  const rms = Math.sqrt(want.reduce((sum, value) => sum + value * value, 0) / want.length);
  return got.reduce((most, value, i) => Math.max(most, Math.abs(value - want[i])), 0) / rms;
}

onF16("a net of dtype f16 computes what it does in f32, to f16's precision, in half the memory", async () => {
  for (const name of ["lenet5", "resnet18"]) {
    const definition = nets[name];
    const weights = randomWeights(definition, {});
    const [whole, half] = await Promise.all([
      gpu.loadNet(name, { weights, batch: 2 }),
      gpu.loadNet(name, { weights, batch: 2, dtype: "f16" }),
    ]);
    const x = randomTensor(whole.inputShape);
    const options = { features: [name === "lenet5" ? "pool1" : "layer2"] };
    const [want, got] = [await whole.run(x, options), await half.run(x, options)];
    assert.ok(errorOverRms(got.logits.data, want.logits.data) < 0.02, name);
    assert.ok(errorOverRms(got.logits.data, want.logits.data) > 0, "it is f16 indeed");
    for (const [feature, { data }] of Object.entries(got.features)) {
      assert.ok(errorOverRms(data, want.features[feature].data) < 0.02, feature);
    }
    const bytes = ({ buffers }: { buffers: readonly number[] }) => buffers.reduce((sum, size) => sum + size, 0);
    assert.ok(bytes(await half.plan()) < 0.6 * bytes(await whole.plan()));
    whole.dispose();
    half.dispose();
  }
});

onF16("an overflow is told, not passed on", async () => {
  const weights = randomWeights(nets.resnet18, {});
  const net = await gpu.loadNet("resnet18", { weights, dtype: "f16" });
  const x = randomTensor(net.inputShape, 1e5);
  await refuses(
    () => net.run(x),
    GpuError,
    "OVERFLOW",
    /logits has infinite values or NaN.*65504.*Pass the option dtype: "f32"/,
  );
  // What comes in is not blamed on f16, and the net goes on.
  x.data.fill(NaN);
  assert.ok(Number.isNaN((await net.run(x)).logits.data[0]));
  assert.ok(Number.isFinite((await net.run(randomTensor(net.inputShape))).logits.data[0]));
  net.dispose();
});

onF16("a weight that f16 cannot hold is refused by name", async () => {
  const source = randomWeights(nets.lenet5, {});
  const tensors: Record<string, { shape: readonly number[]; data: Float32Array }> = {};
  for (const [name, { shape }] of source.tensors) tensors[name] = { shape, data: await source.read(name) };
  tensors["linear1.weight"].data[5] = 1e6;
  const load = () => gpu.loadNet("lenet5", { weights: tensors, dtype: "f16" });
  await refuses(load, GpuError, "OVERFLOW", /linear1.weight holds values beyond 65504.*"f32"/);
});

test("an adapter without f16, and a dtype that does not exist, are told", async () => {
  const graph = traceNet(resnet18, [1, 3, 224, 224], resnet18.options);
  const traits = { subgroupSize: 8, software: true, maxBinding: 2 ** 27 };
  const target = { traits, variants, limits: gpu.limits };
  const message = /this adapter computes no f16 \(it lacks "shader-f16"\): pass the option dtype: "f32"/;
  await refuses(() => compile(graph, ["logits"], target, { dtype: "f16" }), UsageError, "USAGE", message);
  const unknown = () => compile(graph, ["logits"], target, { dtype: "f8" as "f16" });
  await refuses(unknown, UsageError, "USAGE", /dtype is "f8"; it must be one of f32, f16/);
});

test.run();
