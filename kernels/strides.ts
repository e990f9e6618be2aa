import { ShapeError } from "../engine/ground/errors.ts";
import { formatShape, type Shape } from "../engine/ground/tensor.ts";

// What kernels share that read by strides: a uniform has a field for each dimension, so that there can be only so many.

/** Dimensions that such a kernel has, if it does not say another number. */
export const RANK = 4;

/**
 * A shape with as few dimensions as views of it need, which are given by their strides: neighbours that every view steps
 * through as through one are joined, sizes of 1 left out, and what is missing to `rank` is put in front, with the size 1.
 * Throws a ShapeError where there are more.
 */
export function coalesce(kernel: string, shape: Shape, views: readonly (readonly number[])[], rank = RANK) {
  const sizes: number[] = [];
  const strides: number[][] = views.map(() => []);
  shape.forEach((size, d) => {
    if (size === 1) return;
    const last = sizes.length - 1;
    if (last >= 0 && views.every((view, i) => strides[i][last] === view[d] * size)) {
      sizes[last] *= size;
      for (const [i, view] of views.entries()) strides[i][last] = view[d];
    } else {
      sizes.push(size);
      for (const [i, view] of views.entries()) strides[i].push(view[d]);
    }
  });
  if (sizes.length > rank) {
    throw new ShapeError(
      `${kernel} takes up to ${rank} dimensions, and ${formatShape(shape)} has ${sizes.length} none of which can be joined here`,
    );
  }
  const missing = rank - sizes.length;
  return {
    sizes: [...new Array(missing).fill(1), ...sizes],
    strides: strides.map((view) => [...new Array(missing).fill(0), ...view]),
  };
}

/** Fields of a uniform, one for each dimension from `first` on: size1, size2, size3. */
export const fields = (name: string, values: readonly number[], first = 0): Record<string, number> =>
  Object.fromEntries(values.map((value, d) => [`${name}${d}`, value]).slice(first));
