import type { Reference } from "../../../engine/graph/evaluate.ts";
import { type Shape, sizeOf } from "../../../engine/ground/tensor.ts";
import { activate } from "../../activation.ts";
import {
  outputSize,
  tileCount,
  tilesOf,
  type Winograd,
  type winogradInputKernel,
  type winogradOutputKernel,
} from "./winograd.ts";

type OptionsOf<T extends (...args: never[]) => { options: object }> = ReturnType<T>["options"];

/** M v M^T at (i, j). */
const element = (M: Winograd["input"], i: number, j: number, v: (k: number, l: number) => number): number =>
  M[i].reduce((sum, a, k) => sum + a * M[j].reduce((row, b, l) => row + b * v(k, l), 0), 0);

/** The reference of winogradInputKernel(). */
export function winogradInputReference(algorithm: Winograd): Reference<"x", OptionsOf<typeof winogradInputKernel>> {
  const { tile, input: B } = algorithm;
  const side = tile + 2;
  return {
    example: { shapes: { x: [2, 9, 7, 8] } },

    compute({ x }, { shapes, options: { padding }, y: [, tiles, channels] }) {
      const [, height, width] = shapes.x;
      const [tilesHeight, tilesWidth] = tilesOf(algorithm, outputSize(shapes.x, padding));
      const y = new Float64Array(side * side * tiles * channels);
      for (let t = 0; t < tiles; t++) {
        const left = (t % tilesWidth) * tile - padding[1];
        const top = (Math.floor(t / tilesWidth) % tilesHeight) * tile - padding[0];
        const n = Math.floor(t / tilesWidth / tilesHeight);
        const at = (row: number, column: number, c: number) =>
          row >= 0 && row < height && column >= 0 && column < width
            ? x[((n * height + row) * width + column) * channels + c]
            : 0;
        for (let c = 0; c < channels; c++) {
          for (let i = 0; i < side; i++) {
            for (let j = 0; j < side; j++) {
              const value = element(B, i, j, (k, l) => at(top + k, left + l, c));
              y[((i * side + j) * tiles + t) * channels + c] = value;
            }
          }
        }
      }
      return y;
    },
  };
}

/** The reference of winogradOutputKernel(). */
export function winogradOutputReference(
  algorithm: Winograd,
): Reference<"x" | "b?" | "r?", OptionsOf<typeof winogradOutputKernel>> {
  const { tile, output: A } = algorithm;
  const side = tile + 2;
  const size: Shape = [2, 9, 7];
  return {
    example: { shapes: { x: [side * side, tileCount(algorithm, size), 8], b: [8] }, options: { size } },

    compute({ x, b, r }, { shapes, options, y: shape }) {
      const [, tiles, channels] = shapes.x;
      const [, height, width] = shape;
      const [tilesHeight, tilesWidth] = tilesOf(algorithm, [height, width]);
      return Float64Array.from({ length: sizeOf(shape) }, (_, index) => {
        const c = index % channels;
        const column = Math.floor(index / channels) % width;
        const row = Math.floor(index / channels / width) % height;
        const n = Math.floor(index / channels / width / height);
        const t = (n * tilesHeight + Math.floor(row / tile)) * tilesWidth + Math.floor(column / tile);
        const value = element(A, row % tile, column % tile, (i, j) => x[((i * side + j) * tiles + t) * channels + c]);
        const sum = value + (b ? b[c] : 0) + (r ? r[index] : 0);
        return activate[options.activation](sum);
      });
    },
  };
}
