import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { OpNode } from "../../engine/graph/graph.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import { type Shape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { type Cut, cutShape, uncut, WHOLE } from "../conv2d/cut.ts";
import { type FlipOptions, flipFilters, tapsOf, turned } from "../conv2d/flip_filters.ts";
import { columnAt } from "../conv2d/gemm.ts";
import { asNhwc, isNhwc } from "../layout/layout.ts";
import { padded } from "../layout/to_nhwc.ts";
import { permute } from "../permute.ts";
import { wgsl } from "./pack.wgsl.ts";

const WORKGROUP = 16;

/** Elements of a filter that a thread takes. */
const SPAN = 9;

/**
 * What the filters w [O, C, ...] are of x: x itself, x with its channels exchanged, flipFilters(x), images [C, ..., O], or x [O, 1,
 * KH, KW] with its columns as channels.
 */
type Source = "same" | "exchanged" | "flipped" | "images" | "columns";

interface PackOptions {
  /** Output channels that are cut into one tile; 0 for none. */
  tile: number;
  of: Source;
  /** The taps that flipFilters() has left. */
  taps: FlipOptions;
  /** Of images: those that are read. */
  cut: Cut;
}

/** A matrix has no taps to turn. */
const isTurned = (x: Shape, of: Source): boolean => of === "flipped" && x.length > 2;

/** [O, C, ...] of the filters. */
function filtersOf(x: Shape, { of, taps, cut }: Readonly<PackOptions>): Shape {
  if (of === "same") return x;
  if (of === "images") return [x[3], ...cutShape(x, cut).slice(0, 3)];
  if (of === "columns") return [x[0], x[3], x[2], 1];
  return [x[1], x[0], ...(isTurned(x, of) ? tapsOf(x, taps) : x.slice(2))];
}

/** Where an element of the filters is in x: rows of taps, of which all that follow each other evenly are one. */
function stridesOf(x: Shape, { of, taps, cut }: Readonly<PackOptions>) {
  const area = sizeOf(x.slice(2));
  if (of === "images") {
    const [first, stride_c, stride_row] = [cut.first * x[3], sizeOf(x.slice(1)), sizeOf(x.slice(2))];
    return { width: cutShape(x, cut)[2], first, stride_o: 1, stride_c, stride_row, stride_k: x[3] };
  }
  if (of === "columns") return { width: x[2], first: 0, stride_o: area, stride_c: 1, stride_row: 0, stride_k: x[3] };
  const [stride_o, stride_c] = of === "same" ? [x[1] * area, area] : [area, x[1] * area];
  if (!isTurned(x, of)) return { width: area, first: 0, stride_o, stride_c, stride_row: 0, stride_k: 1 };
  const { last, step_height, step_width } = turned(x, taps);
  return { width: tapsOf(x, taps)[1], first: last, stride_o, stride_c, stride_row: step_height, stride_k: step_width };
}

/** Filters of x [O, C, KH, KW], or [O, C], packed as `packed` in kernels/conv2d/dense.ts does: y [KH, KW, C, O], padded. */
export const pack = defineKernel({
  name: "pack",
  inputs: ["x"],
  options: { tile: 0, of: "same", taps: flipFilters.options, cut: WHOLE } as PackOptions,
  wgsl,

  shape({ x }, options) {
    const [columns, channels, ...size] = filtersOf(x, options);
    return [...size, padded(channels), padded(columns)];
  },

  cost: ({ y }) => ({ flops: 0, bytes: 8 * sizeOf(y) }),
  consts: ({ options: { tile } }) => ({ WORKGROUP, SPAN, TILE: tile }),
  params({ shapes: { x }, options }) {
    const [columns, channels, ...size] = filtersOf(x, options);
    return {
      area: sizeOf(size),
      x_channels: channels,
      x_columns: columns,
      channels: padded(channels),
      columns: padded(columns),
      ...stridesOf(x, options),
    };
  },
  grid({ y }) {
    const [channels, columns] = y.slice(-2);
    return [Math.ceil(columns / 4 / WORKGROUP), channels, Math.ceil(sizeOf(y.slice(0, -2)) / SPAN)];
  },
});

/** The same of filters that may have been turned or exchanged just before: from what they were then. */
export function packOf(w: Value, tile = 0, columns = false): Value {
  const { graph } = w;
  if (columns) return pack(w, { tile, of: "columns" });
  const viewed = graph.nodes[w.id];
  const isSame = viewed.kind === "view" && sameShape(graph.nodes[viewed.x].shape, w.shape);
  if (isSame) return packOf(graph.value(viewed.x), tile);
  const node = viewed as Partial<OpNode>;
  const source = () => graph.value((node as OpNode).inputs.x);
  if (node.kernel?.name === flipFilters.name) {
    const taps = node.options as FlipOptions;
    return taps.groups === 1 ? pack(source(), { tile, of: "flipped", taps }) : pack(w, { tile });
  }
  const { dims } = (node.options ?? {}) as { dims?: Shape };
  const isExchanged =
    node.kernel?.name === permute.name && sameShape(dims ?? [], [1, 0, 2, 3].slice(0, w.shape.length));
  if (!isExchanged) return pack(w, { tile });
  if (!isNhwc(source())) return pack(source(), { tile, of: "exchanged" });
  const { x, cut } = uncut(asNhwc(source()));
  return pack(x, { tile, of: "images", cut });
}

export const reference: ReferenceOf<typeof pack> = {
  example: { shapes: { x: [10, 6, 3, 3] }, options: { tile: 8 } },

  compute({ x }, { shapes, y: order, options }) {
    const { tile } = options;
    const [columns, channels, ...size] = filtersOf(shapes.x, options);
    const area = sizeOf(size);
    const { width, first, stride_o, stride_c, stride_row, stride_k } = stridesOf(shapes.x, options);
    const y = new Float64Array(sizeOf(order));
    for (let o = 0; o < columns; o++) {
      const at = columnAt(o, area * padded(channels), padded(columns), tile || undefined);
      for (let c = 0; c < channels; c++) {
        for (let k = 0; k < area; k++) {
          const tap = Math.floor(k / width) * stride_row + (k % width) * stride_k;
          y[at(k * padded(channels) + c)] = x[first + o * stride_o + c * stride_c + tap];
        }
      }
    }
    return y;
  },
};
