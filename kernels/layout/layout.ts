import type { Value } from "../../engine/graph/value.ts";
import type { AnyVariant } from "../../engine/graph/variant.ts";
import { NCHW, NHWC, rowsOf, type Shape, sameShape } from "../../engine/ground/tensor.ts";
import { onVectors } from "../vectors.ts";
import { toNchw } from "./to_nchw.ts";
import { padded, toNhwc } from "./to_nhwc.ts";

// The fast kernels work on NHWC images, whose channels lie side by side in vec4s. A variant takes its inputs through
// asNhwc and gives its result through asNchw; of a conversion and its inverse nothing remains in the graph.

/** An image [N, C, H, W] as [N, H, W, C], with the channels padded to a multiple of 4 by zeros. */
export function asNhwc(x: Value): Value {
  const { graph, shape } = x;
  const [batch, channels, height, width] = shape;
  if (height * width === 1 && channels % 4 === 0) return graph.reshape(x, [batch, 1, 1, channels]);
  const source = sourceOf(x);
  if (source && sameShape(source.shape, [batch, height, width, padded(channels)])) return source;
  // Others may have converted the same image already.
  const known = graph.nodes.findIndex(
    (node) => node.kind === "op" && node.kernel.name === toNhwc.name && node.inputs.x === x.id,
  );
  return known >= 0 ? graph.value(known) : toNhwc(x);
}

/** An NHWC image back as [N, channels, H, W]. */
export function asNchw(x: Value, channels = x.shape[3]): Value {
  const [batch, height, width, padding] = x.shape;
  const same = channels === padding && (height * width === 1 || channels === 1);
  return same ? x.graph.reshape(x, [batch, channels, height, width]) : toNchw(x, { channels });
}

/** True where x is NHWC in memory, so far. */
export const isNhwc = (x: Value): boolean => sourceOf(x) !== undefined;

function sourceOf(x: Value): Value | undefined {
  const node = x.graph.nodes[x.id];
  return node.kind === "op" && node.kernel.name === toNchw.name ? x.graph.value(node.inputs.x) : undefined;
}

type Values = Readonly<Record<string, Value>>;

const someNhwc = (inputs: Values): boolean => Object.values(inputs).some(isNhwc);

/** What all variants have in common that run an operator's own kernel on NHWC images. */
export const nhwc = (variant: Pick<AnyVariant, "refuses" | "build">): AnyVariant => ({
  name: "nhwc",
  nhwc: true,
  layoutOnly: true,
  gains: (_call, _setting, inputs: Values) => someNhwc(inputs),
  ...variant,
});

const isImage = ({ length }: Shape): boolean => length === 4;
export const wholeVectors = ([, channels]: Shape): boolean => channels % 4 === 0;
export const NO_IMAGES = "it works on no images whose channels are a multiple of 4";

/** An operand of [N, C, H, W] as it is broadcast to NHWC images: an image, or a value per channel, pixel or image. */
function broadcastNhwc(x: Value, y: Shape): Value | undefined {
  const shape = [...new Array(4 - x.shape.length).fill(1), ...x.shape];
  if (sameShape(shape, y)) return asNhwc(x.shape.length === 4 ? x : x.graph.reshape(x, shape));
  const [n, c, h, w] = shape;
  // Where either the channels or the pixels are one, both layouts are the same.
  return c === 1 || h * w === 1 ? x.graph.reshape(x, [n, h, w, c]) : undefined;
}

const fitsBroadcast = (x: Shape, y: Shape): boolean => {
  const [, c, h, w] = [...new Array(4 - x.length).fill(1), ...x];
  return sameShape(x, y) || c === 1 || h * w === 1;
};

/**
 * A kernel that treats every element alike, with broadcasting, is the same in every layout. What it makes of padding is finite,
 * and nobody reads it but for products with weights of 0.
 */
