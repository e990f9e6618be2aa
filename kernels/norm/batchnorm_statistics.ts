import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./batchnorm_statistics.wgsl.ts";

/** Threads for the sum over a channel of x [N, C, ...]: most of 256 would do nothing but wait where there is little to add. */
export const threadsFor = (x: Shape): number => (sizeOf(x) / x[1] >= 1024 ? 256 : 32);

/**
 * Mean and variance of each channel of a batch: x [N, C, ...] -> y [2, C]. The variance is that of the batch itself (divided by
 * the count of values, not by one less). Throws a ShapeError for one value per channel, which has none.
 */
export const batchNormStatistics = defineKernel({
  name: "batchnorm_statistics",
  inputs: ["x"],
  options: {},
  wgsl,

  shape({ x }) {
    if (x.length < 2) throw new ShapeError(`batchnorm_statistics takes [N, C, ...], got ${formatShape(x)}`);
    if (sizeOf(x) > x[1]) return [2, x[1]];
    throw new ShapeError(
      `batchnorm_statistics: ${formatShape(x)} has one value per channel, which has no variance; train on larger batches`,
    );
  },

  cost: ({ shapes: { x } }) => ({ flops: 5 * sizeOf(x), bytes: 8 * sizeOf(x) }),
  consts: ({ shapes: { x } }) => ({ WORKGROUP: threadsFor(x), ROWS: sizeOf(x.slice(2)) === 1 }),
  params: ({ shapes: { x } }) => ({ ...channelsOf(x), terms: sizeOf(x) / x[1] }),
  // A workgroup per channel.
  grid: ({ shapes: { x } }) => linearGrid(x[1], 1),
});

export const reference: ReferenceOf<typeof batchNormStatistics> = {
  example: { shapes: { x: [2, 8, 3, 5] } },

  compute({ x }, { shapes, y: [, channels] }) {
    const count = x.length / channels;
    const mean = channelSums(x, shapes.x, (v) => v / count);
    return Float64Array.from([...mean, ...channelSums(x, shapes.x, (v, c) => (v - mean[c]) ** 2 / count)]);
  },
};

/** x [N, C, ...] seen as [N, channels, inner]. */
export const channelsOf = (x: Shape) => ({ channels: x[1], inner: sizeOf(x.slice(2)) });

/** For references: the sum over each channel of what a function makes of an element, its channel and its index. */
export function channelSums(
  x: Float32Array,
  shape: Shape,
  f: (v: number, c: number, index: number) => number,
): Float64Array {
  const { channels, inner } = channelsOf(shape);
  const sums = new Float64Array(channels);
  x.forEach((v, index) => {
    const c = Math.floor(index / inner) % channels;
    sums[c] += f(v, c, index);
  });
  return sums;
}
