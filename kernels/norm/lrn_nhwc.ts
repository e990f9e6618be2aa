import type { Reference } from "../../engine/graph/evaluate.ts";
import { type AnyKernel, defineKernel, type Kernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { Variant } from "../../engine/graph/variant.ts";
import { rowsOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc, isNhwc } from "../layout/layout.ts";
import { type LrnOptions, reference as plain } from "./lrn.ts";
import { wgsl } from "./lrn_nhwc.wgsl.ts";

const WORKGROUP = 64;

/** vec4s of channels that a thread goes over. */
const STRIP = 8;

/** Larger sums would need more than the neighbouring vec4s. */
const LARGEST = 9;

/**
 * Local response normalization over the last dimension of x [..., C], C a multiple of 4, for NHWC images. It is made of the plain
 * kernel, which a page has only with a net that needs it.
 */
const lrnNhwc = (lrn: AnyKernel): Kernel<"x", LrnOptions> =>
  defineKernel({
    ...lrn,
    name: "lrn_nhwc",
    wgsl,
    shape: ({ x }) => x,
    params({ y, options: { size, alpha, beta, k } }) {
      const channels = y[y.length - 1] / 4;
      const strips = Math.ceil(channels / STRIP);
      return { count: rowsOf(y) * strips, strips, channels, size, alpha: alpha / size, beta, k };
    },
    grid: ({ y }) => linearGrid(rowsOf(y) * Math.ceil(y[y.length - 1] / 4 / STRIP), WORKGROUP),
  });

export const reference: Reference<"x", LrnOptions> = {
  example: { shapes: { x: [2, 3, 5, 8] }, options: { alpha: 1 } },

  compute({ x }, call) {
    const channels = call.y[call.y.length - 1];
    const y = [x.length / channels, channels, 1];
    return plain.compute({ x }, { ...call, shapes: { x: y }, y });
  },
};

export const lrnNhwcVariant: Variant<"x", LrnOptions> = {
  name: "lrn_nhwc",
  nhwc: true,
  layoutOnly: true,
  refuses({ y, options: { size } }) {
    if (y.length !== 4 || y[1] % 4 !== 0) return "it is no image whose channels are a multiple of 4";
    return size > LARGEST ? `it sums over more than ${LARGEST} channels` : undefined;
  },
  gains: (_call, _traits, { x }) => isNhwc(x),
  build: ({ x }, { options, y }, _setting, plain) => asNchw(lrnNhwc(plain)(asNhwc(x), options), y[1]),
};
