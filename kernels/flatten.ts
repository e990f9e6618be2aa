import { checkValue, type Value } from "../engine/graph/value.ts";
import { checkOptions } from "../engine/ground/errors.ts";
import { sizeOf } from "../engine/ground/tensor.ts";
import { axis } from "./options.ts";

/**
 * Joins the dimensions from `startDim` on into one; [N, C, H, W] becomes [N, C H W]. A view: nothing is computed.
 * https://pytorch.org/docs/stable/generated/torch.nn.Flatten.html
 */
export function flatten(x: Value, options: { startDim?: number } = {}): Value {
  checkValue("flatten: x", x);
  checkOptions("flatten", options, ["startDim"]);
  const { startDim = 1 } = options;
  const start = axis("flatten", "startDim", startDim, x.shape.length);
  return x.graph.reshape(x, [...x.shape.slice(0, start), sizeOf(x.shape.slice(start))]);
}
