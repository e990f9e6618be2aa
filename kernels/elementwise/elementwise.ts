import type { Reference } from "../../engine/graph/evaluate.ts";
import { defineKernel, type Kernel, linearGrid } from "../../engine/graph/kernel.ts";
import { show, UsageError } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import type { Activation } from "../activation.ts";

const WORKGROUP = 64;

/**
 * A kernel of y[i] = f(x[i]) from its WGSL. `flops` are per element, as a reader of the WGSL counts them. Options are
 * numbers with their defaults; the WGSL finds them in its Params under the same names. `activation` says which one it is,
 * if it is one of those that other kernels can apply.
 */
export function elementwise<O extends Record<string, number> = Record<never, number>>(
  name: string,
  wgsl: string,
  flops: number,
  activation: (options: Readonly<O>) => Activation | undefined = () => undefined,
  options = {} as O,
): Kernel<"x", O> {
  return defineKernel({
    name,
    inputs: ["x"],
    options,
    wgsl,
    shape({ x }, given) {
      for (const [option, value] of Object.entries(given)) {
        if (typeof value !== "number" || Number.isNaN(value)) {
          throw new UsageError(`${name}: ${option} is ${show(value)}; it must be a number`);
        }
      }
      return x;
    },
    cost: ({ y }) => ({ flops: flops * sizeOf(y) }),
    consts: () => ({ WORKGROUP }),
    params: ({ y, options }) => ({ count: sizeOf(y), ...options }),
    grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
    activation,
  });
}

/** The reference of such a kernel, from f in float64. */
export const eachElement = <O extends object = object>(
  f: (x: number, options: Readonly<O>) => number,
): Reference<"x", O> => ({
  example: { shapes: { x: [2, 3, 5, 7] } },
  compute: ({ x }, { options }) => Float64Array.from(x, (v) => f(v, options)),
});
