import { test } from "uvu";
import { sum } from "../../kernels/sum.ts";
import { open } from "../harness.ts";
import { testReduction } from "./reduction.ts";

testReduction(await open(), sum);

test.run();
