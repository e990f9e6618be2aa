import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, type Grid, linearGrid } from "../../engine/graph/kernel.ts";
import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./batchnorm_statistics.wgsl.ts";

/** How sums over the channels of x are made in parts. */
export interface PartOptions {
  /** Values of a channel in each part; the last may have less. */
  readonly part: number;
  /** Whether a thread has a channel of a part for itself, rather than with as many as its length is worth. */
  readonly alone: boolean;
}

interface Summed {
  readonly shapes: { readonly x: Shape };
  readonly options: PartOptions;
}

/** How x [N, C, ...] is divided: most threads would only wait for short sums. */
function dividedBy({ shapes: { x }, options }: Summed) {
  const terms = sizeOf(x) / x[1];
  const part = Math.min(options.part, terms);
  const shared = part < 64 ? 4 : part < 512 ? 16 : part < 2048 ? 64 : 256;
  const workgroup = options.alone ? 8 : shared < 64 ? 64 : 256;
  // Channels of a row lie side by side, and several share a line of the cache; of images each has lines of its own.
  const lanes = options.alone ? 1 : isRow(x) ? shared : workgroup;
  return {
    terms,
    part,
    parts: Math.ceil(terms / part),
    workgroup,
    lanes,
    blocks: Math.ceil((x[1] * lanes) / workgroup),
  };
}

const isRow = (x: Shape): boolean => sizeOf(x.slice(2)) === 1;

/** What kernels have in common that sum over each channel of x, in parts: y is [2, C], or [parts, 2, C] if there are several. */
export const channelSum = {
  options: { part: Infinity, alone: false } as PartOptions,
  shape(x: Shape, options: PartOptions): Shape {
    const { parts } = dividedBy({ shapes: { x }, options });
    return parts > 1 ? [parts, 2, x[1]] : [2, x[1]];
  },
  consts(call: Summed) {
    return { WORKGROUP: dividedBy(call).workgroup, ROWS: isRow(call.shapes.x), ALONE: call.options.alone };
  },
  params(call: Summed) {
    const { terms, part, blocks, lanes } = dividedBy(call);
    return { ...channelsOf(call.shapes.x), terms, part, blocks, lanes };
  },
  grid(call: Summed): Grid {
    const { parts, blocks } = dividedBy(call);
    return linearGrid(parts * blocks, 1);
  },
};

/**
 * Mean and variance of each channel of a batch: x [N, C, ...] -> y [2, C], or those of parts of it, [parts, 2, C]. The variance is
 * that of the values themselves (divided by their count, not by one less). Throws a ShapeError for one value per channel, which
 * has none.
 */
export const batchNormStatistics = defineKernel({
  ...channelSum,
  name: "batchnorm_statistics",
  inputs: ["x"],
  wgsl,

  shape({ x }, options) {
    if (x.length < 2) throw new ShapeError(`batchnorm_statistics takes [N, C, ...], got ${formatShape(x)}`);
    if (sizeOf(x) > x[1]) return channelSum.shape(x, options);
    throw new ShapeError(
      `batchnorm_statistics: ${formatShape(x)} has one value per channel, which has no variance; train on larger batches`,
    );
  },

  cost: ({ shapes: { x } }) => ({ flops: 5 * sizeOf(x), bytes: 8 * sizeOf(x) }),
});

export const reference: ReferenceOf<typeof batchNormStatistics> = {
  example: { shapes: { x: [2, 8, 3, 5] } },

  compute: ({ x }, call) =>
    eachPart(call, (count, sums) => {
      const mean = sums((index) => x[index] / count);
      return [...mean, ...sums((index, c) => (x[index] - mean[c]) ** 2 / count)];
    }),
};

/** x [N, C, ...] seen as [N, channels, inner]. */
export const channelsOf = (x: Shape) => ({ channels: x[1], inner: sizeOf(x.slice(2)) });

/** Elements of a channel that a thread computes at most: what all of these need is loaded and computed once. */
const MOST_EACH = 8;

/** Threads that keep a GPU busy. */
const ENOUGH = 8192;

/** How the elements of x are shared out: a thread has those that are `step` apart. */
export function stepsOf(x: Shape) {
  const { channels, inner } = channelsOf(x);
  const each = Math.min(MOST_EACH, Math.max(1, Math.floor(sizeOf(x) / ENOUGH)));
  return { count: sizeOf(x), channels, inner, step: Math.ceil(x[0] / each) * channels * inner };
}

/** For references: the sum over each channel of what a function makes of an element's index and its channel. */
type Sums = (f: (index: number, c: number) => number) => Float64Array;

/** For references: what is made of every part, from how many values a channel has there and sums over these. */
export function eachPart(call: Summed, make: (count: number, sums: Sums) => readonly number[]): Float64Array {
  const { channels, inner } = channelsOf(call.shapes.x);
  const { terms, part, parts } = dividedBy(call);
  return Float64Array.from(
    Array.from({ length: parts }, (_, p) => {
      const [first, last] = [p * part, Math.min((p + 1) * part, terms)];
      return make(last - first, (f) => {
        const sums = new Float64Array(channels);
        for (let c = 0; c < channels; c++) {
          for (let i = first; i < last; i++) {
            sums[c] += f((Math.floor(i / inner) * channels + c) * inner + (i % inner), c);
          }
        }
        return sums;
      });
    }).flat(),
  );
}
