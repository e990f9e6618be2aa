import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { flipFilters } from "../../../kernels/conv2d/flip_filters.ts";
import {
  apply,
  checkBits,
  int,
  open,
  pairOf,
  randomShape,
  refuses,
  rounds,
  sameBits,
  specialTensor,
} from "../../harness.ts";

const gpu = await open();

test("random filters, on bits", async () => {
  for (let i = 0; i < rounds(20); i++) await checkBits(gpu, flipFilters, { x: specialTensor(randomShape(4)) });
});

test("random filters in groups, and of some taps, on bits", async () => {
  for (let i = 0; i < rounds(20); i++) {
    const groups = int(1, 4);
    const [outputs, channels, ...size] = randomShape(4);
    const options = { groups, stride: pairOf(() => int(1, 4)), start: [int(0, size[0] - 1), int(0, size[1] - 1)] };
    await checkBits(gpu, flipFilters, { x: specialTensor([groups * outputs, channels, ...size]) }, options);
  }
});

test("channels change places, and filters are turned by half a turn", async () => {
  const x = tensor([2, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
  sameBits(await gpu.eager(flipFilters, x), tensor([1, 2, 2, 2], [4, 3, 2, 1, 8, 7, 6, 5]));
});

test("of taps that are a stride apart", async () => {
  const x = tensor([1, 1, 1, 5], [1, 2, 3, 4, 5]);
  sameBits(await gpu.eager(flipFilters, x, { stride: [1, 2] }), tensor([1, 1, 1, 3], [5, 3, 1]));
  sameBits(await gpu.eager(flipFilters, x, { stride: [1, 2], start: [0, 1] }), tensor([1, 1, 1, 2], [4, 2]));
});

test("what does not fit is refused", async () => {
  const flat = () => apply(flipFilters, [[2, 3, 4]]);
  await refuses(flat, ShapeError, "SHAPE", /flip_filters takes .*, got \[2, 3, 4\]/);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(flipFilters, [[4, 3, 2, 2]], options), UsageError, "USAGE", message);
  await refusesUse({ groups: 3 }, /flip_filters: groups is 3; it must be what divides 4/);
  await refusesUse({ start: [0, 2] }, /flip_filters: start is \[0,2\]; it must be a tap of 2x2/);
  await refusesUse({ stride: 0 }, /flip_filters: stride is 0; it must be an integer of at least 1/);
});

test.run();
