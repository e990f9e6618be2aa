import { fastest, tryOut } from "../../engine/graph/estimate.ts";
import { deriveParam, isParam, type Value } from "../../engine/graph/graph.ts";
import type { Call, Named, Traits, Variant } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc } from "../layout/layout.ts";
import { padded } from "../layout/to_nhwc.ts";
import { conv2dDepthwise } from "./conv2d_depthwise.ts";
import { conv2dMatrix, conv2dMatrix128 } from "./conv2d_matrix.ts";
import { conv2dStem } from "./conv2d_stem.ts";
import { conv2dSubgroup, matmulSubgroup, TILE } from "./conv2d_subgroup.ts";
import {
  conv2dTile,
  conv2dTile32,
  conv2dTile128,
  conv2dTileSplit,
  matmulTile,
  matmulTile32,
  matmulTile128,
} from "./conv2d_tile.ts";
import { type Conv2dOptions, columnAt, geometry } from "./geometry.ts";
import type { Inputs } from "./nhwc.ts";
import { sumSplits } from "./sum_splits.ts";
import { F2, F4, productsOf, tileCount, transformFilters, type Winograd } from "./winograd/winograd.ts";
import { winogradInput } from "./winograd/winograd_input.ts";
import { winogradInput2x2 } from "./winograd/winograd_input_2x2.ts";
import { winogradOutput } from "./winograd/winograd_output.ts";
import { winogradOutput2x2 } from "./winograd/winograd_output_2x2.ts";

// The ways to compute conv2d on NHWC images. Weights are packed as they are loaded.

type Conv2dVariant = Variant<Inputs, Conv2dOptions>;

/** What register tiles that are shared by shuffles want. */
export const refusesSubgroups = ({ subgroupSize }: Traits): string | undefined =>
  subgroupSize >= 4 && subgroupSize <= 64 ? undefined : "the device has no subgroups of one size between 4 and 64";

const refusesChannels = (channels: number): string | undefined =>
  channels % 4 === 0 ? undefined : `its ${channels} output channels are no multiple of 4`;

/** What every variant for dense filters wants. */
function refuses(
  { shapes, options, y }: Call<Inputs, Conv2dOptions>,
  traits: Traits,
  { w }: Named<Inputs, Value>,
): string | undefined {
  if (options.groups !== 1) return "it has more than one group";
  if (!isParam(w)) return "its weight is no parameter";
  const [batch, channels, height, width] = shapes.x;
  const image = batch * padded(channels) * height * width;
  return refusesChannels(y[1]) ?? refusesSize([image, (padded(channels) * sizeOf(w.shape)) / w.shape[1]], traits);
}

/** A variant needs no tensor that the device cannot bind; `elements` of each. */
export const refusesSize = (elements: readonly number[], { maxBinding }: Traits): string | undefined =>
  Math.max(...elements) * 4 > maxBinding ? "it would need a tensor over the device's binding limit" : undefined;

/** Multiply-adds below which the conversions to NHWC and back cost more than a fast kernel saves. */
const LEAST_WORK = 2e6;

const gains = ({ shapes: { w }, y }: Call<Inputs, Conv2dOptions>): boolean =>
  sizeOf(y) * sizeOf(w.slice(1)) >= LEAST_WORK;

const by = (tile?: number): string => (tile ? ` by ${tile}` : "");

/** A weight of `shape` [O, C, KH, KW] packed as KH, KW, C, O, which is cut into tiles of so many output channels, if any. */
export function packed(w: Value, tile?: number, shape = w.shape): Value {
  const [outChannels, groupIn, ...size] = shape;
  const area = sizeOf(size);
  const channels = padded(groupIn);
  const order = [...size, channels, outChannels];
  return deriveParam(w, `packed as ${order}${by(tile)}`, order, (weights) => {
    const result = new Float32Array(sizeOf(order));
    for (let o = 0, i = 0; o < outChannels; o++) {
      const at = columnAt(o, area * channels, outChannels, tile);
      for (let c = 0; c < groupIn; c++) {
        for (let k = 0; k < area; k++) {
          result[at(k * channels + c)] = weights[i++];
        }
      }
    }
    return result;
  });
}

/** What the kernels on NHWC images take of a convolution's options. */
function nhwcOptions(w: Value, options: Conv2dOptions) {
  const { stride, dilation, padding } = geometry(w.shape, options);
  return { stride, dilation, padding, relu: options.relu };
}

/** A kernel on NHWC images and packed filters, which are cut into tiles of so many output channels, if any. */
const dense = (
  kernel: typeof conv2dSubgroup,
  refusesDevice: (traits: Traits) => string | undefined = () => undefined,
  tile?: number,
): Conv2dVariant => ({
  name: kernel.name,
  refuses: (call, traits, inputs) => refusesDevice(traits) ?? refuses(call, traits, inputs),
  gains,
  build: ({ x, w, b, r }, { options }, { subgroupSize: subgroup }) =>
    asNchw(kernel(asNhwc(x), packed(w, tile), b, r && asNhwc(r), { subgroup, ...nhwcOptions(w, options) })),
});

const refusesMatrices = ({ dtype, matrices }: Traits): string | undefined => {
  if (dtype !== "f16") return 'it multiplies f16 only: load the net with dtype "f16"';
  return matrices ? undefined : "the device has no matrices of 16x16 for subgroups of 16 to 64";
};

export const conv2dSubgroupVariant = dense(conv2dSubgroup, refusesSubgroups, TILE);
export const conv2dTile32Variant = dense(conv2dTile32);
export const conv2dTileVariant = dense(conv2dTile);
export const conv2dTile128Variant = dense(conv2dTile128);
export const conv2dMatrixVariant = dense(conv2dMatrix, refusesMatrices);
export const conv2dMatrix128Variant = dense(conv2dMatrix128, refusesMatrices);

