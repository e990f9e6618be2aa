import { defineKernel, type Kernel, linearGrid } from "../engine/kernel.ts";
import { sizeOf } from "../engine/tensor.ts";

const WORKGROUP = 64;

/** A kernel of y[i] = f(x[i]) from its WGSL and f itself in float64; `flops` per element as the reader counts them. */
export function elementwise(name: string, wgsl: string, flops: number, f: (x: number) => number): Kernel {
  return defineKernel({
    name,
    inputs: ["x"],
    options: {},
    wgsl,
    shape: ({ x }) => x,
    cost: ({ y }) => ({ flops: flops * sizeOf(y) }),
    consts: () => ({ WORKGROUP }),
    params: ({ y }) => ({ count: sizeOf(y) }),
    grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
    reference: ({ x }) => Float64Array.from(x, f),
  });
}
