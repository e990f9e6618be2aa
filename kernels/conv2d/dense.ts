import { deriveParam, isParam } from "../../engine/graph/graph.ts";
import type { Call, Kernel, Named } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { Setting, Variant } from "../../engine/graph/variant.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc, isNhwc } from "../layout/layout.ts";
import { padded } from "../layout/to_nhwc.ts";
import { columnAt, subgroupOf, type TileOptions } from "./gemm.ts";
import { type Conv2dOptions, geometry } from "./geometry.ts";
import type { Inputs } from "./nhwc.ts";

// What the variants of conv2d on NHWC images share. Weights are packed as they are loaded.

export type Conv2dVariant = Variant<Inputs, Conv2dOptions>;

/** What register tiles that are shared by shuffles want. */
export const refusesSubgroups = ({ subgroupSize }: Setting): string | undefined =>
  subgroupSize >= 4 && subgroupSize <= 64 ? undefined : "the device has no subgroups of one size between 4 and 64";

export const refusesChannels = (channels: number): string | undefined =>
  channels % 4 === 0 ? undefined : `its ${channels} output channels are no multiple of 4`;

/** What every variant for dense filters wants. */
export function refuses(
  { shapes, options, y }: Call<Inputs, Conv2dOptions>,
  setting: Setting,
  { w }: Named<Inputs, Value>,
): string | undefined {
  if (options.groups !== 1) return "it has more than one group";
  if (!isParam(w)) return "its weight is no parameter";
  const [batch, channels, height, width] = shapes.x;
  const image = batch * padded(channels) * height * width;
  return refusesChannels(y[1]) ?? refusesSize([image, (padded(channels) * sizeOf(w.shape)) / w.shape[1]], setting);
}

/** A variant needs no tensor that the device cannot bind; `elements` of each. */
export const refusesSize = (elements: readonly number[], { maxBinding }: Setting): string | undefined =>
  Math.max(...elements) * 4 > maxBinding ? "it would need a tensor over the device's binding limit" : undefined;

/** Multiply-adds below which, of an image in NCHW, the conversions to NHWC and back cost more than a fast kernel saves. */
const LEAST_WORK = 2e6;

export const gains = (
  { shapes: { w }, y }: Call<Inputs, Conv2dOptions>,
  _setting?: Setting,
  inputs?: Named<Inputs, Value>,
): boolean => sizeOf(y) * sizeOf(w.slice(1)) >= LEAST_WORK || (inputs !== undefined && isNhwc(inputs.x));

export const by = (tile?: number): string => (tile ? ` by ${tile}` : "");

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
export function nhwcOptions(w: Value, options: Conv2dOptions) {
  const { stride, dilation, padding } = geometry(w.shape, options);
  return { stride, dilation, padding, activation: options.activation };
}

/** A kernel on NHWC images and packed filters, which are cut into tiles of so many output channels, if any. */
export const dense = (
  kernel: Kernel<Inputs, TileOptions>,
  refusesDevice: (setting: Setting) => string | undefined = () => undefined,
  tile?: number,
): Conv2dVariant => ({
  name: kernel.name,
  nhwc: true,
  refuses: (call, setting, inputs) => refusesDevice(setting) ?? refuses(call, setting, inputs),
  gains,
  build: ({ x, w, b, r }, { options }, setting) =>
    asNchw(
      kernel(asNhwc(x), packed(w, tile), b, r && asNhwc(r), { ...subgroupOf(setting), ...nhwcOptions(w, options) }),
    ),
});
