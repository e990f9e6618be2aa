import { test } from "uvu";
import { ShapeError } from "../../../engine/ground/errors.ts";
import { toNchw } from "../../../kernels/layout/to_nchw.ts";
import { toNhwc } from "../../../kernels/layout/to_nhwc.ts";
import {
  apply,
  checkBits,
  int,
  type Operator,
  open,
  pick,
  refuses,
  rounds,
  sameBits,
  specialTensor,
} from "../../harness.ts";

const gpu = await open();

test("random images, on bits, with any of the channels left out at the end", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const channels = 4 * int(1, 4);
    const x = specialTensor([pick(1, 3, 5), int(1, 9), int(1, 9), channels]);
    await checkBits(gpu, toNchw, { x }, { channels: int(1, channels) });
  }
});

test("it undoes to_nhwc", async () => {
  for (let channels = 1; channels < 10; channels++) {
    const x = specialTensor([2, channels, 3, 5]);
    sameBits(await gpu.eager(((v) => toNchw(toNhwc(v), { channels })) as Operator, x), x);
  }
});

test("more channels than there are, or none, are refused", async () => {
  for (const channels of [9, 0, 1.5]) {
    const call = () => apply(toNchw, [[1, 2, 3, 8]], { channels });
    await refuses(
      call,
      ShapeError,
      "SHAPE",
      /to_nchw takes \[N, H, W, 4 C\] and at most 4 C channels, got \[1, 2, 3, 8\] and/,
    );
  }
});

test.run();
