import type { OpNode } from "../../engine/graph/graph.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { Shape } from "../../engine/ground/tensor.ts";
import { partOf, type SliceOptions, slice } from "../slice.ts";

/** What a kernel reads of NHWC images: so many of them, rows and columns, from a pixel on. 0 stands for all. */
export interface Cut {
  readonly first: number;
  readonly images: number;
  readonly rows: number;
  readonly columns: number;
}

export const WHOLE: Cut = { first: 0, images: 0, rows: 0, columns: 0 };

/** [images, rows, columns, channels] of what a cut leaves of x [N, H, W, C]. */
export const cutShape = (x: Shape, { images, rows, columns }: Cut): Shape => [
  images || x[0],
  rows || x[1],
  columns || x[2],
  x[3],
];

/** Images [N, H, W, C] that may have been sliced just before, as a cut of what they were then. */
export function uncut(x: Value): { x: Value; cut: Cut } {
  const { graph } = x;
  const at = [0, 0, 0];
  let whole = x;
  for (;;) {
    const node = graph.nodes[whole.id] as Partial<OpNode>;
    if (node.kernel?.name !== slice.name) break;
    const source = graph.value((node as OpNode).inputs.x);
    const options = node.options as SliceOptions;
    const { d, start } = partOf(source.shape, options);
    if (d > 2 || options.step > 1) break;
    at[d] += start;
    whole = source;
  }
  const [, height, width] = whole.shape;
  const [images, rows, columns] = x.shape;
  return { x: whole, cut: { first: (at[0] * height + at[1]) * width + at[2], images, rows, columns } };
}
