import type { GradientOf } from "../../engine/graph/gradients.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { AnyVariant, Variants } from "../../engine/graph/variant.ts";
import { sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { concat } from "../concat.ts";
import { add } from "../elementwise/add.ts";
import { refuseFused } from "../gradients_common.ts";
import { asNchw, asNhwc, isNhwc, nhwc, permuted, wholeVectors } from "../layout/layout.ts";
import { toNhwc } from "../layout/to_nhwc.ts";
import { permute } from "../permute.ts";
import { slice } from "../slice.ts";
import { sum } from "../sum.ts";
import { conv2d } from "./conv2d.ts";
import { conv2dInputGradient } from "./conv2d_input_gradient.ts";
import { conv2dStemWeightGradientVariant, refusesStem } from "./conv2d_stem_weight_gradient.ts";
import { conv2dWeightGradient } from "./conv2d_weight_gradient.ts";
import { exchange } from "./exchange.ts";
import { exchangeNhwcVariant } from "./exchange_nhwc.ts";
import { flipFilters } from "./flip_filters.ts";
import { type Conv2dOptions, geometry } from "./geometry.ts";
import { stretch, stretchNhwcVariant } from "./stretch.ts";

/**
 * Gradients of convolutions are convolutions, and have the fast kernels of these: that by x one of dy by the filters, turned; that
 * by w, without groups, one of x by dy, with the images of the batch as channels. The others have plain kernels.
 */
export const gradient: GradientOf<typeof conv2d> = ({ inputs, options: { activation, ...options }, dy }) => {
  refuseFused("conv2d", { activation });
  const { graph } = dy;
  const [x, w] = isProduct(inputs, dy, options) ? [inputs.x, inputs.w].map(asPoints) : [inputs.x, inputs.w];
  const like = (value: Value, { shape }: Value) =>
    sameShape(value.shape, shape) ? value : graph.reshape(value, shape);
  return {
    x: () =>
      like(
        byInput(x, w, dy, options) ?? conv2dInputGradient(dy, w, { ...options, size: [x.shape[2], x.shape[3]] }),
        inputs.x,
      ),
    w: () =>
      like(
        byWeight(x, w, dy, options) ?? conv2dWeightGradient(x, dy, { ...options, kernel: [w.shape[2], w.shape[3]] }),
        inputs.w,
      ),
    b: () => sum(dy, { dims: [0, 2, 3] }),
    r: () => dy,
  };
};

type Options = Omit<Conv2dOptions, "activation">;

/** The fast kernels add in one chain: so many products of a gradient by w round about as much as the loss itself. */
const LONGEST = 4096;

/** So many of such sums cost less than the plain kernel. */
const MOST_PARTS = 8;

/** More convolutions than these, for a gradient by x, take longer than one with zeros in between. */
const MOST_PHASES = 4;

/** Of fewer channels than these conv2d_stem_weight_gradient takes less time than the convolutions do. */
const FEW_CHANNELS = 8;

/** Gradients change layouts themselves: what a fast kernel has made in NHWC is there already. */
const asItWas: AnyVariant = {
  name: "as_it_was",
  nhwc: true,
  refuses: (_call, _setting, { x }: { x: Value }) => (isNhwc(x) ? undefined : "its image is none in NHWC"),
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
  stretch: [stretchNhwcVariant],
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

function byInput(x: Value, w: Value, dy: Value, options: Options): Value | undefined {
  const [, , height, width] = x.shape;
  const { kernel, stride, dilation, padding } = geometry(w.shape, options);
  const reach = [0, 1].map((d) => dilation[d] * (kernel[d] - 1));
  const [top, left] = [reach[0] - padding[0], reach[1] - padding[1]];
  if (Math.min(top, left) < 0) return undefined;
  const { groups } = options;
  const isPoint = Math.max(...reach, ...padding) === 0;
  if (isPoint) {
    const back = conv2d(dy, flipFilters(w, { groups }), { groups });
    return Math.max(...stride) === 1 ? back : stretch(back, { stride, size: [height, width] });
  }
  const phases = byPhases(x, w, dy, options);
  if (phases) return phases;
  // Up to where x has its last pixels that any window reaches.
  const size: [number, number] = [
    height + padding[0] + padding[2] - reach[0],
    width + padding[1] + padding[3] - reach[1],
  ];
  const [bottom, right] = [reach[0] - padding[2], reach[1] - padding[3]];
  if (Math.min(bottom, right) < 0) return undefined;
  const spread = Math.max(...stride) === 1 ? dy : stretch(dy, { stride, size });
  return conv2d(spread, flipFilters(w, { groups }), { groups, dilation, padding: [top, left, bottom, right] });
}

/**
 * Pixels of x that are a stride apart take their gradients by the same taps, others by others: a convolution of dy for each of
 * these phases multiplies none of the zeros that stretch() would put between the pixels of dy.
 */
function byPhases(x: Value, w: Value, dy: Value, { groups, ...options }: Options): Value | undefined {
  const { kernel, stride, dilation, padding } = geometry(w.shape, { ...options, groups });
  const isOne = sizeOf(stride) === 1 || sizeOf(stride) > MOST_PHASES;
  // Depthwise convolutions have so few products that their number counts for more.
  if (isOne || sizeOf(dilation) > 1 || w.shape[1] === 1) return undefined;
  const size: [number, number] = [x.shape[2], x.shape[3]];
  const [rows, columns] = [0, 1].map((d) =>
    Array.from({ length: stride[d] }, (_, phase) => {
      const start = (phase + padding[d]) % stride[d];
      // The pixel of dy that the phase's first pixel has by that tap; further taps reach those before.
      const first = Math.floor((phase + padding[d]) / stride[d]);
      const taps = Math.ceil((kernel[d] - start) / stride[d]);
      return { start, taps, before: taps - 1 - first, after: Math.ceil(size[d] / stride[d]) + first - dy.shape[2 + d] };
    }),
  );
  const fits = [...rows, ...columns].every(({ taps, before, after }) => taps > 0 && before >= 0 && after >= 0);
  if (!fits) return undefined;
  const phases = rows.flatMap((row) =>
    columns.map((column) =>
      conv2d(dy, flipFilters(w, { groups, stride, start: [row.start, column.start] }), {
        groups,
        padding: [row.before, column.before, row.after, column.after],
      }),
    ),
  );
  return stretch(concat(...phases, { dim: 1 }), { stride, size, phases: phases.length });
}

function byWeight(x: Value, w: Value, dy: Value, options: Options): Value | undefined {
  const [batch, , ...size] = dy.shape;
  // Longer sums go by some images at a time, as many as fill vec4s.
  const images = Math.max(4, Math.floor(LONGEST / sizeOf(size) / 4) * 4);
  const parts = Math.ceil(batch / images);
  if (x.shape[1] < FEW_CHANNELS && !refusesStem(w.shape, options)) return undefined;
  if (options.groups !== 1 || parts > MOST_PARTS || Math.min(images, batch) * sizeOf(size) > LONGEST) return undefined;
  const of = (value: Value, start: number) =>
    images < batch ? slice(value, { dim: 0, start, end: Math.min(start + images, batch) }) : value;
  return Array.from({ length: parts }, (_, i) => product(of(x, i * images), w, of(dy, i * images), options)).reduce(
    (sum, part) => add(sum, part),
  );
}

/** The gradient by w, of images that are channels. */
function product(x: Value, w: Value, dy: Value, options: Options): Value {
  const { graph } = x;
  const { kernel, stride, dilation, padding } = geometry(w.shape, options);
  const [batch] = x.shape;
  // As an image whose channels are the batch's images.
  const image = asNchw(exchange(x), batch);
  const filters = permute(dy, { dims: [1, 0, 2, 3] });
  // Rows that a stride leaves out are no part of any product.
  const rest = [0, 1].map(
    (d) => (x.shape[2 + d] + padding[d] + padding[2 + d] - dilation[d] * (kernel[d] - 1) - 1) % stride[d],
  );
  const [top, left, bottom, right] = padding.map((side, d) => (d < 2 ? side : Math.max(0, side - rest[d - 2])));
  const slopes = conv2d(image, filters, { stride: dilation, dilation: stride, padding: [top, left, bottom, right] });
  // Where there were more of them than padding, the last ones made more than the filter has.
  const cut = kernel.reduce(
    (value, size, d) => (value.shape[2 + d] > size ? slice(value, { dim: 2 + d, start: 0, end: size }) : value),
    slopes,
  );
  // From [C, KH, KW, O] to [O, C, KH, KW]: that matrix transposed.
  const rows = toNhwc(cut);
  return graph.reshape(
    asNchw(graph.reshape(rows, [1, sizeOf(rows.shape.slice(0, 3)), 1, rows.shape[3]]), w.shape[0]),
    w.shape,
  );
}
