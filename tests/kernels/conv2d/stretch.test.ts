import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { stretch } from "../../../kernels/conv2d/stretch.ts";
import {
  apply,
  checkBits,
  checkKernel,
  int,
  open,
  pairOf,
  randomShape,
  randomTensor,
  refuses,
  rounds,
  sameBits,
  specialTensor,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

test("random images, on bits, to smaller and larger sizes than they take", async () => {
  for (let i = 0; i < rounds(40, 12); i++) {
    const phases = int(1, 5);
    const [batch, any, ...size] = randomShape(4);
    const channels = i % 2 ? 4 * int(1, 3) : any;
    const options = {
      stride: pairOf(() => int(1, 4)),
      size: pairOf(() => int(1, 20)),
      phases,
    };
    const x = specialTensor([batch, phases * channels, ...size]);
    await checkBits(gpu, stretch, { x }, options);
    const r = randomTensor(apply(stretch, [x.shape], options).shape);
    await checkKernel(gpu, stretch, { x: randomTensor(x.shape), r }, options);
  }
});

testVariants(gpu, stretch);

test("zeros stand between pixels and behind the last", async () => {
  const y = await gpu.eager(stretch, tensor([1, 1, 1, 2], [NaN, 3]), { stride: [2, 3], size: [2, 6] });
  sameBits(y, tensor([1, 1, 2, 6], [NaN, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]));
});

test("phases fill the places between pixels", async () => {
  const x = tensor([1, 4, 1, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
  const y = await gpu.eager(stretch, x, { stride: 2, size: [2, 4], phases: 4 });
  sameBits(y, tensor([1, 1, 2, 4], [1, 3, 2, 4, 5, 7, 6, 8]));
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(stretch, [[1, 2, 3, 4]], options), UsageError, "USAGE", message);
  await refusesUse({ size: 3 }, /stretch needs the option "stride"/);
  await refusesUse({ stride: 2 }, /stretch needs the option "size"/);
  await refusesUse({ stride: 0, size: 3 }, /stretch: stride is 0; it must be an integer of at least 1/);
  await refusesUse({ stride: 2, size: 3, phases: 4 }, /stretch: phases is 4; it must be what divides 2/);
  const small = () =>
    apply(
      stretch,
      [
        [1, 2, 3, 4],
        [1, 2, 7, 6],
      ],
      { stride: 2, size: 7 },
    );
  await refuses(small, ShapeError, "SHAPE", /stretch: r is \[1, 2, 7, 6\]; it must be \[1, 2, 7, 7\]/);
  const flat = () => apply(stretch, [[3, 4]], { stride: 2, size: 7 });
  await refuses(flat, ShapeError, "SHAPE", /stretch takes images of shape .*, got \[3, 4\]/);
});

test.run();
