import { Value } from "../engine/graph/value.ts";
import { checkOptions, ShapeError, show, UsageError } from "../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf } from "../engine/ground/tensor.ts";

/**
 * The elements of x, row by row, under another shape, of which one size may be -1: what is left. A view: nothing is computed.
 * https://pytorch.org/docs/stable/generated/torch.reshape.html
 */
export function reshape(x: Value, options: { shape: Shape }): Value {
  if (!(x instanceof Value)) throw new UsageError(`reshape: got ${show(x)}; wanted a value of a graph`);
  checkOptions("reshape", options, ["shape"]);
  const { shape } = options;
  const isShape = Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && (size > 0 || size === -1));
  const open = isShape ? shape.indexOf(-1) : -1;
  if (!isShape || open !== shape.lastIndexOf(-1)) {
    throw new UsageError(
      `reshape: shape is ${show(shape)}; its sizes must be positive integers, one of them may be -1`,
    );
  }
  if (open < 0) return x.graph.reshape(x, shape);
  const rest = sizeOf(x.shape) / -sizeOf(shape);
  if (Number.isInteger(rest)) return x.graph.reshape(x, shape.with(open, rest));
  throw new ShapeError(`reshape: the elements of ${formatShape(x.shape)} do not fill ${formatShape(shape)}`);
}
