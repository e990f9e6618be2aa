import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf, stridesOf } from "../../engine/ground/tensor.ts";
import { coalesce, fields } from "../strides.ts";

/** The shape of an operation on a and b, with sizes of 1 stretched; NumPy's and PyTorch's broadcasting. */
export function broadcastShape(kernel: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const size = (shape: Shape, d: number) => shape[d - rank + shape.length] ?? 1;
  const y = Array.from({ length: rank }, (_, d) => {
    const [left, right] = [size(a, d), size(b, d)];
    if (left !== right && left !== 1 && right !== 1) {
      throw new ShapeError(`${kernel}: ${formatShape(a)} and ${formatShape(b)} cannot be broadcast to one shape`);
    }
    return Math.max(left, right);
  });
  coalesce(kernel, y, [broadcastStrides(a, y), broadcastStrides(b, y)]);
  return y;
}

/** Strides of x when it is read under the shape y; 0 where it is stretched. */
export function broadcastStrides(x: Shape, y: Shape): number[] {
  const strides = stridesOf(x);
  const missing = y.length - x.length;
  return y.map((_, d) => (d < missing || x[d - missing] === 1 ? 0 : strides[d - missing]));
}

/** The fields of `struct Params` in the kernels that broadcast: sizes of y, and strides of a and b. */
export function broadcastParams(a: Shape, b: Shape, y: Shape): Record<string, number> {
  const { sizes, strides } = coalesce("", y, [broadcastStrides(a, y), broadcastStrides(b, y)]);
  return { ...fields("size", sizes, 1), ...fields("a", strides[0]), ...fields("b", strides[1]) };
}

/** Where a and b are read for every element of y. */
export function broadcastIndices(a: Shape, b: Shape, y: Shape): (index: number) => [number, number] {
  const yStrides = stridesOf(y);
  const [left, right] = [broadcastStrides(a, y), broadcastStrides(b, y)];
  return (index) => {
    const at = y.map((size, d) => Math.floor(index / yStrides[d]) % size);
    const [i, j] = [left, right].map((strides) => at.reduce((sum, p, d) => sum + p * strides[d], 0));
    return [i, j];
  };
}

/** f(a, b) element by element in float64. */
export function broadcastReference(
  a: { shape: Shape; data: Float32Array },
  b: { shape: Shape; data: Float32Array },
  y: Shape,
  f: (a: number, b: number) => number,
): Float64Array {
  const indices = broadcastIndices(a.shape, b.shape, y);
  return Float64Array.from({ length: sizeOf(y) }, (_, index) => {
    const [i, j] = indices(index);
    return f(a.data[i], b.data[j]);
  });
}
