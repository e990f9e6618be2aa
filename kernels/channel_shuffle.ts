import type { ReferenceOf } from "../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../engine/graph/kernel.ts";
import { ShapeError, show } from "../engine/ground/errors.ts";
import { formatShape, sizeOf } from "../engine/ground/tensor.ts";
import { wgsl } from "./channel_shuffle.wgsl.ts";

const WORKGROUP = 64;

/**
 * Deals the channels of x [N, C, ...] out over the groups in turn, so that the next grouped convolution mixes them.
 * https://pytorch.org/docs/stable/generated/torch.nn.ChannelShuffle.html; from
 * X. Zhang et al.: "ShuffleNet", 2017.
 */
export const channelShuffle = defineKernel({
  name: "channel_shuffle",
  inputs: ["x"],
  options: { groups: undefined as unknown as number },
  wgsl,

  shape({ x }, { groups }) {
    if (x.length < 3)
      throw new ShapeError(`channel_shuffle takes [N, C, ...] of three dimensions or more, got ${formatShape(x)}`);
    if (!(Number.isInteger(groups) && groups > 0 && x[1] % groups === 0)) {
      throw new ShapeError(`channel_shuffle: groups is ${show(groups)}; it must divide the ${x[1]} channels`);
    }
    return x;
  },

  cost: () => ({ flops: 0 }),
  consts: () => ({ WORKGROUP }),
  params: ({ y, options }) => ({ count: sizeOf(y), channels: y[1], inner: sizeOf(y.slice(2)), groups: options.groups }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof channelShuffle> = {
  example: { shapes: { x: [2, 6, 3, 5] }, options: { groups: 3 } },

  compute({ x }, { y, options: { groups } }) {
    const inner = sizeOf(y.slice(2));
    return Float64Array.from(x, (_, index) => {
      const c = Math.floor(index / inner) % y[1];
      const from = (c % groups) * (y[1] / groups) + Math.floor(c / groups);
      return x[index + (from - c) * inner];
    });
  },
};