export const anyLayout = nhwc({
  refuses({ y }, _setting, inputs: Values) {
    const fits = wholeVectors(y) ? fitsBroadcast : sameShape;
    return isImage(y) && Object.values(inputs).every(({ shape }) => fits(shape, y)) ? undefined : NO_IMAGES;
  },
  build: (inputs: Values, { options, y }, _setting, plain) =>
    asNchw(onVectors(plain, ...Object.values(inputs).map((x) => broadcastNhwc(x, y) as Value))(options), y[1]),
});

/** A kernel on [N, C, ...] that knows no more of an image than its channels takes an NHWC image as [N H W, C, ...inner]. */
const asRows = (...inner: Shape) =>
  nhwc({
    refuses: ({ y }) => (isImage(y) && wholeVectors(y) ? undefined : NO_IMAGES),
    build({ x, ...rest }, { options, y }, _setting, plain) {
      const image = asNhwc(x);
      const flat = x.graph.reshape(image, [rowsOf(image.shape), image.shape[3], ...inner]);
      const given = plain.inputs.slice(1).map((name) => rest[name.replace("?", "")]);
      return asNchw(x.graph.reshape(onVectors(plain, flat, ...given)(options), image.shape), y[1]);
    },
  });

export const channelsLast = asRows(1);

/** The same for one that takes rows of channels, on vec4s of them. */
export const channelsInVectors = asRows();

/** Where each dimension of NCHW is in NHWC. */
const PLACES = [0, 3, 1, 2];
const placeOf = (dim: number): number => PLACES[dim < 0 ? dim + 4 : dim];

/** Images are joined, or taken apart, along the dimension where it is in NHWC. */
export const joined = nhwc({
  refuses: ({ y }, _setting, inputs: Values) =>
    isImage(y) && wholeVectors(y) && Object.values(inputs).every(({ shape }) => wholeVectors(shape))
      ? undefined
      : NO_IMAGES,
  build: (inputs: Values, { options }, _setting, plain) =>
    asNchw(onVectors(plain, ...Object.values(inputs).map(asNhwc))({ ...options, dim: placeOf(options.dim) })),
});

/** NHWC images are there already where they are asked for, and what has this order is one in memory. */
export const permuted: AnyVariant = {
  ...nhwc({
    refuses: ({ shapes: { x }, y, options: { dims } }) =>
      (sameShape(dims, NHWC) && wholeVectors(x)) || (sameShape(dims, NCHW) && wholeVectors(y)) ? undefined : NO_IMAGES,
    build: ({ x }, { options: { dims } }) => (sameShape(dims, NHWC) ? asNhwc(x) : asNchw(x)),
  }),
  gains: () => true,
};

/** Dimensions are averaged over where they are in NHWC, but for channels. */
export const averaged = nhwc({
  refuses({ shapes: { x }, y, options }) {
    const dims: readonly number[] = options.dims.map(placeOf);
    if (!isImage(x) || dims.includes(3)) return "it is not over pixels";
    // What is left is an image, or in the same order in both layouts.
    const same = dims.includes(1) && dims.includes(2);
    return isImage(y) || same ? undefined : "what is left of its image is in another order in NHWC";
  },
  build({ x }, { options, y }, _setting, plain) {
    const image = plain(asNhwc(x), { dims: options.dims.map(placeOf), keepDim: true });
    return x.graph.reshape(asNchw(image, x.shape[1]), y);
  },
});

/** Rows of NHWC images are padded as those of one channel, by whole pixels. */
export const padded2d = nhwc({
  refuses: ({ shapes: { x } }) => (wholeVectors(x) ? undefined : NO_IMAGES),
  build({ x }, { shapes, options, y }, _setting, plain) {
    const [batch, channels, height, width] = shapes.x;
    const { padding } = options;
    const [top, left = top, bottom = top, right = left] = Array.isArray(padding) ? padding : [padding];
    const rows = x.graph.reshape(asNhwc(x), [batch, 1, height, width * channels]);
    const sides = [top, left * channels, bottom, right * channels];
    return asNchw(x.graph.reshape(plain(rows, { ...options, padding: sides }), [batch, y[2], y[3], channels]));
  },
});
