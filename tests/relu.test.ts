import { test } from "uvu";
import { UsageError } from "../engine/errors.ts";
import { evaluateReference } from "../engine/kernel.ts";
import { relu } from "../kernels/relu.ts";
import { apply, open, randomShape, refuses, sameBits, specialTensor, testGoldens } from "./harness.ts";

const gpu = await open();

test("40 random tensors, on bits: NaN stays, -0 becomes 0", async () => {
  for (let i = 0; i < 40; i++) {
    const x = specialTensor(randomShape());
    sameBits(await gpu.eager(relu, x), evaluateReference(relu, { x }));
  }
});

test("it has no options", () =>
  refuses(() => apply(relu, [[3]], { inplace: true }), UsageError, "USAGE", /relu has no option "inplace"; it has no/));

await testGoldens(gpu, "relu");
test.run();
