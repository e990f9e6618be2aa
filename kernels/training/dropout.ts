import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { check, ShapeError } from "../../engine/ground/errors.ts";
import { pcg } from "../../engine/ground/hash.ts";
import { formatShape, sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./dropout.wgsl.ts";

const WORKGROUP = 64;

/**
 * Dropout in training: x of any shape, key [1] (a whole number below 2^24) -> y of x's shape. The same key, `layer` and index
 * give the same choice. https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html
 */
export const dropoutTrain = defineKernel({
  name: "dropout",
  inputs: ["x", "key"],
  options: { p: 0.5, layer: 0 },
  wgsl,

  shape({ x, key }, { p }) {
    check(Number.isFinite(p) && p >= 0 && p < 1, "dropout: p", p, "at least 0 and below 1");
    if (sizeOf(key) !== 1) throw new ShapeError(`dropout: the key is ${formatShape(key)}; wanted [1]`);
    return x;
  },

  cost: ({ y }) => ({ flops: sizeOf(y) }),
  consts: () => ({ WORKGROUP }),
  params: ({ y, options: { p, layer } }) => ({
    count: sizeOf(y),
    layer,
    dropped: Math.floor(p * 2 ** 32),
    scale: 1 / (1 - p),
  }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const gradient: GradientOf<typeof dropoutTrain> = ({ inputs: { key }, options, dy }) => ({
  x: () => dropoutTrain(dy, key, options),
});

export const reference: ReferenceOf<typeof dropoutTrain> = {
  example: { shapes: { x: [5, 40], key: [1] }, options: { p: 0.25, layer: 3 } },

  compute({ x, key }, { options: { p, layer } }) {
    const base = pcg((Math.trunc(key[0]) ^ pcg(layer)) >>> 0);
    return Float64Array.from(x, (v, i) => (pcg((i ^ base) >>> 0) < Math.floor(p * 2 ** 32) ? 0 : v / (1 - p)));
  },
};
