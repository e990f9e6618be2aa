import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { TrainingForm } from "../../engine/graph/training.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { Setting, Variants } from "../../engine/graph/variant.ts";
import { rowsOf, type Shape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { concat } from "../concat.ts";
import { refuseFused } from "../gradients_common.ts";
import { asNchw, asNhwc, NO_IMAGES, nhwc, wholeVectors } from "../layout/layout.ts";
import { checkShapes } from "../shapes.ts";
import { slice } from "../slice.ts";
import { sum } from "../sum.ts";
import { partOnGpu } from "../training/parts.ts";
import { running } from "../training/running.ts";
import { onVectors } from "../vectors.ts";
import type { batchNorm } from "./batchnorm.ts";
import { wgsl } from "./batchnorm_gradient.wgsl.ts";
import { batchNormGradientSums } from "./batchnorm_gradient_sums.ts";
import { batchNormMerged } from "./batchnorm_merged.ts";
import { channelsOf, stepsOf } from "./batchnorm_statistics.ts";
import { type batchNormBy, batchNormTrain } from "./batchnorm_train.ts";

const WORKGROUP = 64;

/**
 * The gradient of a batch normalization by x: dy and x [N, C, ...], statistics [2, C] (means, variances), weight [C] -> y of x's
 * shape. With `sums` [2, C], those of `batchNormGradientSums`, it is the one through the statistics as well.
 */
export const batchNormGradient = defineKernel({
  name: "batchnorm_gradient",
  inputs: ["dy", "x", "statistics", "weight?", "sums?"],
  options: { eps: 1e-5 },
  wgsl,

  shape({ x, ...others }) {
    const statistics = [2, x[1]];
    checkShapes("batchnorm_gradient", others, { dy: x, statistics, weight: [x[1]], sums: statistics });
    return x;
  },

  cost: ({ shapes: { sums }, y }) => ({ flops: (sums ? 9 : 4) * sizeOf(y) }),
  consts: ({ shapes: { weight, sums } }) => ({ WORKGROUP, WEIGHT: weight !== undefined, SUMS: sums !== undefined }),
  params: ({ y, options: { eps } }) => ({ ...stepsOf(y), terms: sizeOf(y) / y[1], eps }),
  grid: ({ y }) => linearGrid(stepsOf(y).step, WORKGROUP),
});

export const reference: ReferenceOf<typeof batchNormGradient> = {
  example: { shapes: { dy: [2, 8, 3, 5], x: [2, 8, 3, 5], statistics: [2, 8], weight: [8], sums: [2, 8] } },

  compute({ dy, x, statistics, weight, sums }, { y, options: { eps } }) {
    const { channels, inner } = channelsOf(y);
    return Float64Array.from(dy, (d, index) => {
      const c = Math.floor(index / inner) % channels;
      const deviation = Math.sqrt(statistics[channels + c] + eps);
      const normal = (x[index] - statistics[c]) / deviation;
      const shared = sums ? ((normal * sums[c] + sums[channels + c]) * channels) / dy.length : 0;
      return ((d - shared) / deviation) * (weight ? weight[c] : 1);
    });
  },
};

type Build = (kernel: (options: object) => Value, rows: Shape, options: object, setting: Setting) => Value;

/** Kernels that know no more of images [N, C, H, W] than their channels take NHWC ones as rows [N H W, C], in vec4s. */
const onRows = (build: Build) =>
  nhwc({
    refuses({ shapes: { x }, y }) {
      if (y.length === 3) return "it is of parts already";
      return x.length === 4 && wholeVectors(x) ? undefined : NO_IMAGES;
    },
    build(inputs: Readonly<Record<string, Value>>, { shapes, options, y }, setting, plain) {
      const { graph } = inputs.x;
      const image = asNhwc(inputs.x).shape;
      const rows = [rowsOf(image), image[3]];
      const flat = (value: Value | undefined) =>
        value && sameShape(value.shape, shapes.x) ? graph.reshape(asNhwc(value), rows) : value;
      const kernel = onVectors(plain, ...plain.inputs.map((name) => flat(inputs[name.replace("?", "")])));
      const result = build(kernel, rows, options, setting);
      return sameShape(y, shapes.x) ? asNchw(graph.reshape(result, image)) : result;
    },
  });

const whole = onRows((kernel, _rows, options) => kernel(options));

/** Sums over channels go by parts, which `merge` makes one of. */
const inParts = (merge: (parts: Value, options: { readonly terms: number; readonly part: number }) => Value) =>
  onRows((kernel, [terms, channels], options, setting) => {
    const part = partFor(terms, channels, setting);
    const result = kernel({ ...options, part, alone: setting.software });
    return part < terms ? merge(result, { terms, part }) : result;
  });

/** Rows that a thread of a software adapter adds up by itself: of that many, what is read twice is still in its cache. */
const ALONE = 128;

/** Channels of a workgroup on a GPU, if 64 threads share each sum of four: see dividedBy. */
const CHANNELS = 16;

/** Rows of a part. */
function partFor(terms: number, channels: number, setting: Setting): number {
  if (!setting.software) return partOnGpu(terms, Math.ceil(channels / CHANNELS), 512, setting);
  return terms > 4 * ALONE ? ALONE : terms;
}

export const variants: Variants = {
  batchnorm_gradient: [whole],
  batchnorm_gradient_sums: [inParts((parts) => sum(parts, { dims: [0] }))],
  batchnorm_statistics: [inParts((parts, options) => onVectors(batchNormMerged, parts)(options))],
  batchnorm_train: [whole],
};

/** Batch norm by the statistics of its batch, which move the running ones. */
export const form: TrainingForm = ({ x, mean, variance, weight, bias }, options) => {
  const { eps, momentum } = options as typeof batchNorm.options;
  const { y, statistics } = batchNormTrain(x, weight, bias, { eps });
  const count = sizeOf(x.shape) / x.shape[1];
  return { y, update: (norm) => running(statistics, mean, variance, norm, { momentum, count }) };
};

/** Mean and variance are constants: of a net's training they are the statistics. */
export const gradient: GradientOf<typeof batchNorm> = ({ inputs: { x, mean, variance, weight }, options, dy }) => {
  refuseFused("batchnorm", options);
  const both = [mean, variance].map((value) => value.graph.reshape(value, [1, value.shape[0]]));
  const statistics = concat(...both, { dim: 0 });
  const { eps } = options;
  return {
    x: () => batchNormGradient(dy, x, statistics, weight, { eps }),
    ...affineGradients(lazily(() => batchNormGradientSums(dy, x, statistics, { eps }))),
  };
};

/** The gradient by the statistics is part of that by x. */
export const trainGradient: GradientOf<typeof batchNormBy> = ({ inputs: { x, statistics, weight }, options, dy }) => {
  refuseFused("batchnorm_train", options);
  const { eps } = options;
  const sums = lazily(() => batchNormGradientSums(dy, x, statistics, { eps }));
  return {
    x: () => batchNormGradient(dy, x, statistics, weight, sums(), { eps }),
    ...affineGradients(sums),
  };
};

/** Those by weight and bias are the sums themselves. */
function affineGradients(sums: () => Value) {
  const row = (start: number) => () => {
    const value = slice(sums(), { dim: 0, start, end: start + 1 });
    return value.graph.reshape(value, value.shape.slice(1));
  };
  return { weight: row(0), bias: row(1) };
}

/** A value that is added to the graph once, and only if it is wanted. */
function lazily(make: () => Value): () => Value {
  let value: Value | undefined;
  return () => {
    value ??= make();
    return value;
  };
}
