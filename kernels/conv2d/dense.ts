import { deriveParam, isParam, type Training } from "../../engine/graph/graph.ts";
import type { AnyKernel, Call, Named } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { Setting, Variant } from "../../engine/graph/variant.ts";
import { sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc, isNhwc } from "../layout/layout.ts";
import { padded } from "../layout/to_nhwc.ts";
import { columnAt, subgroupOf } from "./gemm.ts";
import { type Conv2dOptions, geometry } from "./geometry.ts";
import type { Inputs } from "./nhwc.ts";

// What the variants of conv2d on NHWC images share. Weights are packed as they are loaded.

export type Conv2dVariant = Variant<Inputs, Conv2dOptions>;

/** What register tiles that are shared by shuffles want. */
export const refusesSubgroups = ({ subgroupSize }: Setting): string | undefined =>
  subgroupSize >= 4 && subgroupSize <= 64 ? undefined : "the device has no subgroups of one size between 4 and 64";

export const refusesChannels = (channels: number, of = "output"): string | undefined =>
  channels % 4 === 0 ? undefined : `its ${channels} ${of} channels are no multiple of 4`;

/** Weights are packed as they are loaded, and output channels padded to a multiple of 4 by zeros in them and in the bias. */
export const refusesParams = (w: Value, b?: Value): string | undefined => {
  if (!isParam(w)) return "its weight is no parameter";
  return b && !isParam(b) && refusesChannels(b.shape[0]) ? "its bias is no parameter" : undefined;
};

/** In training what is no parameter is packed whenever it is read. */
export const refusesPacking = (w: Value, b?: Value): string | undefined =>
  w.graph.training ? undefined : refusesParams(w, b);

/** A parameter [rows, columns], or [columns], padded to multiples of 4 by zeros; in training a value [columns], too. */
export function zeroPadded(param: Value, shape = param.shape): Value {
  const order = shape.map(padded);
  if (sameShape(order, shape)) return param.graph.reshape(param, shape);
  // Of a bias that changes: as one row of filters, with three of zeros behind it.
  if (!isParam(param)) return (param.graph.training as Training).pack(param.graph.reshape(param, [...shape, 1]));
  const columns = shape[shape.length - 1];
  return deriveParam(param, `packed as ${order}`, order, (data) => {
    const result = new Float32Array(sizeOf(order));
    for (let i = 0; i < data.length; i++) result[i + Math.floor(i / columns) * (padded(columns) - columns)] = data[i];
    return result;
  });
}

/** What every variant for dense filters wants. */
export function refuses(
  { shapes, options }: Call<Inputs, Conv2dOptions>,
  setting: Setting,
  { w, b }: Named<Inputs, Value>,
): string | undefined {
  if (options.groups !== 1) return "it has more than one group";
  const [batch, channels, ...size] = shapes.x;
  const image = batch * padded(channels) * sizeOf(size);
  return refusesPacking(w, b) ?? refusesSize([image, (padded(channels) * sizeOf(w.shape)) / w.shape[1]], setting);
}

/** A variant needs no tensor that the device cannot bind; `elements` of each. */
export const refusesSize = (elements: readonly number[], { maxBinding }: Setting): string | undefined =>
  Math.max(...elements) * 4 > maxBinding ? "it would need a tensor over the device's binding limit" : undefined;

/**
 * Multiply-adds below which, of an image in NCHW, the conversions to NHWC and back cost more than a fast kernel saves; in
 * training, where it is compiled for thousands of runs, a tenth.
 */
const LEAST_WORK = 1e6;

export const gains = (
  { shapes: { w }, y }: Call<Inputs, Conv2dOptions>,
  _setting?: Setting,
  inputs?: Named<Inputs, Value>,
): boolean =>
  sizeOf(y) * sizeOf(w.slice(1)) >= (inputs?.x.graph.training ? LEAST_WORK / 10 : LEAST_WORK) ||
  (inputs !== undefined && isNhwc(inputs.x));

export const by = (tile?: number): string => (tile ? ` by ${tile}` : "");

/**
 * A weight of `shape` [O, C, KH, KW] packed as KH, KW, C, O, both channels padded, and cut into tiles of so many output channels,
 * if any.
 */
export function packed(w: Value, tile?: number, shape = w.shape): Value {
  const [outChannels, groupIn, ...size] = shape;
  const area = sizeOf(size);
  const channels = padded(groupIn);
  const columns = padded(outChannels);
  const order = [...size, channels, columns];
  if (!isParam(w)) return (w.graph.training as Training).pack(w.graph.reshape(w, shape), tile);
  return deriveParam(w, `packed as ${order}${by(tile)}`, order, (weights) => {
    const result = new Float32Array(sizeOf(order));
    for (let o = 0, i = 0; o < outChannels; o++) {
      const at = columnAt(o, area * channels, columns, tile);
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
  kernel: AnyKernel,
  refusesDevice: (setting: Setting) => string | undefined = () => undefined,
  tile?: number,
): Conv2dVariant => ({
  name: kernel.name,
  nhwc: true,
  refuses: (call, setting, inputs) => refusesDevice(setting) ?? refuses(call, setting, inputs),
  gains,
  build({ x, w, b, r }, { options, y }, setting) {
    const all = { ...subgroupOf(setting), ...nhwcOptions(w, options) };
    return asNchw(kernel(asNhwc(x), packed(w, tile), b && zeroPadded(b), r && asNhwc(r), all), y[1]);
  },
});
