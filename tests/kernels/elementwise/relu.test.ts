import { test } from "uvu";
import { UsageError } from "../../../engine/ground/errors.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import {
  apply,
  checkBits,
  drawShape,
  open,
  refuses,
  rounds,
  specialTensor,
  testGoldens,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

test("random tensors, on bits: NaN stays, -0 becomes 0", async () => {
  for (let i = 0; i < rounds(40); i++) {
    await checkBits(gpu, relu, { x: specialTensor(drawShape(i)) });
  }
});

test("it has no options", () =>
  refuses(() => apply(relu, [[3]], { inplace: true }), UsageError, "USAGE", /relu has no option "inplace"; it has no/));

testVariants(gpu, relu);
await testGoldens(gpu, "relu");
test.run();