export const conv2dStemVariant: Conv2dVariant = {
  name: "conv2d_stem",
  refuses: conv2dSubgroupVariant.refuses,
  gains: (call) => gains(call) && call.shapes.x[1] % 4 !== 0,
  build({ x, w, b, r }, { options }, { subgroupSize: subgroup }) {
    const [outChannels, channels, ...kernel] = w.shape;
    const filters = packed(w, TILE, [outChannels, channels * sizeOf(kernel)]);
    return asNchw(conv2dStem(x, filters, b, r && asNhwc(r), { subgroup, kernel, ...nhwcOptions(w, options) }));
  },
};

/** Sums shorter than this are not worth being cut. */
const LEAST_TERMS = 128;

/** Elements of all partial sums together: with more they would be among a net's largest tensors. */
const MOST_SUMS = 240_000;

/** Into how many partial sums a convolution is cut: as many as may be, since adding up so few takes no time. */
const splitsOf = ({ shapes: { w }, y }: Call<Inputs, Conv2dOptions>): number =>
  Math.floor(Math.min(16, sizeOf(w.slice(1)) / LEAST_TERMS, MOST_SUMS / sizeOf(y)));

export const conv2dTileSplitVariant: Conv2dVariant = {
  name: "conv2d_tile_split",
  refuses: (call, traits, inputs) =>
    splitsOf(call) < 2 ? "it has pixels enough for a whole GPU, or short sums" : refuses(call, traits, inputs),
  gains,
  build({ x, w, b, r }, call, { subgroupSize: subgroup }) {
    const { relu, ...options } = nhwcOptions(w, call.options);
    const sums = conv2dTileSplit(asNhwc(x), packed(w), { subgroup, ...options, splits: splitsOf(call) });
    return asNchw(sumSplits(sums, b, r && asNhwc(r), { relu }));
  },
};

export const conv2dDepthwiseVariant: Conv2dVariant = {
  name: "conv2d_depthwise",
  refuses({ shapes: { x }, options, y }, _traits, { w }) {
    if (options.groups !== x[1] || y[1] !== x[1]) return "its channels are not filtered one by one";
    return isParam(w) ? refusesChannels(y[1]) : "its weight is no parameter";
  },
  build({ x, w, b, r }, { options }) {
    const [channels, , ...size] = w.shape;
    const area = sizeOf(size);
    const filters = deriveParam(w, "packed as KH, KW, C", [...size, channels], (weights) =>
      Float32Array.from(weights, (_, i) => weights[(i % channels) * area + Math.floor(i / channels)]),
    );
    return asNchw(conv2dDepthwise(asNhwc(x), filters, b, r && asNhwc(r), nhwcOptions(w, options)));
  },
};

/**
 * The products of matrices a [batch, M, K] and b [batch, K, N], by the kernel that is best at them on this device; `b` gives
 * the second ones, cut into tiles of so many columns, if any.
 */
function multiply(a: Value, b: (tile?: number) => Value, traits: Traits): Value {
  const ways = [
    ...(refusesSubgroups(traits) ? [] : [() => matmulSubgroup(a, b(TILE), { subgroup: traits.subgroupSize })]),
    ...[matmulTile, matmulTile32, matmulTile128].map((kernel) => () => kernel(a, b())),
  ];
  return fastest(ways.map((make) => tryOut(a.graph, make, traits))).value;
}

/**
 * With fewer output channels than `fewestChannels` the transforms cost most of what they save, and hold more memory than
 * the net itself.
 */
function winograd(
  name: string,
  error: number,
  fewestChannels: number,
  algorithm: Winograd,
  transformInput: typeof winogradInput,
  transformOutput: typeof winogradOutput,
): Conv2dVariant {
  const products = productsOf(algorithm);
  return {
    name,
    error,
    refuses(call, traits, inputs) {
      const { kernel, stride, dilation } = geometry(call.shapes.w, call.options);
      const [channels, outChannels] = [call.shapes.x[1], call.y[1]];
      if (String([kernel, stride, dilation]) !== "3,3,1,1,1,1")
        return "it is no 3x3 convolution of stride and dilation 1";
      if (channels % 4 !== 0) return `its ${channels} input channels are no multiple of 4`;
      const tiles = tileCount(algorithm, [call.y[0], ...call.y.slice(2)]);
      const sizes = [products * tiles * Math.max(channels, outChannels), products * channels * outChannels];
      return refusesSize(sizes, traits) ?? refuses(call, traits, inputs);
    },
    gains: (call) => gains(call) && call.y[1] >= fewestChannels,
    build({ x, w, b, r }, { options, y }, traits) {
      const { padding } = geometry(w.shape, options);
      const [outChannels, channels] = w.shape;
      const filters = (tile?: number) =>
        deriveParam(w, `transformed for ${name}${by(tile)}`, [products, channels, outChannels], (weights) =>
          transformFilters(algorithm, weights, w.shape, tile),
        );
      const unroll = !traits.software;
      const multiplied = multiply(transformInput(asNhwc(x), { padding, unroll }), filters, traits);
      const size = [y[0], y[2], y[3]];
      return asNchw(transformOutput(multiplied, b, r && asNhwc(r), { size, relu: options.relu, unroll }));
    },
  };
}

export const conv2dWinogradVariant = winograd("conv2d_winograd", 2e-6, 128, F4, winogradInput, winogradOutput);

export const conv2dWinograd2x2Variant = winograd(
  "conv2d_winograd_2x2",
  5e-7,
  256,
  F2,
  winogradInput2x2,
  winogradOutput2x2,
);
