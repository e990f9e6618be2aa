import { test } from "uvu";
import * as assert from "uvu/assert";
import { compile } from "../../../engine/graph/compile.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { sizeOf } from "../../../engine/ground/tensor.ts";
import { conv2dWeightGradient } from "../../../kernels/conv2d/conv2d_weight_gradient.ts";
import { batchNormGradientSums } from "../../../kernels/norm/batchnorm_gradient_sums.ts";
import { batchNormStatistics } from "../../../kernels/norm/batchnorm_statistics.ts";
import { rates } from "../../../kernels/rates.ts";
import { partOnGpu } from "../../../kernels/training/parts.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import { assertOutputs, inNhwc, open, randomTensors, runPlan } from "../../harness.ts";

const gpu = await open();
const { variants } = await tableFor();
const SHAPE = [2, 20, 60, 61];

type Sum = (x: Value, dy: Value, statistics: Value) => Value;
const CASES: readonly [kernel: string, variant: string, build: Sum][] = [
  ["batchnorm_statistics", "nhwc", (x) => batchNormStatistics(x)],
  ["batchnorm_gradient_sums", "nhwc", (x, dy, statistics) => batchNormGradientSums(dy, x, statistics)],
  [
    "conv2d_weight_gradient",
    "conv2d_depthwise_weight_gradient",
    (x, dy) => conv2dWeightGradient(x, dy, { kernel: 3, padding: 1, groups: SHAPE[1] }),
  ],
];

test("long sums are made in parts on every kind of GPU, which together are the whole", async () => {
  for (const vendor of ["gpu", "nvidia", "amd", "intel", "apple"]) {
    const traits = { ...gpu.traits, software: false, rates: rates[vendor] };
    for (const [kernel, variant, build] of CASES) {
      const graph = new Graph();
      const image = (name: string) => inNhwc(graph.input(name, SHAPE));
      graph.name("y", build(image("x"), image("dy"), graph.input("statistics", [2, SHAPE[1]])));
      const tensors = randomTensors(graph);
      tensors.statistics.data.forEach((v, i, all) => {
        all[i] = Math.abs(v);
      });
      const { limits } = gpu;
      const plan = compile(graph, ["y"], { traits, limits, variants }, { passes: [], variants: { [kernel]: variant } });
      const steps = plan.steps.map((step) => step.kernel);
      const sum = steps.findIndex((step) => step === kernel || step === variant);
      assert.ok(["sum", "batchnorm_merged"].includes(steps[sum + 1]), `${vendor}, ${kernel}: ${steps}`);
      assertOutputs(await runPlan(gpu, plan, tensors), graph, ["y"], tensors);
    }
  }
});

test("a part has no fewer terms than are worth it, and no more than a core's share", () => {
  const traits = (cores: number) => ({ ...gpu.traits, rates: { ...rates.gpu, cores } });
  assert.is(partOnGpu(1000, 1, 100, traits(1)), 250);
  assert.is(partOnGpu(1000, 1, 100, traits(64)), 100);
  assert.is(partOnGpu(1001, 8, 10, traits(4)), 501);
  assert.is(partOnGpu(sizeOf([10, 10]), 1, 512, traits(64)), 512);
});

test.run();
