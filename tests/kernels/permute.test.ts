import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../engine/ground/errors.ts";
import { tensor } from "../../engine/ground/tensor.ts";
import { permute } from "../../kernels/permute.ts";
import {
  apply,
  checkBits,
  int,
  open,
  randomOrder,
  refuses,
  rounds,
  sameBits,
  specialTensor,
  testVariants,
} from "../harness.ts";

const gpu = await open();

test("random tensors of up to six dimensions in random orders, on bits", async () => {
  for (let i = 0; i < rounds(60); i++) {
    const x = specialTensor(Array.from({ length: i % 7 }, () => int(1, 5)));
    await checkBits(gpu, permute, { x }, { dims: randomOrder(i % 7) });
  }
});

test("of more dimensions those that stay side by side count as one, on bits", async () => {
  for (let i = 0; i < 10; i++) {
    const x = specialTensor(Array.from({ length: 9 }, () => int(1, 3)));
    await checkBits(gpu, permute, { x }, { dims: [0, 1, 5, 6, 2, 3, 4, 8, 7] });
  }
});

test("10 random images of whole vec4s of channels into the order of NHWC and back, on bits", async () => {
  for (let i = 0; i < 10; i++) {
    const [n, c, h, w] = [int(1, 3), 4 * int(1, 4), int(1, 6), int(1, 6)];
    await checkBits(gpu, permute, { x: specialTensor([n, c, h, w]) }, { dims: [0, 2, 3, 1] });
    await checkBits(gpu, permute, { x: specialTensor([n, h, w, c]) }, { dims: [0, 3, 1, 2] });
    await checkBits(gpu, permute, { x: specialTensor([n, c, h, w]) }, { dims: [1, 0, 2, 3] });
  }
});

test("PyTorch gives this", async () => {
  // torch.arange(24).view(2, 3, 4).permute(2, 0, 1)
  const x = tensor(
    [2, 3, 4],
    Array.from({ length: 24 }, (_, i) => i),
  );
  const y = await gpu.eager(permute, x, { dims: [2, 0, 1] });
  const data = [0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7, 11, 15, 19, 23];
  sameBits(y, tensor([4, 2, 3], data));
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(permute, [[2, 3]], options), UsageError, "USAGE", message);
  await refusesUse({}, /permute needs the option "dims"/);
  await refusesUse({ dims: [0] }, /permute: dims is \[0\]; it must have each of x's 2 dimensions once/);
  await refusesUse({ dims: [1, 1] }, /permute: dims is \[1,1\]/);
  await refusesUse({ dims: [1, -1] }, /permute: dims is \[1,-1\]/);
  await refusesUse({ dims: 1 }, /permute: dims is 1;/);
  await refusesUse({ dims: [0, 2] }, /permute: dims is 2; it must be from -2 to 1, since there are 2 dimensions/);
  await refusesUse({ dims: [1, 0], order: 1 }, /permute has no option "order"; its options are dims/);
  const seven = () => apply(permute, [[2, 2, 2, 2, 2, 2, 2]], { dims: [6, 5, 4, 3, 2, 1, 0] });
  await refuses(seven, ShapeError, "SHAPE", /permute takes up to 6 dimensions, and \[.*\] has 7 none of which/);
  assert.equal(apply(permute, [[2, 2, 2, 2, 2, 2, 2]], { dims: [6, 4, 5, 2, 3, 1, 0] }).shape.length, 7);
});

testVariants(gpu, permute);
test.run();
