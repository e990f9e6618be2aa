import { test } from "uvu";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { pad } from "../../kernels/pad.ts";
import {
  apply,
  checkBits,
  int,
  open,
  pick,
  refuses,
  rounds,
  specialTensor,
  testGoldens,
  testVariants,
} from "../harness.ts";

const gpu = await open();

test("random images, on bits", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const x = specialTensor([pick(1, 3, 5), int(1, 7), int(1, 9), int(1, 9)]);
    const side = () => int(0, 4);
    const padding = pick(side(), [side(), side()], [side(), side(), side(), side()]);
    const options = { padding, value: int(-8, 8) / 8 };
    await checkBits(gpu, pad, { x }, options);
  }
});

test("random images with less of their rows and columns, on bits", async () => {
  for (let i = 0; i < rounds(40); i++) {
    const x = specialTensor([pick(1, 3), pick(1, 3, 4), int(7, 9), int(7, 9)]);
    const side = () => int(-3, 2);
    await checkBits(gpu, pad, { x }, { padding: pick(side(), [side(), side(), side(), side()]), value: pick(0, 2) });
  }
});

test("10 random images of whole vec4s of channels, on bits", async () => {
  for (let i = 0; i < 10; i++) {
    const x = specialTensor([int(1, 3), 4 * int(1, 4), int(1, 6), int(1, 6)]);
    const padding = pick(2, [1, 0] as const, [int(0, 2), int(0, 2), int(0, 2), int(0, 2)] as const);
    await checkBits(gpu, pad, { x }, { padding, value: pick(0, -1.5) });
  }
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(pad, [[1, 2, 3, 4]], options), UsageError, "USAGE", message);
  await refusesUse({}, /pad needs the option "padding"/);
  await refusesUse(
    { padding: 0.5 },
    /pad: padding is 0.5; it must be an integer of at least -2147483647, \[vertical, horizontal\]/,
  );
  await refusesUse({ padding: 1, value: NaN }, /pad: value is NaN; it must be a number/);
  await refusesUse({ padding: 1, mode: "reflect" }, /pad has no option "mode"; its options are padding, value/);
  const nothing = () => apply(pad, [[1, 2, 3, 4]], { padding: [-1, 0, -2, 0] });
  await refuses(nothing, ShapeError, "SHAPE", /the output of pad/);
  const flat = () => apply(pad, [[3, 4]], { padding: 1 });
  await refuses(flat, ShapeError, "SHAPE", /pad takes images of shape \[N, C, H, W\], got \[3, 4\]/);
});

testVariants(gpu, pad);

await testGoldens(gpu, "pad");
test.run();
