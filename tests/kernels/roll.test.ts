import { test } from "uvu";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { tensor } from "../../engine/ground/tensor.ts";
import { roll } from "../../kernels/roll.ts";
import {
  apply,
  checkBits,
  int,
  open,
  pick,
  random,
  randomShape,
  refuses,
  rounds,
  sameBits,
  specialTensor,
} from "../harness.ts";

const gpu = await open();

test("random shifts along any dimensions, on bits", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const x = specialTensor(randomShape(1));
    const dims = x.shape.flatMap((_, d) => (random() < 0.5 ? [pick(d, d - x.shape.length)] : []));
    await checkBits(gpu, roll, { x }, { shifts: dims.map(() => int(-20, 20)), dims });
  }
});

test("10 random tensors of six dimensions, neighbours that are not shifted counting as one, on bits", async () => {
  for (let i = 0; i < 10; i++) {
    const x = specialTensor(randomShape(6, 6).map((size) => Math.min(size, 5)));
    const dims = pick([2, 3], [0, -1], [-3, -2, -1]);
    await checkBits(gpu, roll, { x }, { shifts: dims.map(() => int(-9, 9)), dims });
  }
});

test("PyTorch gives this", async () => {
  const x = tensor([3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  // torch.roll(x, (1, -1), (0, 1)), torch.roll(x, -4, 1), torch.roll(x, (1, 1), (0, 0))
  sameBits(await gpu.eager(roll, x, { shifts: [1, -1], dims: [0, 1] }), tensor([3, 3], [8, 9, 7, 2, 3, 1, 5, 6, 4]));
  sameBits(await gpu.eager(roll, x, { shifts: -4, dims: 1 }), tensor([3, 3], [2, 3, 1, 5, 6, 4, 8, 9, 7]));
  sameBits(await gpu.eager(roll, x, { shifts: [1, 1], dims: [0, 0] }), tensor([3, 3], [4, 5, 6, 7, 8, 9, 1, 2, 3]));
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(roll, [[2, 3]], options), UsageError, "USAGE", message);
  await refusesUse({ dims: 0 }, /roll needs the option "shifts"/);
  await refusesUse({ shifts: 1 }, /roll needs the option "dims"/);
  await refusesUse({ shifts: 1, dims: [0, 1] }, /roll: shifts is 1; it must be an integer for each of dims \[0,1\]/);
  await refusesUse({ shifts: 0.5, dims: 0 }, /roll: shifts is 0.5; it must be an integer/);
  await refusesUse({ shifts: 1, dims: 2 }, /roll: dims is 2; it must be from -2 to 1, since there are 2 dimensions/);
  await refusesUse({ shift: 1 }, /roll has no option "shift"; its options are shifts, dims/);
  const five = () => apply(roll, [[2, 2, 2, 2, 2]], { shifts: [1, 1, 1, 1, 1], dims: [0, 1, 2, 3, 4] });
  await refuses(
    five,
    ShapeError,
    "SHAPE",
    /roll takes up to 4 dimensions, and \[2, 2, 2, 2, 2\] has 5 none of which can be joined here/,
  );
});

test.run();
