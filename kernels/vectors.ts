import { type AnyCall, type AnyKernel, defineKernel } from "../engine/graph/kernel.ts";
import type { Value } from "../engine/graph/value.ts";
import type { Shape } from "../engine/ground/tensor.ts";

/** With a vec4 as one element. */
const quarter = (shape: Shape): Shape => shape.with(-1, shape[shape.length - 1] / 4);

const quartered = ({ shapes, y, ...call }: AnyCall): AnyCall => ({
  ...call,
  shapes: Object.fromEntries(Object.entries<Shape>(shapes).map(([name, shape]) => [name, quarter(shape)])),
  y: quarter(y),
});

/**
 * A kernel on these inputs, as a function of its options. Its elements are vec4s of numbers that lie side by side, where its
 * WGSL has an `alias Element` and the last dimension of every input is a multiple of 4: to load or store one costs a software
 * adapter little more than a number.
 */
export const onVectors =
  (plain: AnyKernel, ...inputs: readonly (Value | undefined)[]) =>
  (options: object): Value => {
    const aliases = /^alias (Element|Value|Bits) ?= ?(\w+);/gm;
    const isWhole = inputs.every((x) => !x || x.shape[x.shape.length - 1] % 4 === 0);
    const wgsl = plain.wgsl.replace(aliases, "alias $1=vec4<$2>;");
    const kernel = isWhole && wgsl !== plain.wgsl ? inVectors(plain, wgsl) : plain;
    return kernel(...inputs, options);
  };

const inVectors = ({ parts, ...kernel }: AnyKernel, wgsl: string): AnyKernel =>
  defineKernel({
    ...kernel,
    wgsl,
    parts: parts && ((call) => parts(quartered(call))),
    params: (call, part) => kernel.params(quartered(call), part),
    grid: (call, part) => kernel.grid(quartered(call), part),
  });
