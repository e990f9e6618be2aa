import type { AnyKernel } from "../../engine/graph/kernel.ts";
import type { Setting } from "../../engine/graph/variant.ts";
import { rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { packed, refusesPacking, refusesSize } from "../conv2d/dense.ts";
import { subgroupOf } from "../conv2d/gemm.ts";
import { LEAST_WEIGHTS, type LinearVariant } from "./variants.ts";

/** Rows of x up to which the matrix-vector kernel is bound by memory all the same. */
const FEW_ROWS = 4;

/**
 * On a software adapter a kernel takes longer to compile than such weights to be read, even by the kernel that the
 * convolutions have compiled anyway: for ResNet-50 in 1.6 ms instead of 1.1. That one adds in a single chain: the logits are
 * off by 2.2e-6 of their rms then instead of 0.8e-6 (PyTorch: 1.8e-6).
 */
const FEW_WEIGHTS = 4e6;

/** Tokens share weights that for a single row are not worth a kernel: from here on the plain one takes a software adapter 15 ms. */
const MANY_PRODUCTS = 1e7;

/** Linear as the 1x1 convolution of an image of one row, by one of its kernels. */
export const linearProduct = (
  name: string,
  kernel: AnyKernel,
  refusesDevice: (setting: Setting) => string | undefined = () => undefined,
  tile?: number,
): LinearVariant => ({
  name,
  refuses({ shapes: { w }, y }, setting, { w: weight }) {
    const reason = refusesDevice(setting);
    if (reason) return reason;
    if (w[0] % 4 !== 0 || w[1] % 4 !== 0) return `its ${w[1]} and ${w[0]} features are no multiple of 4`;
    return refusesPacking(weight) ?? refusesSize([sizeOf(w), sizeOf(y)], setting);
  },
  // In training it is compiled for thousands of runs.
  gains: ({ shapes: { x, w } }, { software }, inputs) =>
    (sizeOf(w) >= (inputs?.x.graph.training ? LEAST_WEIGHTS / 10 : LEAST_WEIGHTS) ||
      rowsOf(x) * sizeOf(w) >= MANY_PRODUCTS) &&
    (rowsOf(x) > FEW_ROWS || (software && sizeOf(w) < FEW_WEIGHTS)),
  build({ x, w, b }, { options: { activation }, y }, setting) {
    const [outFeatures, inFeatures] = w.shape;
    const filters = x.graph.reshape(packed(w, tile), [1, 1, inFeatures, outFeatures]);
    const image = x.graph.reshape(x, [1, 1, rowsOf(x.shape), inFeatures]);
    return x.graph.reshape(kernel(image, filters, b, { ...subgroupOf(setting), activation }), y);
  },
});
