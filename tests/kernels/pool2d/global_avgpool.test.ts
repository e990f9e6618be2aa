import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../../engine/definition.ts";
import { compile } from "../../../engine/graph/compile.ts";
import { globalAvgPool } from "../../../kernels/pool2d/global_avgpool.ts";
import { rates } from "../../../kernels/rates.ts";
import { variants } from "../../../kernels/variants.ts";
import { nets } from "../../../nets/index.ts";
import { checkKernel, int, open, pick, randomTensor, rounds } from "../../harness.ts";

const gpu = await open();

test("random images, of fewer pixels than threads share, of as many, and of more", async () => {
  for (let i = 0; i < rounds(24, 6); i++) {
    const pixels = pick(1, int(2, 63), 64, 256, int(65, 1000), int(1001, 3000));
    await checkKernel(gpu, globalAvgPool, { x: randomTensor([int(1, 3), pixels, 4 * int(1, 20)]) });
  }
});

test("GPUs take it for whole images, and nobody else does", () => {
  const kernels = (name: string, software: boolean) => {
    const traits = { subgroupSize: 8, software, maxBinding: 2 ** 27, rates: software ? rates.software : rates.intel };
    const { steps } = compile(trace(nets[name], {}), ["logits"], { traits, variants, limits: gpu.limits });
    return steps.map(({ kernel }) => kernel).filter((kernel) => /avgpool|mean/.test(kernel));
  };
  assert.equal(new Set(kernels("mobilenet_v3_small", false)), new Set(["global_avgpool"]));
  for (const net of ["resnet18", "mnasnet0_5", "shufflenet_v2_x0_5"]) {
    assert.equal(kernels(net, false), ["global_avgpool"], net);
  }
  assert.equal(kernels("mnasnet0_5", true), ["mean"]);
  assert.not.ok(kernels("mobilenet_v3_small", true).includes("global_avgpool"));
});

test.run();
