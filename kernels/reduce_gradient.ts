import type { GradientOf } from "../engine/graph/gradients.ts";
import type { Value } from "../engine/graph/value.ts";
import { sizeOf } from "../engine/ground/tensor.ts";
import { expand } from "./expand.ts";
import type { mean } from "./mean.ts";
import { reducedShape } from "./reduce.ts";
import type { sum } from "./sum.ts";

export const meanGradient: GradientOf<typeof mean> = ({ inputs: { x }, options, y, dy }) => ({
  x: () => stretched("mean", x, options.dims, dy, sizeOf(y.shape) / sizeOf(x.shape)),
});

export const sumGradient: GradientOf<typeof sum> = ({ inputs: { x }, options, dy }) => ({
  x: () => stretched("sum", x, options.dims, dy, 1),
});

/** dy at every element of x that is in its sum. */
const stretched = (kernel: string, { graph, shape }: Value, dims: readonly number[], dy: Value, scale: number): Value =>
  expand(graph.reshape(dy, reducedShape(kernel, shape, dims, true)), { shape, scale });
