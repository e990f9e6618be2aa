import type { Shape } from "../../engine/ground/tensor.ts";
import type { poolGeometry } from "../../kernels/pool2d/geometry.ts";

// Places at the edges of images and tensors, which every engine wants in pairs of one before and one behind.

export type Pair = readonly [number, number];

/** Rows, and columns, around x [N, C, H, W] that the windows of a pooling reach, so that a size is never rounded up. */
export const poolWidths = ({ kernel, stride, padding }: ReturnType<typeof poolGeometry>, x: Shape, y: Shape): Pair[] =>
  padding.map((before, d) => {
    const end = (y[d + 2] - 1) * stride[d] + kernel[d];
    return [before, Math.max(before, end - x[d + 2] - before)];
  });

/** What `pad` puts around each dimension of x to make y of it, or takes off where it is negative. */
export function padWidths(padding: number | readonly number[], x: Shape, y: Shape): Pair[] {
  const [top, left = top] = [padding].flat();
  return [0, 0, top, left].map((before, d) => [before, y[d] - x[d] - before]);
}

/** Where a slice begins in a dimension of so many. */
export const sliceStart = (start: number, size: number): number => (start < 0 ? Math.max(start + size, 0) : start);
