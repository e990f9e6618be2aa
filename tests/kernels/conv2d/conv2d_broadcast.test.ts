import { test } from "uvu";
import * as assert from "uvu/assert";
import { conv2dBroadcast, matmulBroadcast } from "../../../kernels/conv2d/conv2d_broadcast.ts";
import { refusesBroadcast } from "../../../kernels/conv2d/variants_broadcast.ts";
import { checkKernel, int, open, pick, random, randomTensor, rounds } from "../../harness.ts";

const gpu = await open();

test("it is for four lanes of a software adapter", () => {
  const refused = (software: boolean, subgroupSize: number) =>
    refusesBroadcast({ software, subgroupSize, maxBinding: 1e9, dtype: "f32" });
  assert.is(refused(true, 4), undefined);
  for (const [software, lanes] of [
    [true, 0],
    [true, 8],
    [false, 4],
  ] as const)
    assert.match(`${refused(software, lanes)}`, /no software adapter with subgroups of 4/);
});

if (gpu.traits.subgroupSize === 4) {
  test("random convolutions, with tiles that are full, not full, and a half or quarter as wide", async () => {
    for (let i = 0; i < rounds(30); i++) {
      const kernel = [int(1, 3), int(1, 3)];
      const [stride, dilation] = [
        [int(1, 2), int(1, 2)],
        [int(1, 2), int(1, 2)],
      ];
      const padding = [int(0, 1), int(0, 1), int(0, 1), int(0, 1)];
      const [height, width] = kernel.map((size, d) => (size - 1) * dilation[d] + 1 + int(0, 8));
      const x = randomTensor([int(1, 2), height, width, 4 * int(1, 3)]);
      const channels = 4 * pick(1, 2, 3, 4, 5, 8, 9, 13, 16);
      const y = [0, 1].map((d) => {
        const size = x.shape[1 + d] + padding[d] + padding[d + 2] - (kernel[d] - 1) * dilation[d] - 1;
        return Math.floor(size / stride[d]) + 1;
      });
      const inputs = {
        x,
        w: randomTensor([...kernel, x.shape[3], channels]),
        b: random() < 0.5 ? randomTensor([channels]) : undefined,
        r: random() < 0.5 ? randomTensor([x.shape[0], ...y, channels]) : undefined,
      };
      const activation = pick("none", "relu", "hardswish");
      await checkKernel(gpu, conv2dBroadcast, inputs, { stride, dilation, padding, activation });
    }
  });

  test("images of any number of channels, with whole rows of filters padded", async () => {
    for (let i = 0; i < rounds(20); i++) {
      const [channels, columns, outChannels] = [pick(1, 1, 3, 5), int(1, 6), 4 * pick(1, 4, 6, 9)];
      const padding = [int(0, 2), int(0, 2), int(0, 2), int(0, 2)];
      const x = randomTensor([int(1, 2), int(3, 9), columns + int(0, 9), channels]);
      // What lies where a row is padded is not seen, whatever it is: zeros here, as variants have them.
      const w = randomTensor([int(1, 3), 1, 4 * Math.ceil((columns * channels) / 4), outChannels]);
      await checkKernel(gpu, conv2dBroadcast, { x, w }, { padding, stride: [1, int(1, 2)], columns });
    }
  });

  test("random batches of matrix products", async () => {
    for (let i = 0; i < rounds(20); i++) {
      const [batch, m, k, n] = [pick(1, 4, 16), int(1, 50), 4 * int(1, 12), 4 * int(1, 20)];
      await checkKernel(gpu, matmulBroadcast, { x: randomTensor([batch, m, k]), w: randomTensor([batch, k, n]) }, {});
    }
  });
}

test.run();
