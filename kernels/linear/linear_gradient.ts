import type { GradientOf } from "../../engine/graph/gradients.ts";
import type { Value } from "../../engine/graph/value.ts";
import { rowsOf, sizeOf } from "../../engine/ground/tensor.ts";
import { refuseFused } from "../gradients_common.ts";
import { matmul } from "../matmul.ts";
import { permute } from "../permute.ts";
import { sum } from "../sum.ts";
import { linear } from "./linear.ts";

export const gradient: GradientOf<typeof linear> = ({ inputs: { x, w }, options, dy }) => {
  refuseFused("linear", options);
  const { graph } = x;
  const [outFeatures, inFeatures] = w.shape;
  const rows = rowsOf(x.shape);
  const slopes = graph.reshape(dy, [rows, outFeatures]);
  return {
    x: () => graph.reshape(product(slopes, w), x.shape),
    w: () => product(transposed(slopes), graph.reshape(x, [rows, inFeatures])),
    b: () => sum(slopes, { dims: [0] }),
  };
};

/** Multiply-adds from which on fast kernels make up for what is transposed and packed. */
const LEAST_WORK = 1e7;

/** a b of a [M, K] and b [K, N]: large ones as linear layers, which have fast kernels. */
function product(a: Value, b: Value): Value {
  const sizes = [...a.shape, b.shape[1]];
  const isLarge = sizeOf(sizes) >= LEAST_WORK && sizes.every((size) => size % 4 === 0);
  return isLarge ? linear(a, transposed(b)) : matmul(a, b);
}

const transposed = (matrix: Value): Value => permute(matrix, { dims: [1, 0] });
