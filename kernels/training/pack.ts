import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { OpNode } from "../../engine/graph/graph.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import { type Shape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { flipFilters } from "../conv2d/flip_filters.ts";
import { columnAt } from "../conv2d/gemm.ts";
import { asNhwc, isNhwc } from "../layout/layout.ts";
import { padded } from "../layout/to_nhwc.ts";
import { permute } from "../permute.ts";
import { wgsl } from "./pack.wgsl.ts";

const WORKGROUP = 16;

/** Elements of a filter that a thread takes. */
const SPAN = 9;

/** What the filters w [O, C, ...] are of x: x itself, x with its channels exchanged, flipFilters(x), or images [C, ..., O]. */
type Source = "same" | "exchanged" | "flipped" | "images";

interface PackOptions {
  /** Output channels that are cut into one tile; 0 for none. */
  tile: number;
  of: Source;
}

/** [O, C, ...] of the filters. */
function filtersOf(x: Shape, of: Source): Shape {
  if (of === "same") return x;
  return of === "images" ? [x[3], x[0], x[1], x[2]] : [x[1], x[0], ...x.slice(2)];
}

/** Where an element of the filters is in x. */
function stridesOf(x: Shape, of: Source) {
  if (of === "images") return { first: 0, stride_o: 1, stride_c: sizeOf(x.slice(1)), stride_k: x[3] };
  const [, columns, ...size] = x;
  const area = sizeOf(size);
  const [outer, inner] = [columns * area, area];
  if (of === "same") return { first: 0, stride_o: outer, stride_c: inner, stride_k: 1 };
  const turned = of === "flipped";
  return { first: turned ? area - 1 : 0, stride_o: inner, stride_c: outer, stride_k: turned ? -1 : 1 };
}

/** Filters of x [O, C, KH, KW], or [O, C], packed as `packed` in kernels/conv2d/dense.ts does: y [KH, KW, C, O], padded. */
export const pack = defineKernel({
  name: "pack",
  inputs: ["x"],
  options: { tile: 0, of: "same" } as PackOptions,
  wgsl,

  shape({ x }, { of }) {
    const [columns, channels, ...size] = filtersOf(x, of);
    return [...size, padded(channels), padded(columns)];
  },

  cost: () => ({ flops: 0 }),
  consts: ({ options: { tile } }) => ({ WORKGROUP, SPAN, TILE: tile }),
  params({ shapes: { x }, options: { of } }) {
    const [columns, channels, ...size] = filtersOf(x, of);
    return {
      area: sizeOf(size),
      x_channels: channels,
      x_columns: columns,
      channels: padded(channels),
      columns: padded(columns),
      ...stridesOf(x, of),
    };
  },
  grid({ y }) {
    const [channels, columns] = y.slice(-2);
    return [Math.ceil(columns / 4 / WORKGROUP), channels, Math.ceil(sizeOf(y.slice(0, -2)) / SPAN)];
  },
});

/** The same of filters that may have been turned or exchanged just before: from what they were then. */
export function packOf(w: Value, tile = 0): Value {
  const { graph } = w;
  const viewed = graph.nodes[w.id];
  const isSame = viewed.kind === "view" && sameShape(graph.nodes[viewed.x].shape, w.shape);
  if (isSame) return packOf(graph.value(viewed.x), tile);
  const node = viewed as Partial<OpNode>;
  const source = () => graph.value((node as OpNode).inputs.x);
  const { dims, groups } = (node.options ?? {}) as { dims?: readonly number[]; groups?: number };
  if (node.kernel?.name === flipFilters.name && groups === 1) return pack(source(), { tile, of: "flipped" });
  const isExchanged =
    node.kernel?.name === permute.name && sameShape(dims ?? [], [1, 0, 2, 3].slice(0, w.shape.length));
  if (!isExchanged) return pack(w, { tile });
  return isNhwc(source()) ? pack(asNhwc(source()), { tile, of: "images" }) : pack(source(), { tile, of: "exchanged" });
}

export const reference: ReferenceOf<typeof pack> = {
  example: { shapes: { x: [10, 6, 3, 3] }, options: { tile: 8 } },

  compute({ x }, { shapes, y: order, options: { tile, of } }) {
    const [columns, channels, ...size] = filtersOf(shapes.x, of);
    const area = sizeOf(size);
    const strides = stridesOf(shapes.x, of);
    const y = new Float64Array(sizeOf(order));
    for (let o = 0; o < columns; o++) {
      const at = columnAt(o, area * padded(channels), padded(columns), tile || undefined);
      for (let c = 0; c < channels; c++) {
        for (let k = 0; k < area; k++) {
          const from = strides.first + o * strides.stride_o + c * strides.stride_c + k * strides.stride_k;
          y[at(k * padded(channels) + c)] = x[from];
        }
      }
    }
    return y;
  },
};
