import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Gpu, openGpu } from "../../../engine/gpu.ts";
import { deriveParam } from "../../../engine/graph/graph.ts";
import type { AnyVariant } from "../../../engine/graph/variant.ts";
import { GpuError, UsageError } from "../../../engine/ground/errors.ts";
import { nodeHost } from "../../../engine/node/dawn.ts";
import { encodeJson, measureNet, sourceOf } from "../../../engine/tuning/figures.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { idle, open, refuses, small } from "../../harness.ts";

const gpu = await open();
const weights = randomWeights(small);

async function assertNothingLeft(of: Gpu): Promise<void> {
  await idle();
  assert.equal(of.alive, { buffers: 0, bytes: 0 });
}

/** A variant of linear whose weights are too large by a factor. */
const offBy = (factor: number): AnyVariant => ({
  name: "linear_off",
  refuses: () => undefined,
  gains: () => true,
  build({ x, w, b }, { options }) {
    const scaled = deriveParam(w, "off", w.shape, (values: Float32Array) => values.map((value) => factor * value));
    return linear(x, scaled, b, options);
  },
});

/** Does something with a device whose linear layers are off. */
async function withOff<T>(factor: number, work: (gpu: Gpu) => Promise<T>): Promise<T> {
  const other = await openGpu({ variants: { linear: [offBy(factor)] } }, nodeHost);
  try {
    return await work(other);
  } finally {
    await assertNothingLeft(other);
    other.close();
  }
}

test("a net's times are of so many runs, and its cold one only of a device that was just opened", async () => {
  for (const [batch, runs, isCold] of [
    [1, 1, false],
    [3, 5, true],
  ] as const) {
    const figures = await measureNet(gpu, small, { weights, batch, runs, isCold });
    const { medianMs, fastestMs, coldMs } = figures;
    assert.equal([figures.net, figures.batch, figures.dtype, figures.runs], ["small", batch, "f32", runs]);
    assert.ok(0 < fastestMs && fastestMs <= medianMs);
    assert.is("coldMs" in figures, isCold);
    if (isCold) assert.ok((coldMs ?? 0) > 0);
  }
  await assertNothingLeft(gpu);
});

test("the agreement is what the net is off by, in every image of the batch that is looked at", async () => {
  for (const [factor, batch] of [
    [1, 1],
    [1 + 1e-5, 1],
    [1 + 1e-5, 4],
    [1 - 2e-5, 2],
  ]) {
    const { agreement } = await withOff(factor, (other) => measureNet(other, small, { weights, batch, runs: 1 }));
    const off = Math.abs(factor - 1);
    // The largest of seven logits is at most sqrt(7) times their rms, and at least as large.
    const [least, most] = off === 0 ? [0, 1e-6] : [0.5 * off, 2.7 * off];
    assert.ok(agreement >= least && agreement <= most, `${factor}: ${agreement}`);
  }
});

test("a net that computes something else has no figures", async () => {
  const message =
    /^small is wrong on this adapter: the logits differ from the plain kernels' by 0\.0\d+ of their rms, 0\.00004 are/;
  const measure = () => withOff(1.02, (other) => measureNet(other, small, { weights, runs: 1 }));
  await refuses(measure, GpuError, "GPU", message);
});

test("in f16 it is held against float32", async () => {
  const measure = () => measureNet(gpu, small, { weights, dtype: "f16", runs: 1 });
  if (!gpu.traits.f16) return refuses(measure, UsageError, "USAGE", /f16/);
  const { agreement, dtype } = await measure();
  assert.is(dtype, "f16");
  assert.ok(agreement > 1e-5 && agreement < 0.05, `${agreement}`);
});

test("it ends when it is told to", async () => {
  const aborted = AbortSignal.abort(new Error("enough"));
  const error = await measureNet(gpu, small, { weights, signal: aborted }).catch((reason) => reason);
  assert.is(error.message, "enough");
  const stop = new AbortController();
  const slow = {
    ...weights,
    async read(...given: Parameters<typeof weights.read>) {
      stop.abort(new Error("enough"));
      return weights.read(...given);
    },
  };
  const later = await measureNet(gpu, small, { weights: slow, signal: stop.signal }).catch((reason) => reason);
  assert.is(later.message, "enough");
  await assertNothingLeft(gpu);
});

test("a file says what it was measured on, as far as anybody tells", () => {
  const about = { shadenet: "9.8.7", runtime: "Node 1", os: "an os", backend: "vulkan" };
  const { date, ...source } = sourceOf(gpu, about);
  const { vendor, architecture, device, description, software } = gpu.adapter;
  const adapter = { vendor, architecture, device, description, software };
  assert.equal(source, { format: "shadenet figures", version: 1, ...about, adapter, driver: description });
  assert.is(new Date(date).toISOString(), date);
  const device2 = { adapterInfo: { backend: "d3d12", driver: "31.0.1" } };
  const told = sourceOf({ ...gpu, adapter: gpu.adapter, device: device2 } as unknown as Gpu, about);
  assert.equal([told.backend, told.driver], ["d3d12", "31.0.1"]);
  const silent = sourceOf({ adapter: gpu.adapter, device: {} } as unknown as Gpu, about);
  assert.equal([silent.backend, silent.driver], ["vulkan", description]);
  assert.is(encodeJson({ a: 1.23456789, b: [7] }), '{\n "a": 1.23457,\n "b": [\n  7\n ]\n}\n');
});

test.run();
