import { test } from "uvu";
import { mean } from "../../kernels/mean.ts";
import { open, testGoldens } from "../harness.ts";
import { testReduction } from "./reduction.ts";

const gpu = await open();

testReduction(gpu, mean);

await testGoldens(gpu, "mean");
test.run();
