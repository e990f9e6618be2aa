import { deriveParam, isParam, type Value } from "../engine/graph.ts";
import type { Call, Named, Traits, Variant } from "../engine/kernel.ts";
import { type Shape, sizeOf } from "../engine/tensor.ts";
import { conv2dSubgroup, matmulSubgroup } from "./conv2d_subgroup.ts";
import { conv2dTile, matmulTile } from "./conv2d_tile.ts";
import { type Conv2dOptions, geometry } from "./convolution.ts";
import { asNchw, asNhwc } from "./layout.ts";
import { padded } from "./to_nhwc.ts";
import { winogradInput } from "./winograd_input.ts";
import { winogradOutput } from "./winograd_output.ts";

// The ways to compute conv2d on NHWC images. Weights are packed as they are loaded.

type Inputs = "x" | "w" | "b?" | "r?";
type Conv2dVariant = Variant<Inputs, Conv2dOptions>;

const hasSubgroups = ({ subgroupSize }: Traits): boolean => subgroupSize >= 4 && subgroupSize <= 64;

/** Register tiles shared by shuffles are what software adapters are best at; GPUs have memory for a workgroup. */
const prefersSubgroups = (traits: Traits): boolean => traits.software && hasSubgroups(traits);

/** What every variant here wants. */
function refuses(
  { shapes, options, y }: Call<Inputs, Conv2dOptions>,
  traits: Traits,
  { w }: Named<Inputs, Value>,
): string | undefined {
  if (options.groups !== 1) return "it has more than one group";
  if (y[1] % 4 !== 0) return `its ${y[1]} output channels are no multiple of 4`;
  if (!isParam(w)) return "its weight is no parameter";
  const [batch, channels, height, width] = shapes.x;
  return refusesSize(
    [batch * padded(channels) * height * width, (padded(channels) * sizeOf(w.shape)) / w.shape[1]],
    traits,
  );
}

/** A variant needs no tensor that the device cannot bind; `elements` of each. */
const refusesSize = (elements: readonly number[], { maxBinding }: Traits): string | undefined =>
  Math.max(...elements) * 4 > maxBinding ? "it would need a tensor over the device's binding limit" : undefined;

/** Multiply-adds below which the conversions to NHWC and back cost more than a fast kernel saves. */
const LEAST_WORK = 2e6;

const gains = ({ shapes: { w }, y }: Call<Inputs, Conv2dOptions>): boolean =>
  sizeOf(y) * sizeOf(w.slice(1)) >= LEAST_WORK;

/** Adds a convolution on NHWC images by one of the kernels, with its weight packed as KH, KW, C, O. */
function buildDirect(
  kernel: typeof conv2dSubgroup,
  { x, w, b, r }: Named<Inputs, Value>,
  { options }: Call<Inputs, Conv2dOptions>,
  { subgroupSize: subgroup }: Traits,
): Value {
  const { outChannels, groupIn, kernel: size, stride, dilation, padding } = geometry(w.shape, options);
  const channels = padded(groupIn);
  const packed = deriveParam(w, "packed as KH, KW, C, O", [...size, channels, outChannels], (weights) => {
    const area = sizeOf(size);
    const result = new Float32Array(area * channels * outChannels);
    for (let o = 0, i = 0; o < outChannels; o++) {
      for (let c = 0; c < groupIn; c++) {
        for (let k = 0; k < area; k++) result[(k * channels + c) * outChannels + o] = weights[i++];
      }
    }
    return result;
  });
  const geometryOf = { stride, dilation, padding, relu: options.relu };
  return asNchw(kernel(asNhwc(x), packed, b, r && asNhwc(r), { subgroup, ...geometryOf }));
}

