import type { Value } from "../../engine/graph/value.ts";
import type { Variants } from "../../engine/graph/variant.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { concat } from "../concat.ts";
import { conv2d } from "./conv2d.ts";
import { type ByInput, type Options, paddingBack } from "./conv2d_gradient.ts";
import { conv2dInputGradient } from "./conv2d_input_gradient.ts";
import { flipFilters } from "./flip_filters.ts";
import { geometry } from "./geometry.ts";
import { stretch, stretchNhwcVariant } from "./stretch.ts";

export const variants: Variants = { stretch: [stretchNhwcVariant] };

/** More convolutions than these take longer than one with zeros in between. */
const MOST_PHASES = 4;

/** The gradient by x of convolutions with strides, or with padding beyond their filters. */
export const byInput: ByInput = (x, w, dy, options) =>
  byPoints(x, w, dy, options) ??
  byPhases(x, w, dy, options) ??
  byZeros(x, w, dy, options) ??
  conv2dInputGradient(dy, w, { ...options, size: [x.shape[2], x.shape[3]] });

/** Of filters that are points: what a stride leaves out of x has no gradient. */
function byPoints(x: Value, w: Value, dy: Value, options: Options): Value | undefined {
  const { kernel, stride, padding } = geometry(w.shape, options);
  const { groups } = options;
  if (sizeOf(kernel) > 1 || Math.max(...padding) > 0) return undefined;
  return stretch(conv2d(dy, flipFilters(w, { groups }), { groups }), { stride, size: [x.shape[2], x.shape[3]] });
}

/**
 * Pixels of x that are a stride apart take their gradients by the same taps, others by others: a convolution of dy for each of
 * these phases multiplies none of the zeros that stretch() would put between the pixels of dy.
 */
function byPhases(x: Value, w: Value, dy: Value, options: Options): Value | undefined {
  const { kernel, stride, dilation, padding } = geometry(w.shape, options);
  const { groups } = options;
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

/** By zeros between the pixels of dy, up to where x has its last pixels that any window reaches. */
function byZeros(x: Value, w: Value, dy: Value, options: Options): Value | undefined {
  const { kernel, stride, dilation, padding } = geometry(w.shape, options);
  const back = paddingBack(w.shape, options);
  if (!back) return undefined;
  const [height, width] = [0, 1].map(
    (d) => x.shape[2 + d] + padding[d] + padding[d + 2] - dilation[d] * (kernel[d] - 1),
  );
  const { groups } = options;
  const spread = stretch(dy, { stride, size: [height, width] });
  return conv2d(spread, flipFilters(w, { groups }), { groups, dilation, padding: back });
}
