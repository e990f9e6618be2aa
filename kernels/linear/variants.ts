import { isParam } from "../../engine/graph/graph.ts";
import type { Traits, Variant } from "../../engine/graph/kernel.ts";
import { rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { conv2dSubgroup, TILE } from "../conv2d/conv2d_subgroup.ts";
import { conv2dTile32 } from "../conv2d/conv2d_tile.ts";
import { packed, refusesSize, refusesSubgroups } from "../conv2d/variants.ts";
import type { LinearOptions } from "./linear.ts";
import { linearGemv } from "./linear_gemv.ts";

// The ways to compute linear: for small batches memory is what takes time, for large ones arithmetic.

type Inputs = "x" | "w" | "b?";
type LinearVariant = Variant<Inputs, LinearOptions>;

/** Smaller weights are read in no time by any kernel; one pipeline less is compiled. */
const LEAST_WEIGHTS = 1e5;

export const linearGemvVariant: LinearVariant = {
  name: "linear_gemv",
  refuses({ shapes: { w } }, { subgroupSize }) {
    if (subgroupSize < 4) return "the device has no subgroups of one size of at least 4";
    return w[1] % 4 === 0 ? undefined : `its ${w[1]} input features are no multiple of 4`;
  },
  gains: ({ shapes: { w } }) => sizeOf(w) >= LEAST_WEIGHTS,
  build: ({ x, w, b }, { options }, { subgroupSize }) => linearGemv(x, w, b, { ...options, subgroup: subgroupSize }),
};

/** Rows of x up to which the matrix-vector kernel is bound by memory all the same. */
const FEW_ROWS = 4;

/**
 * On a software adapter a kernel takes longer to compile than such weights to be read, even by the kernel that the
 * convolutions have compiled anyway: for ResNet-50 in 1.6 ms instead of 1.1. That one adds in a single chain: the logits are
 * off by 2.2e-6 of their rms then instead of 0.8e-6 (PyTorch: 1.8e-6).
 */
const FEW_WEIGHTS = 4e6;

/** As the 1x1 convolution of an image of one row, by one of its kernels. */
const gemm = (
  name: string,
  kernel: typeof conv2dSubgroup,
  refusesDevice: (traits: Traits) => string | undefined = () => undefined,
  tile?: number,
): LinearVariant => ({
  name,
  refuses({ shapes: { w }, y }, traits, { w: weight }) {
    const reason = refusesDevice(traits);
    if (reason) return reason;
    if (w[0] % 4 !== 0 || w[1] % 4 !== 0) return `its ${w[1]} and ${w[0]} features are no multiples of 4`;
    if (!isParam(weight)) return "its weight is no parameter";
    return refusesSize([sizeOf(w), sizeOf(y)], traits);
  },
  gains: ({ shapes: { x, w } }, { software }) =>
    sizeOf(w) >= LEAST_WEIGHTS && (rowsOf(x) > FEW_ROWS || (software && sizeOf(w) < FEW_WEIGHTS)),
  build({ x, w, b }, { options: { relu }, y }, { subgroupSize: subgroup }) {
    const [outFeatures, inFeatures] = w.shape;
    const filters = x.graph.reshape(packed(w, tile), [1, 1, inFeatures, outFeatures]);
    const image = x.graph.reshape(x, [1, 1, rowsOf(x.shape), inFeatures]);
    return x.graph.reshape(kernel(image, filters, b, { subgroup, relu }), y);
  },
});

export const linearSubgroupVariant = gemm("linear_subgroup", conv2dSubgroup, refusesSubgroups, TILE);
export const linearTileVariant = gemm("linear_tile", conv2dTile32);
