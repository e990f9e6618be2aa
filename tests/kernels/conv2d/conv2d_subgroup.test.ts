import { test } from "uvu";
import { conv2dSubgroup } from "../../../kernels/conv2d/conv2d_subgroup.ts";
import { checkKernel, int, open, pick, random, randomTensor, rounds } from "../../harness.ts";

const gpu = await open();
const { subgroupSize: subgroup, fastLoads = false } = gpu.traits;

// Two and four pixels per lane, in tiles of which the last is not full.
for (const pixelsPerLane of subgroup >= 4 ? [2, 4] : [])
  test(`random convolutions by tiles of ${pixelsPerLane * subgroup} pixels`, async () => {
    for (let i = 0; i < rounds(15); i++) {
      const [kernel, stride, channels] = [pick(1, 2, 3), pick(1, 2), 4 * int(1, 12)];
      // Of one row or three, where the tile goes on in the next one.
      const rows = pick(1, 3);
      const y = [1, rows, Math.floor(int(pixelsPerLane * subgroup - 3, pixelsPerLane * subgroup) / rows), channels];
      const x = randomTensor([1, rows + kernel - 1, (y[2] - 1) * stride + kernel, 4 * int(1, 3)]);
      const inputs = {
        x,
        w: randomTensor([kernel, kernel, x.shape[3], channels]),
        b: random() < 0.5 ? randomTensor([channels]) : undefined,
        r: random() < 0.5 ? randomTensor(y) : undefined,
      };
      // What is unrolled is left alone where it would take seconds to compile: no plan has it there.
      const unroll = fastLoads && i % 3 > 0;
      const options = { subgroup, unroll, stride: [1, stride], activation: pick("none", "relu") };
      await checkKernel(gpu, conv2dSubgroup, inputs, options);
    }
  });

test.run();
