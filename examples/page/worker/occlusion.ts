import { type AnyNet, type Given, netOptions, OUTPUTS, traceSlice } from "../../../engine/definition.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import type { Shape } from "../../../engine/ground/tensor.ts";
import { mul } from "../../../kernels/elementwise/mul.ts";
import type { Heat } from "./heat_map.ts";

// M. Zeiler, R. Fergus: "Visualizing and understanding convolutional networks", 2014, figure 7: what a net makes of an image of
// which a square is covered with grey, the mean of all images.

/** Places of the square, per side. */
export const GRID = 8;

/** The part of the image's side that it covers. */
const PART = 1 / 4;

/** Images per run. */
const BATCH = 8;

/** 1 where the image is to be seen, 0 under the square. */
export const VISIBLE = "visible";

/** A net of one image x and as many masks [N, 1, H, W] as the device can take at once, up to a few. */
export function traceCovered(
  gpu: Gpu,
  definition: AnyNet,
  given: Given,
): { graph: Graph; batch: number; image: Shape } {
  const sliced = traceSlice(definition, { ...given, batch: BATCH }, gpu);
  const [{ shape }] = sliced.nodes;
  const [batch, channels, height, width] = shape;
  const graph = new Graph();
  const x = graph.input("x", [1, channels, height, width]);
  const covered = mul(graph.input(VISIBLE, [batch, 1, height, width]), x);
  const logits = definition.build(covered, netOptions(definition, given));
  graph.name(OUTPUTS[0], logits);
  graph.name(OUTPUTS[1], definition.probabilities(logits));
  return { graph, batch, image: [height, width] };
}

/** The masks of the places from `first` on, of which the last ones may be over the end: there all is seen. */
export function masksFrom(first: number, count: number, [height, width]: Shape): Float32Array {
  const masks = new Float32Array(count * height * width).fill(1);
  for (let i = 0; i < count && first + i < GRID * GRID; i++) {
    const [row, column] = [Math.floor((first + i) / GRID), (first + i) % GRID];
    const [top, bottom] = span(row, height);
    const [left, right] = span(column, width);
    for (let y = top; y < bottom; y++) {
      const at = (i * height + y) * width;
      masks.fill(0, at + left, at + right);
    }
  }
  return masks;
}

/** Around the middle of a cell of the grid, within the image. */
function span(cell: number, side: number): [number, number] {
  const middle = ((cell + 0.5) / GRID) * side;
  return [Math.max(0, Math.round(middle - (PART * side) / 2)), Math.min(side, Math.round(middle + (PART * side) / 2))];
}

/** How much of a class's probability is lost with what is covered, from the probabilities of all classes at every place. */
export const lostBy = (whole: Float32Array, covered: Float32Array, classIndex: number): Heat => ({
  values: Float32Array.from(
    { length: GRID * GRID },
    (_, place) => whole[classIndex] - covered[place * whole.length + classIndex],
  ),
  height: GRID,
  width: GRID,
});
