import { fastest, tryOut } from "../../../engine/graph/estimate.ts";
import { deriveParam } from "../../../engine/graph/graph.ts";
import type { Value } from "../../../engine/graph/value.ts";
import type { Setting } from "../../../engine/graph/variant.ts";
import { asNchw, asNhwc } from "../../layout/layout.ts";
import { by, type Conv2dVariant, gains, refuses, refusesChannels, refusesParams, refusesSize } from "../dense.ts";
import { geometry } from "../geometry.ts";
import { F2, F4, productsOf, tileCount, transformFilters, type Winograd } from "./winograd.ts";
import { winogradInput } from "./winograd_input.ts";
import { winogradInput2x2 } from "./winograd_input_2x2.ts";
import { winogradOutput } from "./winograd_output.ts";
import { winogradOutput2x2 } from "./winograd_output_2x2.ts";

/** A kernel for the products of matrices a [batch, M, K] and b [batch, K, N]. */
export interface Product {
  /** Into tiles of so many columns it wants b cut, if any. */
  readonly cut?: number;
  /** True where the device cannot run it. */
  refuses?(setting: Setting): boolean;
  multiply(a: Value, b: Value, setting: Setting): Value;
}

/** The product by the kernel that is best at it on this device; `b` gives the second matrices, cut as wanted. */
function multiply(a: Value, b: (cut?: number) => Value, products: readonly Product[], setting: Setting): Value {
  const trials = products
    .filter((product) => !product.refuses?.(setting))
    .map((product) => tryOut(a.graph, () => product.multiply(a, b(product.cut), setting), setting));
  return fastest(trials).value;
}

/**
 * With fewer output channels than `fewestChannels` the transforms cost most of what they save, and hold more memory than
 * the net itself.
 */
function winograd(
  name: string,
  error: Conv2dVariant["error"],
  fewestChannels: number,
  algorithm: Winograd,
  transformInput: typeof winogradInput,
  transformOutput: typeof winogradOutput,
  products: readonly Product[],
): Conv2dVariant {
  const matrices = productsOf(algorithm);
  return {
    name,
    nhwc: true,
    error,
    refuses(call, setting, inputs) {
      const { kernel, stride, dilation } = geometry(call.shapes.w, call.options);
      const [outChannels, channels] = call.shapes.w;
      if (String([kernel, stride, dilation]) !== "3,3,1,1,1,1")
        return "it is no 3x3 convolution of stride and dilation 1";
      if (products.every((product) => product.refuses?.(setting))) return "the device runs none of its products";
      const tiles = tileCount(algorithm, [call.y[0], ...call.y.slice(2)]);
      const sizes = [matrices * tiles * Math.max(channels, outChannels), matrices * channels * outChannels];
      return (
        refusesParams(inputs.w) ??
        refusesChannels(channels, "input") ??
        refusesChannels(outChannels) ??
        refusesSize(sizes, setting) ??
        refuses(call, setting, inputs)
      );
    },
    gains: (call) => gains(call) && call.y[1] >= fewestChannels,
    build({ x, w, b, r }, { options, y }, setting) {
      const { padding } = geometry(w.shape, options);
      const [outChannels, channels] = w.shape;
      const filters = (cut?: number) =>
        deriveParam(w, `transformed for ${name}${by(cut)}`, [matrices, channels, outChannels], (weights) =>
          transformFilters(algorithm, weights, w.shape, cut),
        );
      const unroll = !setting.software;
      const multiplied = multiply(transformInput(asNhwc(x), { padding, unroll }), filters, products, setting);
      const size = [y[0], y[2], y[3]];
      return asNchw(transformOutput(multiplied, b, r && asNhwc(r), { size, activation: options.activation, unroll }));
    },
  };
}

/** Winograd's convolutions by one of these products. */
export const winogradVariants = (...products: readonly Product[]): readonly Conv2dVariant[] => [
  winograd("conv2d_winograd", { f32: 2e-6, f16: 2.2e-3 }, 128, F4, winogradInput, winogradOutput, products),
  winograd("conv2d_winograd_2x2", { f32: 5e-7, f16: 8e-4 }, 256, F2, winogradInput2x2, winogradOutput2x2, products),
];
