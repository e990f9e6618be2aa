import { deriveParam, isParam } from "../../engine/graph/graph.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc } from "../layout/layout.ts";
import { conv2dDepthwise } from "./conv2d_depthwise.ts";
import { type Conv2dVariant, nhwcOptions, refusesChannels } from "./dense.ts";
import { geometry } from "./geometry.ts";

// The way to compute depthwise convolutions, on every kind of device. A page loads it for the nets that have some.

/** Pixels under a filter that registers hold. */
const LARGEST = 64;

export const conv2dDepthwiseVariant: Conv2dVariant = {
  name: "conv2d_depthwise",
  nhwc: true,
  refuses({ shapes: { x }, options, y }, _setting, { w }) {
    if (options.groups !== x[1] || y[1] !== x[1]) return "its channels are not filtered one by one";
    const { kernel, dilation } = geometry(w.shape, options);
    if (sizeOf(kernel.map((size, d) => size * dilation[d])) > LARGEST) return "its filters are too large for registers";
    return isParam(w) ? refusesChannels(y[1]) : "its weight is no parameter";
  },
  build({ x, w, b, r }, { options, y }, { software }) {
    const [channels, , ...size] = w.shape;
    const area = sizeOf(size);
    const filters = deriveParam(w, "packed as KH, KW, C", [...size, channels], (weights) =>
      Float32Array.from(weights, (_, i) => weights[(i % channels) * area + Math.floor(i / channels)]),
    );
    // Whole rows would be too few threads for a GPU.
    const columns = software ? y[3] : 4;
    return asNchw(conv2dDepthwise(asNhwc(x), filters, b, r && asNhwc(r), { ...nhwcOptions(w, options), columns }));
  },
};
