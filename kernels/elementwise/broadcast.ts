import { ShapeError } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf, stridesOf } from "../../engine/ground/tensor.ts";

const RANK = 4;

/** The shape of an operation on a and b, with sizes of 1 stretched; NumPy's and PyTorch's broadcasting. */
export function broadcastShape(kernel: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  if (rank > RANK)
    throw new ShapeError(`${kernel} takes up to ${RANK} dimensions, got ${formatShape(a)} and ${formatShape(b)}`);
  const size = (shape: Shape, d: number) => shape[d - rank + shape.length] ?? 1;
  return Array.from({ length: rank }, (_, d) => {
    const [left, right] = [size(a, d), size(b, d)];
    if (left !== right && left !== 1 && right !== 1) {
      throw new ShapeError(`${kernel}: ${formatShape(a)} and ${formatShape(b)} cannot be broadcast to one shape`);
    }
    return Math.max(left, right);
  });
}

/** Strides of x in four dimensions when it is read under the shape y; 0 where it is stretched. */
function broadcastStrides(x: Shape): number[] {
  const strides = stridesOf(x);
  const missing = RANK - x.length;
  return Array.from({ length: RANK }, (_, d) => (d < missing || x[d - missing] === 1 ? 0 : strides[d - missing]));
}

/** The fields of `struct Params` in the kernels that broadcast. */
export function broadcastParams(a: Shape, b: Shape, y: Shape) {
  const [, size1, size2, size3] = [...new Array(RANK - y.length).fill(1), ...y];
  const [a0, a1, a2, a3] = broadcastStrides(a);
  const [b0, b1, b2, b3] = broadcastStrides(b);
  return { count: sizeOf(y), size1, size2, size3, a0, a1, a2, a3, b0, b1, b2, b3 };
}

/** f(a, b) element by element in float64. */
export function broadcastReference(
  a: { shape: Shape; data: Float32Array },
  b: { shape: Shape; data: Float32Array },
  y: Shape,
  f: (a: number, b: number) => number,
): Float64Array {
  const { size1, size2, size3 } = broadcastParams(a.shape, b.shape, y);
  const strides = [broadcastStrides(a.shape), broadcastStrides(b.shape)];
  return Float64Array.from({ length: sizeOf(y) }, (_, index) => {
    const at = [
      Math.floor(index / (size1 * size2 * size3)),
      Math.floor(index / (size2 * size3)) % size1,
      Math.floor(index / size3) % size2,
      index % size3,
    ];
    const [i, j] = strides.map((stride) => at.reduce((sum, p, d) => sum + p * stride[d], 0));
    return f(a.data[i], b.data[j]);
  });
}
