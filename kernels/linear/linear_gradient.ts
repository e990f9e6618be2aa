import type { GradientOf } from "../../engine/graph/gradients.ts";
import { rowsOf } from "../../engine/ground/tensor.ts";
import { refuseFused } from "../gradients_common.ts";
import { matmul } from "../matmul.ts";
import { permute } from "../permute.ts";
import { sum } from "../sum.ts";
import type { linear } from "./linear.ts";

export const gradient: GradientOf<typeof linear> = ({ inputs: { x, w }, options, dy }) => {
  refuseFused("linear", options);
  const { graph } = x;
  const [outFeatures, inFeatures] = w.shape;
  const rows = rowsOf(x.shape);
  const slopes = graph.reshape(dy, [rows, outFeatures]);
  return {
    x: () => graph.reshape(matmul(slopes, w), x.shape),
    w: () => matmul(permute(slopes, { dims: [1, 0] }), graph.reshape(x, [rows, inFeatures])),
    b: () => sum(slopes, { dims: [0] }),
  };
};