export const conv2dSubgroupVariant: Conv2dVariant = {
  name: "conv2d_subgroup",
  refuses: (call, traits, inputs) =>
    hasSubgroups(traits) ? refuses(call, traits, inputs) : "the device has no subgroups of one size between 4 and 64",
  gains: (call, traits) => prefersSubgroups(traits) && gains(call),
  build: (inputs, call, traits) => buildDirect(conv2dSubgroup, inputs, call, traits),
};

export const conv2dTileVariant: Conv2dVariant = {
  name: "conv2d_tile",
  refuses,
  gains,
  build: (inputs, call, traits) => buildDirect(conv2dTile, inputs, call, traits),
};

/** Rows of G of F(4x4, 3x3) at 0, ±1/sqrt(2), ±sqrt(2) and infinity: a kernel g becomes G g G^T. */
const G = [
  [1, 0, 0],
  [-2 / 3, -Math.SQRT2 / 3, -1 / 3],
  [-2 / 3, Math.SQRT2 / 3, -1 / 3],
  [1 / 6, Math.SQRT2 / 6, 1 / 3],
  [1 / 6, -Math.SQRT2 / 6, 1 / 3],
  [0, 0, 1],
];

/** Tiles of 4x4 in images [N, C, H, W]. */
const tilesOf = ([batch, , height, width]: Shape): number => batch * Math.ceil(height / 4) * Math.ceil(width / 4);

/** With fewer tiles the 36 products are too flat to be worth it. */
const FEWEST_TILES = 16;

/** With fewer output channels the transforms cost most of what they save, and hold more memory than the net itself. */
const FEWEST_CHANNELS = 128;

export const conv2dWinogradVariant: Conv2dVariant = {
  name: "conv2d_winograd",
  refuses(call, traits, inputs) {
    const { kernel, stride, dilation } = geometry(call.shapes.w, call.options);
    if (String([kernel, stride, dilation]) !== "3,3,1,1,1,1")
      return "it is no 3x3 convolution of stride and dilation 1";
    if (call.shapes.x[1] % 4 !== 0) return `its ${call.shapes.x[1]} input channels are no multiple of 4`;
    const [channels, outChannels] = [call.shapes.x[1], call.y[1]];
    const most = Math.max(channels, outChannels);
    return (
      refusesSize([36 * tilesOf(call.y) * most, 36 * channels * outChannels], traits) ?? refuses(call, traits, inputs)
    );
  },
  gains(call) {
    return gains(call) && call.y[1] >= FEWEST_CHANNELS && tilesOf(call.y) >= FEWEST_TILES;
  },
  build({ x, w, b, r }, { options, y }, traits) {
    const { outChannels, groupIn, padding } = geometry(w.shape, options);
    const packed = deriveParam(w, "transformed for F(4x4, 3x3)", [36, groupIn, outChannels], (weights) => {
      const result = new Float32Array(36 * groupIn * outChannels);
      for (let o = 0; o < outChannels; o++) {
        for (let c = 0; c < groupIn; c++) {
          const g = (o * groupIn + c) * 9;
          for (let i = 0; i < 6; i++) {
            const [p, q, s] = G[i];
            // A row of G g, then its products with the rows of G.
            const a = p * weights[g] + q * weights[g + 3] + s * weights[g + 6];
            const b = p * weights[g + 1] + q * weights[g + 4] + s * weights[g + 7];
            const d = p * weights[g + 2] + q * weights[g + 5] + s * weights[g + 8];
            for (let j = 0; j < 6; j++) {
              result[((i * 6 + j) * groupIn + c) * outChannels + o] = a * G[j][0] + b * G[j][1] + d * G[j][2];
            }
          }
        }
      }
      return result;
    });
    const transformed = winogradInput(asNhwc(x), { padding });
    const products = prefersSubgroups(traits)
      ? matmulSubgroup(transformed, packed, { subgroup: traits.subgroupSize })
      : matmulTile(transformed, packed);
    const size = [y[0], y[2], y[3]];
    return asNchw(winogradOutput(products, b, r && asNhwc(r), { size, relu: options.relu }));
  },
};
