import type { GradientOf } from "../../engine/graph/gradients.ts";
import type { Graph } from "../../engine/graph/graph.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { AnyVariant, Variants } from "../../engine/graph/variant.ts";
import { type Shape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { add } from "../elementwise/add.ts";
import { refuseFused } from "../gradients_common.ts";
import { asNchw, asNhwc, isNhwc, nhwc, permuted, wholeVectors } from "../layout/layout.ts";
import { toNhwc } from "../layout/to_nhwc.ts";
import { permute } from "../permute.ts";
import { slice } from "../slice.ts";
import { sum } from "../sum.ts";
import { conv2d } from "./conv2d.ts";
import { conv2dStemWeightGradientVariant, refusesStem } from "./conv2d_stem_weight_gradient.ts";
import { conv2dWeightGradient } from "./conv2d_weight_gradient.ts";
import { exchange } from "./exchange.ts";
import { exchangeNhwcVariant } from "./exchange_nhwc.ts";
import { flipFilters } from "./flip_filters.ts";
import { type Conv2dOptions, geometry } from "./geometry.ts";

export type Options = Omit<Conv2dOptions, "activation">;

/** The gradient by x. */
export type ByInput = (x: Value, w: Value, dy: Value, options: Options) => Value;

/**
 * Gradients of convolutions are convolutions, and have the fast kernels of these: that by x one of dy by the filters, turned; that
 * by w, without groups, one of x by dy, with the images of the batch as channels. Others by w have plain kernels, and others by x
 * are made by what is given.
 */
export const gradientBy =
  (others?: ByInput): GradientOf<typeof conv2d> =>
  ({ inputs, options: { activation, ...options }, dy }) => {
    refuseFused("conv2d", { activation });
    const { graph } = dy;
    const [x, w] = isProduct(inputs, dy, options) ? [inputs.x, inputs.w].map(asPoints) : [inputs.x, inputs.w];
    const like = (value: Value, { shape }: Value) =>
      sameShape(value.shape, shape) ? value : graph.reshape(value, shape);
    return {
      x: () => like(byTurned(w, dy, options) ?? (others as ByInput)(x, w, dy, options), inputs.x),
      w: () =>
        like(
          byWeight(x, w, dy, options) ?? conv2dWeightGradient(x, dy, { ...options, kernel: [w.shape[2], w.shape[3]] }),
          inputs.w,
        ),
      b: () => sum(dy, { dims: [0, 2, 3] }),
      r: () => dy,
    };
  };

/** The fast kernels add in one chain: so many products of a gradient by w round about as much as the loss itself. */
const LONGEST = 4096;

/** So many of such sums cost less than one kernel: each is several dispatches, one after the other, which GPUs have to wait for. */
const MOST_PARTS = 8;

/** Of fewer channels than these conv2d_stem_weight_gradient takes less time than one convolution does, or than several do. */
const FEW_CHANNELS = { one: 5, several: 8 };

/** Gradients change layouts themselves: what a fast kernel has made in NHWC is there already, and points are the same in both. */
const asItWas: AnyVariant = {
  name: "as_it_was",
  nhwc: true,
  refuses: ({ shapes }, _setting, { x }: { x: Value }) =>
    isNhwc(x) || (wholeVectors(shapes.x) && sizeOf(shapes.x.slice(2)) === 1) ? undefined : "its image is none in NHWC",
  build: ({ x }: { x: Value }) => asNhwc(x),
};

/** Who packs images as filters reads them as they are: see packOf(). */
const asFilters: AnyVariant = {
  ...nhwc({
    refuses: ({ shapes: { x }, options: { dims } }) =>
      sameShape(dims, [1, 0, 2, 3]) && wholeVectors(x) ? undefined : "it exchanges no channels of images",
    build: ({ x }, { options }, _setting, plain) => plain(x, options),
  }),
  name: "as_filters",
};

export const variants: Variants = {
  conv2d_weight_gradient: [conv2dStemWeightGradientVariant],
  exchange: [exchangeNhwcVariant],
  permute: [permuted, asFilters],
  to_nhwc: [asItWas],
};

/** Whether each filter covers its image: then it is one product of all elements, and no padding is multiplied. */
const isProduct = ({ x, w }: { readonly x: Value; readonly w: Value }, dy: Value, options: Options): boolean =>
  options.groups === 1 &&
  sizeOf(dy.shape.slice(2)) === 1 &&
  sameShape(x.shape.slice(2), w.shape.slice(2)) &&
  Math.max(...geometry(w.shape, options).padding) === 0;

const asPoints = (value: Value): Value =>
  value.graph.reshape(value, [value.shape[0], sizeOf(value.shape.slice(1)), 1, 1]);

/** By the filters turned; undefined for strides, and for padding beyond the filters. */
function byTurned(w: Value, dy: Value, options: Options): Value | undefined {
  const { groups } = options;
  const { dilation } = geometry(w.shape, options);
  const padding = paddingTurned(w.shape, options);
  return padding && conv2d(dy, flipFilters(w, { groups }), { groups, dilation, padding });
}

const paddingTurned = (w: Shape, options: Options) =>
  sizeOf(geometry(w, options).stride) === 1 ? paddingBack(w, options) : undefined;

/**
 * The padding of the convolution that takes gradients back: what of a filter is beside the window's first pixel, and its last.
 * undefined where padding is beyond the filter.
 */
export function paddingBack(w: Shape, options: Options): [number, number, number, number] | undefined {
  const { kernel, dilation, padding } = geometry(w, options);
  const sides = padding.map((side, i) => dilation[i % 2] * (kernel[i % 2] - 1) - side);
  return Math.min(...sides) < 0 ? undefined : (sides as [number, number, number, number]);
}

/** Whether gradientBy() needs nothing for the convolutions of a graph. */
export const isPlain = ({ nodes }: Graph): boolean =>
  nodes.every(
    (node) =>
      node.kind !== "op" ||
      node.kernel.name !== conv2d.name ||
      paddingTurned(nodes[node.inputs.w].shape, node.options as Options),
  );

/** The gradient by w; longer sums go by some images at a time, as many as fill vec4s, and if need be by some rows of these. */
function byWeight(x: Value, w: Value, dy: Value, options: Options): Value | undefined {
  const [batch, , height, width] = dy.shape;
  const images = Math.min(batch, Math.max(4, Math.floor(LONGEST / (height * width) / 4) * 4));
  const bands = Math.ceil(height / Math.floor(LONGEST / (images * width)));
  const rows = Math.ceil(height / bands);
  const parts = Math.ceil(batch / images) * Math.ceil(height / rows);
  const few = parts > 1 ? FEW_CHANNELS.several : FEW_CHANNELS.one;
  if (x.shape[1] < few && !refusesStem(w.shape, options)) return undefined;
  // With rows that are too long for a sum there are no bands, and parts are no number.
  if (options.groups !== 1 || !(parts <= MOST_PARTS)) return undefined;
  const starts = (count: number, step: number) => Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
  const columns = reach(x.shape, w.shape, options, 1, 0, width);
  const lines = starts(height, rows).map((start) => {
    const end = Math.min(start + rows, height);
    return { start, end, of: reach(x.shape, w.shape, options, 0, start, end) };
  });
  // Not where some are made of padding alone.
  if ([columns, ...lines.map(({ of }) => of)].some(({ start, end }) => start >= end)) return undefined;
  return starts(batch, images)
    .flatMap((n) => {
      const [ofX, ofDy] = [x, dy].map((value) => part(value, 0, n, n + images));
      return lines.map(({ start, end, of }) => {
        const image = part(part(ofX, 2, of.start, of.end), 3, columns.start, columns.end);
        const padding = [of.before, columns.before, of.after, columns.after] as const;
        return product(image, w, part(ofDy, 2, start, end), { ...options, padding });
      });
    })
    .reduce((sum, each) => add(sum, each));
}

/** Those from `start` on along a dimension, but for those from `end` on, if there are such. */
const part = (value: Value, dim: number, start: number, end: number): Value =>
  start > 0 || end < value.shape[dim] ? slice(value, { dim, start, end }) : value;

/** What of x some rows of the output are made of, or for a `d` of 1 columns, and how many of padding before and after it. */
function reach(x: Shape, w: Shape, options: Options, d: 0 | 1, start: number, end: number) {
  const { kernel, stride, dilation, padding } = geometry(w, options);
  const size = x[2 + d];
  const first = start * stride[d] - padding[d];
  const last = (end - 1) * stride[d] - padding[d] + dilation[d] * (kernel[d] - 1) + 1;
  return {
    start: Math.max(0, first),
    end: Math.min(size, last),
    before: Math.max(0, -first),
    after: Math.max(0, last - size),
  };
}

/** The gradient by w, of images that are channels, all of whose rows and columns are reached. */
function product(x: Value, w: Value, dy: Value, options: Options): Value {
  const { graph } = x;
  const { stride, dilation, padding } = geometry(w.shape, options);
  const [batch] = x.shape;
  // As an image whose channels are the batch's images.
  const image = asNchw(exchange(x), batch);
  const filters = permute(dy, { dims: [1, 0, 2, 3] });
  const slopes = conv2d(image, filters, { stride: dilation, dilation: stride, padding });
  // From [C, KH, KW, O] to [O, C, KH, KW]: that matrix transposed.
  const rows = toNhwc(slopes);
  return graph.reshape(
    asNchw(graph.reshape(rows, [1, sizeOf(rows.shape.slice(0, 3)), 1, rows.shape[3]]), w.shape[0]),
    w.shape,
  );
}
