import { deriveParam, isParam } from "../../engine/graph/graph.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { asNchw, asNhwc } from "../layout/layout.ts";
import { padded, toNhwc } from "../layout/to_nhwc.ts";
import { conv2dDepthwise } from "./conv2d_depthwise.ts";
import { type Conv2dVariant, nhwcOptions, refusesPacking, zeroPadded } from "./dense.ts";
import { geometry } from "./geometry.ts";
import { sharePipelines } from "./share_pipelines.ts";

// The way to compute depthwise convolutions, on every kind of device. A page loads it for the nets that have some.

/** Pixels under a filter that registers hold. */
const LARGEST = 64;

export const conv2dDepthwiseVariant: Conv2dVariant = {
  name: "conv2d_depthwise",
  nhwc: true,
  refuses({ shapes: { x }, options, y }, _setting, { w, b }) {
    if (options.groups !== x[1] || y[1] !== x[1]) return "its channels are not filtered one by one";
    const { kernel, dilation } = geometry(w.shape, options);
    if (sizeOf(kernel.map((size, d) => size * dilation[d])) > LARGEST) return "its filters are too large for registers";
    return refusesPacking(w, b);
  },
  build({ x, w, b, r }, { options, y }, { software }) {
    const [channels, , ...size] = w.shape;
    const area = sizeOf(size);
    const columns = padded(channels);
    const order = [...size, columns];
    const filters = isParam(w)
      ? deriveParam(w, "packed as KH, KW, C", order, (weights) =>
          Float32Array.from({ length: area * columns }, (_, i) =>
            i % columns < channels ? weights[(i % columns) * area + Math.floor(i / columns)] : 0,
          ),
        )
      : w.graph.reshape(toNhwc(w.graph.reshape(w, [1, channels, ...size])), order);
    // Whole rows would be too few threads for a GPU.
    const given = { ...nhwcOptions(w, options), columns: software ? y[3] : 4, unroll: !software };
    return asNchw(conv2dDepthwise(asNhwc(x), filters, b && zeroPadded(b), r && asNhwc(r), given), y[1]);
  },
  finish: sharePipelines,
};
