import type { Call } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc } from "../layout/layout.ts";
import { conv2dTileSplit, type tileKernels, tileKernelsOf } from "./conv2d_tile.ts";
import { type Conv2dVariant, dense, gains, nhwcOptions, packed, refuses } from "./dense.ts";
import type { Conv2dOptions } from "./geometry.ts";
import type { Inputs } from "./nhwc.ts";
import { sumSplits } from "./sum_splits.ts";
import type { Product } from "./winograd/variants.ts";

// The ways to compute conv2d on GPUs: tiles in the workgroup's memory.

type TileKernels = ReturnType<typeof tileKernels>;

export const tileVariant = ({ conv2d }: TileKernels): Conv2dVariant => dense(conv2d);
export const tileProduct = ({ matmul }: TileKernels): Product => ({ multiply: (a, b) => matmul(a, b) });

export const conv2dTileVariants = tileKernelsOf.map(tileVariant);
export const tileProducts = tileKernelsOf.map(tileProduct);

/** Sums shorter than this are not worth being cut. */
const LEAST_TERMS = 128;

/** Elements of all partial sums together: with more they would be among a net's largest tensors. */
const MOST_SUMS = 240_000;

/** Into how many partial sums a convolution is cut: as many as may be, since adding up so few takes no time. */
const splitsOf = ({ shapes: { w }, y }: Call<Inputs, Conv2dOptions>): number =>
  Math.floor(Math.min(16, sizeOf(w.slice(1)) / LEAST_TERMS, MOST_SUMS / sizeOf(y)));

export const conv2dTileSplitVariant: Conv2dVariant = {
  name: "conv2d_tile_split",
  nhwc: true,
  refuses: (call, setting, inputs) =>
    splitsOf(call) < 2 ? "it has pixels enough for a whole GPU, or short sums" : refuses(call, setting, inputs),
  gains,
  build({ x, w, b, r }, call, { subgroupSize: subgroup }) {
    const { activation, ...options } = nhwcOptions(w, call.options);
    const sums = conv2dTileSplit(asNhwc(x), packed(w), { subgroup, ...options, splits: splitsOf(call) });
    return asNchw(sumSplits(sums, b, r && asNhwc(r), { activation }));
  },
};
