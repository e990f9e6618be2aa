import { test } from "uvu";
import * as assert from "uvu/assert";
import { Graph } from "../../../engine/graph/graph.ts";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { runOnce } from "../../../engine/model.ts";
import { adaptiveAvgPool2d } from "../../../kernels/pool2d/adaptive_avgpool2d.ts";
import {
  apply,
  checkKernel,
  int,
  nonFiniteTensor,
  open,
  pairOf,
  pick,
  randomTensor,
  refuses,
  rounds,
  testGoldens,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

const draw = () => [pick(1, 3, 5), int(1, 7), int(1, 14), int(1, 14)];

test("random poolings, to smaller and to larger images", async () => {
  for (let i = 0; i < rounds(40); i++) {
    await checkKernel(gpu, adaptiveAvgPool2d, { x: randomTensor(draw()) }, { outputSize: pairOf(() => int(1, 16)) });
  }
});

test("10 random poolings over windows of one size", async () => {
  for (let i = 0; i < 10; i++) {
    const outputSize = [int(1, 4), int(1, 4)] as const;
    const x = randomTensor([int(1, 3), int(1, 9), ...outputSize.map((size) => size * int(1, 5))]);
    await checkKernel(gpu, adaptiveAvgPool2d, { x }, { outputSize });
  }
});

test("NaN and infinity reach the windows that see them, and no others", async () => {
  for (let i = 0; i < 10; i++) {
    await checkKernel(gpu, adaptiveAvgPool2d, { x: nonFiniteTensor(draw()) }, { outputSize: pairOf(() => int(1, 16)) });
  }
});

test("10 random averages of whole images of whole vec4s of channels", async () => {
  for (let i = 0; i < 10; i++) {
    const x = randomTensor([int(1, 3), 4 * int(1, 9), int(1, 9), int(1, 9)]);
    await checkKernel(gpu, adaptiveAvgPool2d, { x }, { outputSize: 1 });
  }
});

/** The rms of the relative errors: half a unit in the last place is 3e-8 of them, and a chain of 12544 terms 2e-6. */
for (const [variant, bound] of [
  ["adaptive_avgpool2d", 1.2e-7],
  ["avgpool2d_nhwc", 1.2e-7],
  ["global_avgpool", 1.2e-7],
] as const) {
  test(`the mean of a large image rounds little: ${variant}`, async () => {
    const graph = new Graph();
    const x = randomTensor([1, 64, 112, 112]);
    x.data.forEach((value, i) => {
      x.data[i] = Math.abs(value);
    });
    graph.name("y", adaptiveAvgPool2d(graph.input("x", x.shape), { outputSize: 1 }));
    const { y } = await runOnce(gpu, graph, { x }, ["y"], { variants: { adaptive_avgpool2d: variant } });
    const errors = Array.from(y.data, (got, channel) => {
      const want = x.data.subarray(channel * 112 ** 2, (channel + 1) * 112 ** 2).reduce((sum, v) => sum + v, 0);
      return got / (want / 112 ** 2) - 1;
    });
    const rms = Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / errors.length);
    assert.ok(rms < bound, `${rms}`);
  });
}

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(adaptiveAvgPool2d, [[1, 2, 3, 4]], options), UsageError, "USAGE", message);
  await refusesUse({}, /adaptive_avgpool2d needs the option "outputSize"/);
  await refusesUse({ outputSize: 0 }, /outputSize is 0; it must be an integer of at least 1, or \[height, width\]/);
  await refusesUse({ output_size: 1 }, /no option "output_size"; its options are outputSize/);
  const flat = () => apply(adaptiveAvgPool2d, [[3, 4]], { outputSize: 1 });
  await refuses(flat, ShapeError, "SHAPE", /adaptive_avgpool2d takes images of shape \[N, C, H, W\], got \[3, 4\]/);
});

testVariants(gpu, adaptiveAvgPool2d);
await testGoldens(gpu, "adaptive_avg_pool2d");
test.run();
