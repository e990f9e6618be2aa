import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, type Grid, linearGrid } from "../../engine/graph/kernel.ts";
import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./batchnorm_statistics.wgsl.ts";

/** Threads that share the sum over a channel of x [N, C, ...], and the workgroup: most would only wait for short sums. */
function threadsFor(x: Shape) {
  const terms = sizeOf(x) / x[1];
  const lanes = terms < 64 ? 4 : terms < 512 ? 16 : terms < 2048 ? 64 : 256;
  const workgroup = lanes < 64 ? 64 : 256;
  // Channels of a row lie side by side, and several share a line of the cache; of images each has lines of its own.
  return { workgroup, lanes: isRow(x) ? lanes : workgroup };
}

const isRow = (x: Shape): boolean => sizeOf(x.slice(2)) === 1;

type Summed = { readonly shapes: { readonly x: Shape } };

/** What kernels have in common that sum over each channel of x. */
export const channelSum = {
  consts: ({ shapes: { x } }: Summed) => ({ WORKGROUP: threadsFor(x).workgroup, ROWS: isRow(x) }),
  params: ({ shapes: { x } }: Summed) => ({ ...channelsOf(x), terms: sizeOf(x) / x[1], lanes: threadsFor(x).lanes }),
  grid({ shapes: { x } }: Summed): Grid {
    const { workgroup, lanes } = threadsFor(x);
    return linearGrid(x[1] * lanes, workgroup);
  },
};

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
  ...channelSum,
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
