import { test } from "uvu";
import * as assert from "uvu/assert";
import { type SelfTest, selfTests } from "../../cli/selftest.ts";
import { conv2dTileVariants } from "../../kernels/conv2d/variants_gpu.ts";
import { open } from "../harness.ts";

const gpu = await open();

async function testOf(variant: string): Promise<SelfTest | undefined> {
  const table = { conv2d: conv2dTileVariants.filter(({ name }) => name === variant) };
  for await (const found of selfTests(gpu, table)) if (found.kernel === variant) return found;
  return undefined;
}

test("what takes no f32 is tested in f16, where the adapter has it", async () => {
  const found = await testOf("conv2d_tile_f16_16");
  if (!gpu.traits.f16) assert.is(found, undefined);
  else {
    assert.is(found?.ok, true, found?.message);
    assert.ok((found?.error ?? 0) > 1e-5, "it is f16 indeed");
  }
});

test.run();
