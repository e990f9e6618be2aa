// The kernel as GPUs have it: its loads written out, for strips of any length. See conv2d.test.ts for the other.
import { test } from "uvu";
import { conv2dDepthwise } from "../../../kernels/conv2d/conv2d_depthwise.ts";
import { checkKernel, drawnActivations, int, open, pick, randomTensor, rounds } from "../../harness.ts";

const gpu = await open();

test("random depthwise convolutions with their loads written out", async () => {
  for (let i = 0; i < rounds(8, 2); i++) {
    const channels = 4 * int(1, 6);
    // Each size is another pipeline.
    const size = pick([3, 3], [3, 3], [5, 5], [1, 3]);
    const inputs = {
      x: randomTensor([int(1, 2), int(5, 12), int(5, 12), channels]),
      w: randomTensor([...size, channels]),
      b: pick(undefined, randomTensor([channels])),
    };
    const options = {
      stride: pick([1, 1], [1, 1], [2, 2], [1, 2]),
      dilation: pick([1, 1], [1, 1], [2, 2]),
      padding: [int(0, 2), int(0, 2), int(0, 2), int(0, 2)],
      activation: pick("none", "relu", ...drawnActivations(gpu)),
      columns: int(1, 9),
      unroll: true,
    };
    if (options.dilation[0] === 2 && size[0] === 5) options.padding = [2, 2, 2, 2];
    await checkKernel(gpu, conv2dDepthwise, inputs, options);
  }
});

test.run();
