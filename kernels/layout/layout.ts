import type { Value } from "../../engine/graph/graph.ts";
import type { AnyVariant } from "../../engine/graph/kernel.ts";
import { rowsOf, sameShape } from "../../engine/ground/tensor.ts";
import { toNchw } from "./to_nchw.ts";
import { padded, toNhwc } from "./to_nhwc.ts";

// The fast kernels work on NHWC images, whose channels lie side by side in vec4s. A variant takes its inputs through
// asNhwc and gives its result through asNchw; of a conversion and its inverse nothing remains in the graph.

/** An image [N, C, H, W] as [N, H, W, C], with the channels padded to a multiple of 4 by zeros. */
export function asNhwc(x: Value): Value {
  const [batch, channels, height, width] = x.shape;
  if (height * width === 1 && channels % 4 === 0) return x.graph.reshape(x, [batch, 1, 1, channels]);
  const source = sourceOf(x);
  return source && sameShape(source.shape, [batch, height, width, padded(channels)]) ? source : toNhwc(x);
}

/** An NHWC image back as [N, channels, H, W]. */
export function asNchw(x: Value, channels = x.shape[3]): Value {
  const [batch, height, width, padding] = x.shape;
  const same = height * width === 1 && channels === padding;
  return same ? x.graph.reshape(x, [batch, channels, 1, 1]) : toNchw(x, { channels });
}

/** True where x is NHWC in memory, so far. */
export const isNhwc = (x: Value): boolean => sourceOf(x) !== undefined;

function sourceOf(x: Value): Value | undefined {
  const node = x.graph.nodes[x.id];
  return node.kind === "op" && node.kernel.name === toNchw.name ? x.graph.value(node.inputs.x) : undefined;
}

const values = (inputs: Readonly<Record<string, Value>>) => Object.values(inputs);

/** A kernel that treats every element alike is the same in every layout: it takes NHWC images where all inputs are such. */
export const anyLayout: AnyVariant = {
  name: "nhwc",
  refuses(_call, _traits, inputs) {
    const all = values(inputs);
    const fits = all.every((x) => x.shape.length === 4 && sameShape(x.shape, all[0].shape));
    return fits ? undefined : "its inputs are not images of one shape";
  },
  gains: (_call, _traits, inputs) => values(inputs).every(isNhwc),
  build: (inputs, { options, y }, _traits, plain) => asNchw(plain(...values(inputs).map(asNhwc), options), y[1]),
};

/** A kernel on [N, C, ...] that knows no more of an image than its channels takes an NHWC image as [N H W, C, 1]. */
export const channelsLast: AnyVariant = {
  name: "nhwc",
  refuses: ({ y }) => (y.length === 4 && y[1] % 4 === 0 ? undefined : "its channels are no multiple of 4"),
  gains: (_call, _traits, { x }) => isNhwc(x),
  build({ x, ...rest }, { options, y }, _traits, plain) {
    const image = asNhwc(x);
    const flat = x.graph.reshape(image, [rowsOf(image.shape), image.shape[3], 1]);
    const given = plain.inputs.slice(1).map((name) => rest[name.replace("?", "")]);
    return asNchw(x.graph.reshape(plain(flat, ...given, options), image.shape), y[1]);
  },
};
