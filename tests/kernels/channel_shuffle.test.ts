import { test } from "uvu";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { channelShuffle } from "../../kernels/channel_shuffle.ts";
import {
  apply,
  checkBits,
  int,
  open,
  pick,
  randomShape,
  refuses,
  rounds,
  specialTensor,
  testGoldens,
  testVariants,
} from "../harness.ts";

const gpu = await open();

test("random tensors, on bits", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const groups = int(1, 5);
    const x = specialTensor([pick(1, 3, 5), groups * int(1, 5), ...randomShape(1, 2)]);
    await checkBits(gpu, channelShuffle, { x }, { groups });
  }
});

test("10 random images of whole vec4s of channels, on bits", async () => {
  for (let i = 0; i < 10; i++) {
    const groups = pick(1, 2, 4, 8);
    const x = specialTensor([int(1, 3), 8 * int(1, 4), int(1, 6), int(1, 6)]);
    await checkBits(gpu, channelShuffle, { x }, { groups });
  }
});

test("what does not fit is refused", async () => {
  const refusesShape = (shape: number[], groups: number, message: RegExp) =>
    refuses(() => apply(channelShuffle, [shape], { groups }), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(channelShuffle, [[1, 2, 3]], options), UsageError, "USAGE", message);
  await refusesShape([2, 6, 3], 4, /channel_shuffle: groups is 4; it must divide the 6 channels/);
  await refusesShape([2, 6, 3], 0, /channel_shuffle: groups is 0/);
  await refusesShape([2, 6], 2, /channel_shuffle takes \[N, C, \.\.\.\] of three dimensions or more, got \[2, 6\]/);
  await refusesUse({}, /channel_shuffle needs the option "groups"/);
  await refusesUse({ groups: 1, dim: 1 }, /channel_shuffle has no option "dim"; its options are groups/);
});

testVariants(gpu, channelShuffle);

await testGoldens(gpu, "channel_shuffle");
test.run();
